package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringback/audit"
	"ringback/store"
)

// TestForgedLoss: whoever can write the store's files, but has no root key, cannot
// have a loss passed over by writing that it was dealt with.
func TestForgedLoss(t *testing.T) {
	t.Parallel()
	r, _, killed := toldRuin(t)
	file := filepath.Join(killed, "instance.json")
	change := func(t *testing.T, how func(map[string]any)) {
		changeFile(t, file, func(data []byte) []byte {
			var in map[string]any
			if err := json.Unmarshal(data, &in); err != nil {
				t.Fatal(err)
			}
			how(in)
			data, err := json.Marshal(in)
			if err != nil {
				t.Fatal(err)
			}
			return data
		})
	}
	whole, err := os.ReadFile(file)
	r.must(err)
	all := []any{map[string]any{"stream": "CONSENT", "from": 1, "to": 1000, "why": "x"}}
	forged := r.at(t, killed)
	for name, how := range map[string]func(map[string]any){
		"a list of losses":           func(in map[string]any) { in["v"], in["lost"] = 2, all },
		"a list and another MAC":     func(in map[string]any) { in["v"], in["lost"], in["mac"] = 2, all, strings.Repeat("00", 32) },
		"a repair that found losses": func(in map[string]any) { in["v"], in["repair"] = 2, map[string]any{"epoch": 1, "losses": all} },
	} {
		change(t, how)
		if s, err := store.Open(t.Context(), forged.h.Config); err == nil {
			s.Close(t.Context())
			t.Errorf("%s: the store opens", name)
		}
		if done, err := forged.repair(store.RepairConfig{Write: true}, nil); done || err == nil {
			t.Errorf("%s: it is repaired", name)
		}
		r.must(os.WriteFile(file, whole, 0o600))
	}
	// A genuine record that is made to say more.
	removeAll(t, streamFiles(killed, "ringback_EVIDENCE"))
	if done, err := forged.repair(store.RepairConfig{Write: true}, nil); !done || err != nil {
		t.Fatal(done, err)
	}
	change(t, func(in map[string]any) { in["lost"] = append(in["lost"].([]any), all...) })
	if s, err := store.Open(t.Context(), forged.h.Config); err == nil {
		s.Close(t.Context())
		t.Error("a record that says more: the store opens")
	}
	change(t, func(in map[string]any) { in["lost"] = in["lost"].([]any)[:len(in["lost"].([]any))-1] })
	forged.h.Reopen()
	if report, err := audit.Verify(bytes.NewReader(forged.export()), forged.jwks); err != nil || !report.OK() {
		t.Errorf("%v, %+v", err, report.Failures)
	}
}
