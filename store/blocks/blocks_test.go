package blocks_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringback/store/blocks"
)

const root = "a key of the server"

// kinds are streams as the store has them: written once, compressed, and with
// revisions.
var kinds = map[string]jetstream.StreamConfig{
	"FACTS": {
		Name: "FACTS", Subjects: []string{"f.>"}, MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true,
		MaxBytes: 1 << 30, MaxMsgSize: 32 << 10,
	},
	"CHAIN":  {Name: "CHAIN", Subjects: []string{"c"}, Compression: jetstream.S2Compression, DenyDelete: true, DenyPurge: true},
	"BUCKET": {Name: "BUCKET", Subjects: []string{"b.>"}, MaxMsgsPerSubject: 5},
}

// open runs a server over dir.
func open(t *testing.T, dir string) (js jetstream.JetStream, stop func()) {
	t.Helper()
	srv, err := server.NewServer(&server.Options{
		DontListen: true, NoSigs: true, JetStream: true, StoreDir: dir, SyncAlways: true, JetStreamKey: root, JetStreamCipher: server.AES,
		DisableJetStreamBanner: true, MaxPayload: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	go srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	nc, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		t.Fatal(err)
	}
	if js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	return js, func() {
		nc.Close()
		srv.Shutdown()
		srv.WaitForShutdown()
	}
}

// fill makes a stream of n messages in dir and returns their data by sequence.
func fill(t *testing.T, dir, kind string, n, size int) map[uint64][]byte {
	t.Helper()
	js, stop := open(t, dir)
	defer stop()
	if _, err := js.CreateStream(t.Context(), kinds[kind]); err != nil {
		t.Fatal(err)
	}
	out := map[uint64][]byte{}
	prefix := strings.ToLower(kind[:1])
	for i := range n {
		subject := prefix
		if kind != "CHAIN" {
			subject = fmt.Sprintf("%s.%d", prefix, i)
		}
		data := make([]byte, size)
		for j := range data {
			data[j] = byte(rand.IntN(64))
		}
		m := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{"Label": {fmt.Sprint("v=", i)}}}
		ack, err := js.PublishMsg(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		out[ack.Sequence] = data
	}
	return out
}

// stored reads a stream through the server.
func stored(t *testing.T, dir, kind string) (map[uint64][]byte, jetstream.StreamState) {
	t.Helper()
	js, stop := open(t, dir)
	defer stop()
	s, err := js.Stream(t.Context(), kind)
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	state := s.CachedInfo().State
	out := map[uint64][]byte{}
	for seq := state.FirstSeq; seq <= state.LastSeq && seq > 0; seq++ {
		if m, err := s.GetMsg(t.Context(), seq); err == nil {
			out[seq] = m.Data
		}
	}
	return out, state
}

func where(dir, kind string) string { return filepath.Join(dir, "jetstream", "$G", "streams", kind) }

func config(dir, kind string) blocks.Config {
	form := regexp.MustCompile(`^(f\.[0-9]+|b\.[0-9]+|c)$`)
	return blocks.Config{Dir: where(dir, kind), Stream: kind, Root: root, Valid: form.Match}
}

// checked reads a stream's files.
func checked(t *testing.T, dir, kind string, most int64) (*blocks.Report, map[uint64][]byte) {
	t.Helper()
	got := map[uint64][]byte{}
	r, err := blocks.Check(config(dir, kind), most, func(seq uint64, _, data []byte) { got[seq] = bytes.Clone(data) })
	if err != nil {
		t.Fatal(err)
	}
	return r, got
}

func same(a, b map[uint64][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for seq, data := range a {
		if !bytes.Equal(data, b[seq]) {
			return false
		}
	}
	return true
}

// TestCheck reads what the server wrote, also when it did not stop in peace.
func TestCheck(t *testing.T) {
	t.Parallel()
	for kind, size := range map[string]int{"FACTS": 700, "CHAIN": 60_000, "BUCKET": 700} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			want := fill(t, dir, kind, 100, size)
			r, got := checked(t, dir, kind, 0)
			if len(r.Damage) > 0 || len(r.Stubs) > 0 || r.Last != 100 || r.Skipped != 0 || !same(got, want) {
				t.Errorf("report %+v with %d of %d messages", r, len(got), len(want))
			}
			if kind == "CHAIN" { // several blocks, the full ones compressed
				if r.Blocks < 3 {
					t.Errorf("%d blocks, want several", r.Blocks)
				}
				if part, _ := checked(t, dir, kind, 1); part.Blocks != 1 || part.Skipped != r.Blocks-1 || part.Last != 100 {
					t.Errorf("the newest block alone: %+v", part)
				}
			}
		})
	}
}

