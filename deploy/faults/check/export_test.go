package check

import (
	"bytes"
	"math/rand/v2"
	"os"
	"testing"

	"ringback/audit/audittest"
)

// golden is an export that was written down, with a request of every ending, and
// the keys to it.
func golden(t *testing.T) (export, keys []byte) {
	t.Helper()
	export, err := os.ReadFile("../../../audit/testdata/export.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	keys, err = os.ReadFile("../../../keys/testdata/evidence.json")
	if err != nil {
		t.Fatal(err)
	}
	return export, keys
}

// TestReadExport reads an export that holds, and says what is in it.
func TestReadExport(t *testing.T) {
	t.Parallel()
	export, keys := golden(t)
	got, err := ReadExport(bytes.NewReader(export), keys)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Broken) > 0 {
		t.Errorf("ReadExport() says %q", got.Broken)
	}
	if n := uint64(len(got.Records)); n == 0 || got.Records[n] == "" {
		t.Errorf("its records are %v", got.Records)
	}
	ends := map[Evidence]int{}
	for id, e := range got.Evidence {
		ends[e]++
		if !got.Facts[id]["asked"] || !got.Facts[id]["decided"] || (e.Settled != "") != got.Facts[id]["settled"] {
			t.Errorf("%s is %v, and sealed are %v", id, e, got.Facts[id])
		}
	}
	for _, want := range []Evidence{{"approved", "redeemed"}, {"approved", "cancelled"}, {"approved", "lapsed"}, {"denied", ""}, {"withdrawn", ""}} {
		if ends[want] == 0 {
			t.Errorf("there is no request that is %v: %v", want, ends)
		}
	}
}

// TestReadExportChanged: whatever is changed in an export is noticed.
func TestReadExportChanged(t *testing.T) {
	t.Parallel()
	export, keys := golden(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		how, changed := audittest.Mutate(rnd, export)
		if bytes.Equal(changed, export) {
			continue
		}
		if got, err := ReadExport(bytes.NewReader(changed), keys); err == nil && len(got.Broken) == 0 {
			t.Errorf("an export with %s holds", how)
		}
	}
}
