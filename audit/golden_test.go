package audit

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ringback/consent"
)

// What the golden tests pin is in chains, evidence and exports out there. A
// change that fails one of them needs a new format version, and readers that
// go on reading this one; literals and files stay as they are.

// Golden makes the golden files that are not there. It never replaces one.
var Golden = flag.Bool("golden", false, "make the golden files that are missing")

// WriteGolden makes a file under testdata, unless it is there.
func WriteGolden(t testing.TB, name string, data []byte) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join("testdata", name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
}

// Checkpoint signs the chain as a process does that is left alone.
func Checkpoint(ctx context.Context, a *Auditor) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, err := a.checkpoint(ctx)
	return err
}

// Pack and Unpack are the stored form of evidence.
func Pack(plain []byte) []byte           { return pack(plain) }
func Unpack(data []byte) ([]byte, error) { return unpack(data) }

// TestLinesStay pins the members of everything that is written in lines and
// signed over them, with all of them set and with none that may be missing.
func TestLinesStay(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 12, 1, 10, 0, 0, 123e6, time.UTC)
	id, digest := consent.ID{0: 1, 15: 15}, consent.Digest{0: 1, 31: 31}
	for _, row := range []struct {
		name string
		v    any
		want string
	}{
		{"record", record{1, lineFacts, 7, digest, at, 9, []sealedFact{
			{8, id, "tried.12", "abcdefghijklmnop", digest, goneDamaged, true}, {Seq: 9, Request: id, Fact: "asked"},
		}, "234567abcdefghij", "jws", nil}, `{"v":1,"type":"facts","seq":7,"prev":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB8","at":"2026-12-01T10:00:00.123Z","sealed":9,"facts":[{"seq":8,"request":"aeaaaaaaaaaaaaaaaaaaaaaab4","fact":"tried.12","person":"abcdefghijklmnop","sha256":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB8","unreadable":"damaged","finishes":true},{"seq":9,"request":"aeaaaaaaaaaaaaaaaaaaaaaab4","fact":"asked","person":"","sha256":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}],"person":"234567abcdefghij","jws":"jws"}`},
		{"record of little", record{V: 1, Type: lineErased}, `{"v":1,"type":"erased","seq":0,"prev":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","at":"0001-01-01T00:00:00Z","sealed":0}`},
		{"checkpoint", checkpoint{1, 6, digest, at}, `{"v":1,"size":6,"hash":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB8","at":"2026-12-01T10:00:00.123Z"}`},
		{"evidence", evidence{[]byte(`{"a":"<b>&c"}`), "jws"}, `{"body":{"a":"<b>&c"},"jws":"jws"}`},
		{"body", evidenceBody{1, id, "abcdefghijklmnop", consent.Approved, consent.Redeemed, []evidenceFact{{8, "asked", at, []byte(`{"a":"<b>&c"}`)}},
			[]byte(`{"c":1}`), []byte(`{"c":2}`), []byte(`{"p":1}`), []byte(`{"d":1}`)}, `{"v":1,"request":"aeaaaaaaaaaaaaaaaaaaaaaab4","person":"abcdefghijklmnop","verb":"approved","settled":"redeemed","facts":[{"seq":8,"fact":"asked","stored_at":"2026-12-01T10:00:00.123Z","data":{"a":"<b>&c"}}],"asked":{"c":1},"granted":{"c":2},"presentation":{"p":1},"decision":{"d":1}}`},
		{"body of little", evidenceBody{V: 1, Asked: []byte(`{}`), Decision: []byte(`{}`)}, `{"v":1,"request":"aaaaaaaaaaaaaaaaaaaaaaaaaa","person":"","verb":"","facts":null,"asked":{},"decision":{}}`},
		{"claims of evidence", evidenceClaims{1, id, digest}, `{"v":1,"request":"aeaaaaaaaaaaaaaaaaaaaaaab4","sha256":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB8"}`},
		{"header", exportLine{1, lineExport, at, 7}, `{"v":1,"type":"export","at":"2026-12-01T10:00:00.123Z","first":7}`},
		{"evidence line", evidenceLine{1, lineEvidence, 3, id, "abcdefghijklmnop", &evidence{[]byte(`{}`), "jws"}, goneErased, &digest}, `{"v":1,"type":"evidence","seq":3,"request":"aeaaaaaaaaaaaaaaaaaaaaaab4","person":"abcdefghijklmnop","evidence":{"body":{},"jws":"jws"},"unreadable":"erased","stored_sha256":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB8"}`},
		{"evidence line of little", evidenceLine{V: 1, Type: lineEvidence}, `{"v":1,"type":"evidence","seq":0,"request":"aaaaaaaaaaaaaaaaaaaaaaaaaa","person":""}`},
		{"trailer", trailerLine{1, lineTrailer, "jws"}, `{"v":1,"type":"trailer","jws":"jws"}`},
		{"claims of a trailer", trailerClaims{1, at, 20, 12, 7, 18, digest, digest}, `{"v":1,"at":"2026-12-01T10:00:00.123Z","lines":20,"records":12,"evidence":7,"last":18,"head":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB8","sha256":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB8"}`},
	} {
		got, err := encode(row.v)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != row.want {
			t.Errorf("%s = %s\nwant %s", row.name, got, row.want)
		}
	}
	types := []string{typeCheckpoint, typeEvidence, typeExport}
	for i, want := range []string{"checkpoint+jws", "evidence+jws", "export+jws"} {
		if types[i] != want {
			t.Errorf("what is signed has the type %q, want %q", types[i], want)
		}
	}
	if plain, err := unpack(pack([]byte("plain"))); err != nil || string(plain) != "plain" || pack(nil)[0] != 2 {
		t.Errorf("packed evidence is unpacked as %q, %v", plain, err)
	}
	if plain, err := unpack([]byte("\x02\x05\x10plain")); err != nil || !bytes.Equal(plain, []byte("plain")) {
		t.Errorf("packed evidence is unpacked as %q, %v", plain, err)
	}
}
