package audit

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"ringback/consent"
)

// TestLinesAreDescribed: an auditor finds every member of every line, and of
// what is signed, in docs/formats.md.
func TestLinesAreDescribed(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(doc), "\n## Chain, evidence, export\n")
	text, _, ok := strings.Cut(text, "\n## ")
	if !ok {
		t.Fatal("docs/formats.md has no such chapter")
	}
	for _, v := range []any{record{}, sealedFact{}, checkpoint{}, evidence{}, evidenceBody{}, evidenceFact{}, evidenceClaims{}, exportLine{}, evidenceLine{}, trailerLine{}, trailerClaims{}, lostFacts{}, lostClaims{}, tear{}, span{}, consent.Loss{}} {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); !strings.Contains(text, "`"+name+"`") {
				t.Errorf("%T: %s is not described", v, name)
			}
		}
	}
	for _, word := range []string{lineExport, lineFacts, lineCheckpoint, lineErased, lineEvidence, lineTrailer, lineLost, typeLost, typeCheckpoint, typeEvidence, typeExport} {
		if !strings.Contains(text, "`"+word+"`") {
			t.Errorf("%s is not described", word)
		}
	}
}
