package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
	"ringback/keys"
)

// What the golden tests pin is in stores out there. A change that fails one of
// them needs a new version of the format, and readers that go on reading this
// one; literals and files stay as they are.

// golden makes the golden files that are not there. It never replaces one.
var golden = flag.Bool("golden", false, "make the golden files that are missing")

const (
	// goldenRoot is the root key of the golden files of every room, and of
	// nothing else.
	goldenRoot = "bm90IGEgc2VjcmV0OiB0aGlzIGtleSBpcyBnb2xkZW4="
	// goldenWriter is the process that wrote the golden facts.
	goldenWriter = 0x12345678
)

// goldenNow is when everything golden happens.
var goldenNow = time.Date(2026, 12, 1, 10, 0, 0, 123456789, time.UTC)

func goldenVault(t testing.TB) *keys.Vault {
	t.Helper()
	root, err := keys.ParseRoot([]byte(goldenRoot))
	if err != nil {
		t.Fatal(err)
	}
	return keys.NewVault(root)
}

// goldenConfig is of a store in dir at the time when everything happens.
func goldenConfig(t testing.TB, dir string) Config {
	return Config{
		Dir: dir, MaxBytes: 256 << 20, Vault: goldenVault(t), Now: func() time.Time { return goldenNow },
		Log: slog.New(slog.NewTextHandler(testLog{t}, nil)),
	}
}

// openGolden opens the store in dir. It is closed with the test.
func openGolden(t testing.TB, dir string) *Store {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := Open(ctx, goldenConfig(t, dir))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { closeGolden(t, s) })
	s.writer = goldenWriter
	for end := time.Now().Add(20 * time.Second); !s.Ready(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the store does not get ready")
		}
	}
	return s
}

