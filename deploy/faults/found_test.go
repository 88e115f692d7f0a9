//go:build e2e

package main

import (
	"testing"

	"ringback/deploy/faults/result"
)

// TestPlanted: each planted program is found out.
func TestPlanted(t *testing.T) {
	for _, tt := range planted {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDriver(t.TempDir(), 1)
			p, err := d.ringback(t.Context(), "planted", tt.changes...)
			if err != nil {
				t.Fatal(err)
			}
			rows, err := tt.fault(d, t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			found := result.Row{}
			for _, r := range rows {
				found.Broke(r.Violations...)
			}
			t.Logf("%v", found.Counts)
			if found.Counts[tt.want] == 0 {
				t.Errorf("nothing is %s: %v", tt.want, found.Violations)
			}
		})
	}
}
