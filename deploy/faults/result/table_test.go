package result

import (
	"strings"
	"testing"
	"time"

	"ringback/deploy/faults/check"
)

// TestTables puts the rows of several runs together.
func TestTables(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := Row{Fault: "kill", Form: "at once", Times: 400, Acknowledged: 1200, Began: time.Unix(1, 0)}
	second := Row{Fault: "kill", Form: "at once", Times: 100, Acknowledged: 34, Began: time.Unix(2, 0)}
	second.Broke(check.Violation{Kind: check.Lost, What: "x"}, check.Violation{Kind: check.Lost, What: "y"})
	second.Otherwise("%d", 3)
	measured := Row{Fault: "idle", Form: "open", Times: 7, Began: time.Unix(3, 0), Refused: map[string]int{"a block": 2, "a key": 3}}
	measured.Measured("cores", "%.2f", 0.5)
	for fault, r := range map[string]Row{"kill": first, "idle": measured} {
		if err := Save(dir, fault, []Row{r}); err != nil {
			t.Fatal(err)
		}
	}
	if err := Save(dir, "kill-again", []Row{second}); err != nil {
		t.Fatal(err)
	}
	rows, err := Load(dir)
	if err != nil || len(rows) != 3 {
		t.Fatalf("Load() = %d rows, %v", len(rows), err)
	}
	got := Tables(rows, []string{"idle", "kill"})
	want := `| Fault | Times | Acknowledged | Lost | Doubled | Dropped | Unsealed | Never delivered | Otherwise | Refused |
|---|---|---|---|---|---|---|---|---|---|
| ` + "`idle`" + `: open | 7 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 3 a key, 2 a block |
| ` + "`kill`" + `: at once | 500 | 1,234 | 2 | 0 | 0 | 0 | 0 | 1 |  |

| idle | cores |
|---|---|
| open | 0.50 |
`
	if got != want {
		t.Errorf("Tables() =\n%s\nwant\n%s", got, want)
	}
	doc, err := Into("before\n<!-- tables -->\nold\n<!-- end of tables -->\nafter\n", got)
	if err != nil || !strings.HasPrefix(doc, "before\n") || !strings.HasSuffix(doc, "\nafter\n") || !strings.Contains(doc, got) || strings.Contains(doc, "old") {
		t.Errorf("Into() = %q, %v", doc, err)
	}
	if _, err := Into("no marks", got); err == nil {
		t.Error("tables were put into a document without marks")
	}
	if !first.Held() || second.Held() {
		t.Error("Held() is wrong")
	}
}
