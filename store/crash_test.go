package store_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/consent"
	"ringback/keys"
	"ringback/store"
	"ringback/store/storetest"
)

// TestKilledProcess kills a process that writes with SIGKILL and looks for
// everything that it was told is stored.
func TestKilledProcess(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv("STORE_CRASH_DIR"); dir != "" {
		writeUntilKilled(t, dir)
		return
	}
	dir := t.TempDir()
	root := keys.NewRoot()
	if err := root.WriteFile(filepath.Join(dir, "root.key")); err != nil {
		t.Fatal(err)
	}
	cfg := store.Config{
		Dir: filepath.Join(dir, "data"), MaxBytes: 256 << 20, Vault: keys.NewVault(root), Now: time.Now, Log: storetest.Log(),
	}
	if err := store.Init(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	asked, decided := map[consent.ID]bool{}, map[consent.ID]string{}
	for round := range 3 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledProcess$")
		cmd.Env = append(os.Environ(), "STORE_CRASH_DIR="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if n == 400+100*round {
				cmd.Process.Kill()
			}
			word, rest, _ := strings.Cut(lines.Text(), " ")
			id, nonce, _ := strings.Cut(rest, " ")
			parsed, err := consent.ParseID(id)
			if err != nil {
				continue // the last line may be cut
			}
			switch word {
			case "asked":
				asked[parsed] = true
			case "decided":
				decided[parsed] = nonce
			}
		}
		cmd.Wait() // says that it was killed
	}
	if len(asked) < 600 || len(decided) < 100 {
		t.Fatalf("only %d asked and %d decided: the child did not run", len(asked), len(decided))
	}
	s, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("Open after the kills: %v", err)
	}
	h := &storetest.House{Store: s, Config: cfg}
	defer s.Close(t.Context())
	for end := time.Now().Add(20 * time.Second); !s.Ready(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the store does not get ready")
		}
	}
	for id := range asked {
		st, err := h.Get(t.Context(), id)
		if err != nil {
			t.Fatalf("an acknowledged request: %v", err)
		}
		brief, ok := h.Peek(id)
		if !ok || (brief.Decided != "") != (st.Decided != nil) {
			t.Fatalf("Peek = %+v, %v, and the facts say %v", brief, ok, st.Decided)
		}
		if nonce := decided[id]; nonce != "" && (st.Decided == nil || st.Decided.Nonce != nonce) {
			t.Fatalf("an acknowledged decision: %v, want nonce %s", st.Decided, nonce)
		}
	}
}

// writeUntilKilled asks and decides and says so after each acknowledgement.
func writeUntilKilled(t *testing.T, dir string) {
	root, err := keys.ReadRoot(filepath.Join(dir, "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Config{
		Dir: filepath.Join(dir, "data"), Vault: keys.NewVault(root), Now: time.Now, Log: storetest.Log(),
	})
	if err != nil {
		t.Fatal(err)
	}
	h := &storetest.House{Store: s, Config: store.Config{Now: time.Now}}
	var wg sync.WaitGroup
	var mu sync.Mutex
	say := func(word string, id consent.ID, nonce string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(word, id, nonce)
	}
	for range 128 {
		wg.Go(func() {
			for i := 0; ; i++ {
				req := h.Request("alice", func(r *consent.Request) { r.ExpiresAt = r.AskedAt.Add(time.Hour) })
				if err := h.Ask(t.Context(), req); err != nil {
					return
				}
				say("asked", req.ID, "")
				if i%2 == 0 {
					continue
				}
				if d, err := h.Decide(t.Context(), req.ID, h.Decision(req, consent.Approved)); err == nil {
					say("decided", req.ID, d.Nonce)
				}
			}
		})
	}
	wg.Wait()
}
