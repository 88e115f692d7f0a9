//go:build e2e

package main

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"ringback/audit"
	"ringback/audit/audittest"
	"ringback/deploy/faults/stage"
)

var mutations = flag.Int("mutations", 1000, "how many changes to the export of a run are tried")

// TestExportMutated: the export of a run of the whole program verifies, and
// does not any more once anything is changed in it.
func TestExportMutated(t *testing.T) {
	s := openStage(t, stage.Config{People: 96})
	stop := s.Load(t.Context(), 0, 96, 16)
	for deadline := time.Now().Add(30 * time.Second); s.Journal.Tokens() < 10 && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	file, keys, err := s.Exported(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	export, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := os.ReadFile(keys)
	if err != nil {
		t.Fatal(err)
	}
	if report, err := audit.Verify(bytes.NewReader(export), jwks); err != nil || !report.OK() {
		t.Fatalf("the export does not hold: %v %v", report.Failures, err)
	}
	if s.Journal.Tokens() == 0 {
		t.Fatal("the run has no token")
	}
	t.Logf("%d requests, %d tokens, an export of %d bytes", len(s.Journal.Book().Asked), s.Journal.Tokens(), len(export))
	var wg sync.WaitGroup
	for seed := range 2 {
		rnd := rand.New(rand.NewPCG(uint64(seed), 3))
		wg.Go(func() {
			for n := seed; n < *mutations; {
				how, changed := audittest.Mutate(rnd, export)
				if bytes.Equal(changed, export) {
					continue
				}
				n += 2
				if report, err := audit.Verify(bytes.NewReader(changed), jwks); err == nil && report.OK() {
					t.Errorf("an export with %s holds", how)
				}
			}
		})
	}
	wg.Wait()
}