// TestStub: a block that was begun without its key makes the server throw the
// stream away; without it nothing is lost.
func TestStub(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := fill(t, dir, "FACTS", 20, 100)
	stub := filepath.Join(where(dir, "FACTS"), "msgs", "2.blk")
	if err := os.WriteFile(stub, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r, got := checked(t, dir, "FACTS", 0)
	if len(r.Damage) > 0 || !slices.Equal(r.Stubs, []string{stub}) || !same(got, want) {
		t.Errorf("report %+v", r)
	}
	if err := os.Remove(stub); err != nil {
		t.Fatal(err)
	}
	if after, _ := stored(t, dir, "FACTS"); !same(after, want) {
		t.Errorf("%d messages, want %d", len(after), len(want))
	}
}

// TestDamage changes one bit anywhere, cuts and removes: it is found, and after
// mending the server has everything but what could not be read.
func TestDamage(t *testing.T) {
	t.Parallel()
	const n = 60
	for kind, size := range map[string]int{"FACTS": 300, "CHAIN": 80_000, "BUCKET": 300} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			whole := t.TempDir()
			want := fill(t, whole, kind, n, size)
			files, err := filepath.Glob(filepath.Join(where(whole, kind), "msgs", "*.blk"))
			if err != nil || len(files) == 0 {
				t.Fatal(files, err)
			}
			for round := range 12 {
				dir := t.TempDir()
				if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(where(dir, kind), "msgs", filepath.Base(files[rand.IntN(len(files))]))
				what := damage(t, path, round)
				r, got := checked(t, dir, kind, 0)
				if len(r.Damage) == 0 && same(got, want) {
					t.Errorf("%s of %s is not noticed", what, filepath.Base(path))
				}
				keep := filepath.Join(t.TempDir(), "kept")
				mended, err := blocks.Mend(config(dir, kind), keep)
				if err != nil {
					t.Fatal(err)
				}
				kept, _ := os.ReadDir(keep)
				if len(mended.Damage) > 0 && len(kept) == 0 {
					t.Errorf("%s: nothing was kept of what was damaged", what)
				}
				for _, f := range kept { // as a kill leaves it that came before the rewriting
					data, err := os.ReadFile(filepath.Join(keep, f.Name()))
					if err == nil {
						err = os.WriteFile(filepath.Join(where(dir, kind), "msgs", strings.TrimPrefix(f.Name(), kind+"-")), data, 0o600)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				if again, err := blocks.Mend(config(dir, kind), keep); err != nil || len(again.Damage) != len(mended.Damage) {
					t.Fatalf("%s: mending what was kept: %v, %+v, want %+v", what, err, again.Damage, mended.Damage)
				}
				again, left := checked(t, dir, kind, 0)
				if len(again.Damage) > 0 || !same(left, got) {
					t.Errorf("%s: after mending %+v, with %d of %d messages", what, again.Damage, len(left), len(got))
				}
				after, state := stored(t, dir, kind)
				if !same(after, got) {
					t.Errorf("%s: the server has %d messages, want %d of %d (%+v)", what, len(after), len(got), n, state)
				}
				for seq, data := range after {
					if !bytes.Equal(data, want[seq]) {
						t.Errorf("%s: message %d is another one", what, seq)
					}
				}
				if what == "a bit" && kind != "CHAIN" && len(got) < n-1 {
					t.Errorf("one bit cost %d messages", n-len(got))
				}
			}
		})
	}
}

// damage changes a block and says how.
func damage(t *testing.T, path string, round int) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	what := "a bit"
	switch round {
	default:
		data[rand.IntN(len(data))] ^= 1 << rand.IntN(8)
	case 0: // the length of the first record
		binary.LittleEndian.PutUint32(data, binary.LittleEndian.Uint32(data)^1<<9)
	case 1:
		what, data = "a cut", data[:len(data)*97/100]
	case 2:
		what, data = "a cut byte", data[:len(data)-1]
	case 3:
		what, data = "everything cut", nil
	case 5: // where the subject of the first record ends, which is in no sum
		data[20] ^= 1
	case 6: // or its headers
		data[25] ^= 1
	case 4:
		what = "a removed key"
		if err := os.Remove(strings.TrimSuffix(path, ".blk") + ".key"); err != nil {
			t.Fatal(err)
		}
		return what
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return what
}