func closeGolden(t testing.TB, s *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// newGolden makes an empty store in a directory of its own.
func newGolden(t testing.TB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := Init(t.Context(), goldenConfig(t, dir)); err != nil {
		t.Fatalf("Init: %v", err)
	}
	return dir
}

// kept is one message as the server keeps it.
type kept struct {
	Stream  string      `json:"stream"`
	Subject string      `json:"subject"`
	Header  nats.Header `json:"header,omitempty"`
	Data    []byte      `json:"data"`
}

// keptIn lists the messages of a stream, in order.
func keptIn(t testing.TB, s *Store, stream string) (out []kept) {
	t.Helper()
	js, err := s.js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	state := js.CachedInfo().State
	for seq := max(state.FirstSeq, 1); seq <= state.LastSeq; seq++ {
		m, err := js.GetMsg(t.Context(), seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, kept{stream, m.Subject, m.Header, m.Data})
	}
	return out
}

// lastIn is the newest message of a stream.
func lastIn(t testing.TB, s *Store, stream string) kept {
	t.Helper()
	all := keptIn(t, s, stream)
	if len(all) == 0 {
		t.Fatalf("%s is empty", stream)
	}
	return all[len(all)-1]
}

// rawKey is a person's data key, as the wrapped one that is stored hides it.
func rawKey(t testing.TB, s *Store, p consent.Pseudonym) []byte {
	t.Helper()
	for _, m := range keptIn(t, s, "ringback_DEK") {
		if m.Subject == "ringback.dek."+string(p) {
			key, err := goldenVault(t).Unwrap(m.Data, string(p))
			if err != nil {
				t.Fatal(err)
			}
			return key
		}
	}
	t.Fatalf("%s has no data key", p)
	return nil
}

// openRaw opens what was sealed for a place without the store: version ‖ nonce
// ‖ AES-256-GCM.
func openRaw(t testing.TB, key []byte, place string, sealed []byte) string {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	if len(sealed) < 13 || sealed[0] != 1 {
		t.Fatalf("what is sealed for %q has no version 1 and nonce", place)
	}
	plain, err := aead.Open(nil, sealed[1:13], sealed[13:], []byte(place))
	if err != nil {
		t.Fatalf("opening what is sealed for %q: %v", place, err)
	}
	return string(plain)
}

// decodeText reads base64, which the literals are in.
func decodeText(t testing.TB, text string) []byte {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// goldenFile is the content of a file under testdata.
func goldenFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestDerivedNamesStay pins what stands for a person, a number or a key where
// these may not be, and what tells whether the same is asked again.
func TestDerivedNamesStay(t *testing.T) {
	t.Parallel()
	s := bare()
	s.cfg.Vault = goldenVault(t)
	same := s.Same(goldenFull().Request)
	bareSame := s.Same(goldenBare().Request)
	for _, row := range []struct{ name, got, want string }{
		{"pseudonym", string(s.Pseudonym("alice")), "227d2c5f4gvm6vqz"},
		{"pseudonym of another person", string(s.Pseudonym("bob")), "slekl2ulhjguo5jj"},
		{"number", s.numberID("+12025550101"), "cpohasdsjl3cqc2f"},
		{"user code", base64.StdEncoding.EncodeToString(s.userCode("abcdefghijklmnop", "tr0ub4dor")), "STSH4pkoATCiNMe+vnEVsEaauUArU33TfGbTSWmExxs="},
		{"same", base64.StdEncoding.EncodeToString(same[:]), "VMfZsyTFw48="},
		{"same of little", base64.StdEncoding.EncodeToString(bareSame[:]), "wFxCE7rto+Q="},
		{"hash of a single use", hashed("message twilio SM0001"), "q8Ql25PjG8pezomkW2Pw_FqKsyw1kzSh4YqVWZDdw8s"},
		{"token", token("https://agent.example/client?x=1"), "aHR0cHM6Ly9hZ2VudC5leGFtcGxlL2NsaWVudD94PTE"},
	} {
		if row.got != row.want {
			t.Errorf("%s = %s\nwant %s", row.name, row.got, row.want)
		}
	}
}

// TestInstanceStays pins the record of what Init made, in its file and as a
// value on an external server.
func TestInstanceStays(t *testing.T) {
	t.Parallel()
	in := newInstance(&Config{Vault: goldenVault(t), Dev: true, Now: func() time.Time { return goldenNow.Local() }}, names{"ringback"})
	if len(in.ID) != 32 {
		t.Errorf("the id of an instance is %q", in.ID)
	}
	in.ID = "00112233445566778899aabbccddeeff"
	dir := t.TempDir()
	if err := in.save(dir); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "instance.json"))
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != goldenInstance {
		t.Errorf("instance.json = %s\nwant %s", data, goldenInstance)
	}
	in.Unfinished = false
	if data, err = json.Marshal(in); err != nil || string(data) != goldenRecord {
		t.Errorf("the record is %s, %v\nwant %s", data, err, goldenRecord)
	}
	for _, text := range []string{goldenInstance, goldenRecord} {
		got, err := readInstance([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := got.belongs(&Config{Vault: goldenVault(t), Dev: true}, names{"ringback"}, "here"); err != nil {
			t.Errorf("a store of the golden key is refused: %v", err)
		}
		if got.Unfinished != (text == goldenInstance) || got.ID != in.ID || !got.CreatedAt.Equal(goldenNow) || len(got.Streams) != 11 {
			t.Errorf("readInstance = %+v", got)
		}
	}
}

const (
	goldenInstance = `{
  "v": 1,
  "id": "00112233445566778899aabbccddeeff",
  "prefix": "ringback",
  "root_key": "5ff385dd13ccb5cc55e4f95649fb36ec",
  "dev": true,
  "created_at": "2026-12-01T10:00:00.123456789Z",
  "streams": [
    "ringback_CONSENT",
    "ringback_AUDIT",
    "ringback_EVIDENCE",
    "ringback_SEEN",
    "ringback_DEK",
    "ringback_FREEZE",
    "KV_ringback_PEOPLE",
    "KV_ringback_DEVICES",
    "KV_ringback_CLIENTS",
    "KV_ringback_POLICY",
    "KV_ringback_KEYS"
  ],
  "unfinished": true
}
`
	goldenRecord = `{"v":1,"id":"00112233445566778899aabbccddeeff","prefix":"ringback","root_key":"5ff385dd13ccb5cc55e4f95649fb36ec","dev":true,"created_at":"2026-12-01T10:00:00.123456789Z","streams":["ringback_CONSENT","ringback_AUDIT","ringback_EVIDENCE","ringback_SEEN","ringback_DEK","ringback_FREEZE","KV_ringback_PEOPLE","KV_ringback_DEVICES","KV_ringback_CLIENTS","KV_ringback_POLICY","KV_ringback_KEYS"]}`
)
