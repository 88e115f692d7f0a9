package consent_test

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ringback/consent"
)

// described are the words in code style of the row of docs/formats.md that
// begins so.
func described(t *testing.T, row string) []string {
	t.Helper()
	doc, err := os.ReadFile("../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(doc)) {
		if rest, ok := strings.CutPrefix(line, "| "+row+" |"); ok {
			var words []string
			for _, m := range regexp.MustCompile("`([a-z][a-z_0-9]*)`").FindAllStringSubmatch(rest, -1) {
				words = append(words, m[1])
			}
			return words
		}
	}
	t.Fatalf("docs/formats.md has no row %s", row)
	return nil
}

// members are the names of a type in JSON, in their order.
func members(v any) (names []string) {
	for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// TestFactsAreDescribed: an auditor finds every member of every fact in
// docs/formats.md, in its order.
func TestFactsAreDescribed(t *testing.T) {
	t.Parallel()
	for row, v := range map[string]any{
		"`asked`": consent.Request{}, "`tried.<n>`": consent.Attempt{}, "`outcome.<n>`": consent.Outcome{}, "`receipt.<n>`": consent.Receipt{},
		"`missed.<n>`": consent.Miss{}, "`decided`": consent.Decision{}, "`settled`": consent.Settlement{}, "`renewed.<n>`": consent.Renewal{},
		"`revoked`": consent.Revocation{}, "`notice.<n>`": consent.Notice{}, "`notified.<n>`": consent.Notified{},
	} {
		words, at := described(t, row), 0
		for _, name := range members(v) {
			i := slices.Index(words[at:], name)
			if i < 0 {
				t.Errorf("%s: %s is not described, or in another order: %q", row, name, words)
				break
			}
			at += i + 1
		}
	}
	words := described(t, "`asked`")
	for _, v := range []any{consent.Party{}, consent.Bearers{}} {
		for _, name := range members(v) {
			if !slices.Contains(words, name) {
				t.Errorf("%T: %s is not described", v, name)
			}
		}
	}
	for row, object := range map[string]func() ([]byte, error){
		"C, what is asked":    func() ([]byte, error) { return request().AskedObject(nil) },
		"P, what was shown":   shown(t, request()).Object,
		"D, what was decided": (&consent.Decision{}).Object,
	} {
		raw, err := object()
		if err != nil {
			t.Fatal(err)
		}
		var have map[string]any
		if err := json.Unmarshal(raw, &have); err != nil {
			t.Fatal(err)
		}
		words := described(t, row)
		for name := range have {
			if !slices.Contains(words, name) {
				t.Errorf("%s: %s is not described: %q", row, name, words)
			}
		}
		if slices.Sort(words); len(slices.Compact(words)) != len(have) {
			t.Errorf("%s: %q are described, of %s", row, words, raw)
		}
	}
}
