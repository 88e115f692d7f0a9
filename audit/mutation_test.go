package audit_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"ringback/audit"
	"ringback/audit/audittest"
)

// TestMutations: whatever is done to an export, it no longer holds.
func TestMutations(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for n, e := range []ending{narrowed, denied, open, expired} {
		h.story(h.add(), e)
		if n%2 == 1 {
			h.export() // several records
		}
	}
	h.must(h.auditor.Erased(t.Context(), h.Pseudonym("nobody")))
	stop := h.run() // a checkpoint
	h.Eventually("a checkpoint", func() bool {
		h.auditor.Wake()
		return h.holds(h.export()).Checkpoints > 0
	})
	stop()
	h.story(h.add(), redeemed)
	export := h.export()
	h.holds(export)
	jwks := h.ring.EvidenceJWKS()
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := 0; n < mutations; {
		how, changed := audittest.Mutate(rnd, export)
		if bytes.Equal(changed, export) {
			continue
		}
		n++
		report, err := audit.Verify(bytes.NewReader(changed), jwks)
		if err == nil && report.OK() {
			t.Errorf("an export with %s holds", how)
		}
		for _, f := range report.Failures {
			if f.Where == "" || f.What == "" {
				t.Errorf("%s: a failure does not say what and where: %+v", how, f)
			}
		}
	}
	// Several at once do not cancel out.
	for range mutations / 20 {
		changed := export
		var all []string
		for range 2 + rnd.IntN(3) {
			if !editable(changed) {
				break
			}
			var how string
			how, changed = audittest.Mutate(rnd, changed)
			all = append(all, how)
		}
		if bytes.Equal(changed, export) {
			continue
		}
		if report, err := audit.Verify(bytes.NewReader(changed), jwks); err == nil && report.OK() {
			t.Errorf("an export with %s holds", strings.Join(all, ", "))
		}
	}
}

// editable reports whether an export still consists of lines of JSON.
func editable(export []byte) bool {
	lines := bytes.SplitAfter(export, []byte("\n"))
	for _, l := range lines[:len(lines)-1] {
		if !json.Valid(l) {
			return false
		}
	}
	return len(lines) > 1 && len(lines[len(lines)-1]) == 0
}

func FuzzVerify(f *testing.F) {
	h := newHouse(f)
	h.story(h.add(), redeemed)
	export, jwks := h.export(), h.ring.EvidenceJWKS()
	h.Close() // leaves the processor to the fuzzer
	f.Add(export)
	f.Add([]byte("{}\n"))
	f.Add([]byte(`{"v":1,"type":"export","at":"2026-01-01T00:00:00Z","first":0}` + "\n"))
	f.Add([]byte(`{"v":1,"type":"facts","seq":18446744073709551615,"prev":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","at":"2026-01-01T00:00:00Z","sealed":0,"facts":[]}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		report, err := audit.Verify(bytes.NewReader(data), jwks)
		if err == nil && report.OK() && !bytes.Equal(data, export) {
			t.Errorf("%q holds", data)
		}
	})
}
