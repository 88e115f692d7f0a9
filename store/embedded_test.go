package store

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"ringback/consent"
)

// TestEmbeddedServerKeepsItsPromises asks the server itself: an acknowledged
// write is on the disk, where it is encrypted, and nothing listens.
func TestEmbeddedServerKeepsItsPromises(t *testing.T) {
	t.Parallel()
	dir := newGolden(t)
	s := openGolden(t, dir)
	c := s.srv.JetStreamConfig()
	if c == nil || !c.SyncAlways {
		t.Errorf("the embedded server does not sync every write: %+v", c)
	}
	v, err := s.srv.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	if v.MaxPayload != 1<<20 {
		t.Errorf("MaxPayload = %d", v.MaxPayload)
	}
	if addr := s.srv.Addr(); addr != nil {
		t.Errorf("the embedded server listens on %v", addr)
	}
	jsz, err := s.srv.Jsz(&server.JSzOptions{Streams: true, Accounts: true, Config: true})
	if err != nil || jsz.Streams < 10 {
		t.Fatalf("Jsz = %+v, %v", jsz, err)
	}
	const said = "consent.example" // stands in each asked
	tell(t, s, goldenFull())
	if err := s.Freeze(t.Context(), alicePseudonym, "agent", goldenFar); err != nil {
		t.Fatal(err)
	}
	closeGolden(t, s) // files come and go while the server runs
	clear := [][]byte{[]byte(said), []byte("ringback.consent."), []byte("ringback.freeze."), []byte(consent.FactAsked), []byte(alicePseudonym)}
	files := 0
	err = filepath.WalkDir(filepath.Join(dir, dataDir), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		for _, text := range clear {
			if bytes.Contains(data, text) {
				t.Errorf("%s says %q in the clear", e.Name(), text)
			}
		}
		return nil
	})
	if err != nil || files < 10 {
		t.Errorf("%d files were read, %v", files, err)
	}
}

// TestDataKeysAreLookedAtEveryMinute: for so long at most a process reads what
// another has erased.
func TestDataKeysAreLookedAtEveryMinute(t *testing.T) {
	t.Parallel()
	s := openGolden(t, newGolden(t))
	if _, err := s.dataKey(t.Context(), alicePseudonym, true); err != nil {
		t.Fatal(err)
	}
	v, ok := s.dir.keys.opened.Load(consent.Pseudonym(alicePseudonym))
	if !ok {
		t.Fatal("an opened key is not kept")
	}
	if life := v.(*openKey).until.Sub(goldenNow); life != time.Minute {
		t.Errorf("an opened key is used for %v without looking whether it still exists", life)
	}
}
