package keys

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testRoot returns a root key that depends on n alone.
func testRoot(n byte) *Root {
	r := new(Root)
	for i := range r.key {
		r.key[i] = byte(i) ^ n
	}
	return r
}

func TestRootFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "root.key")
	root := NewRoot()
	if err := root.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("mode = %04o, want 0600", got)
	}
	got, err := ReadRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.key != root.key || got.Fingerprint() != root.Fingerprint() {
		t.Error("ReadRoot returned another key than was written")
	}
	before, _ := os.ReadFile(path)
	if err := NewRoot().WriteFile(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("WriteFile over a key = %v, want fs.ErrExist", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("WriteFile changed an existing file")
	}
}

func TestReadRootRefuses(t *testing.T) {
	t.Parallel()
	good := base64.StdEncoding.EncodeToString(NewRoot().key[:])
	rows := []struct {
		name, text string
		mode       os.FileMode
		want       error
		says       string
	}{
		{"empty", "", 0o600, ErrRoot, "0 characters"},
		{"short", good[:40], 0o600, ErrRoot, "40 characters"},
		{"long", good + good, 0o600, ErrRoot, "88 characters"},
		{"two lines", good + "\n\n", 0o600, ErrRoot, "45 characters"},
		{"hexadecimal", strings.Repeat("ab", 32), 0o600, ErrRoot, "64 characters"},
		{"base64url", strings.Repeat("-_", 21) + "-=", 0o600, ErrRoot, "not base64"},
		{"line end inside", good[:20] + "\n" + good[21:], 0o600, ErrRoot, "not base64"},
		{"stray bits", good[:42] + "B=", 0o600, ErrRoot, "not base64"},
		{"zeros", base64.StdEncoding.EncodeToString(make([]byte, 32)), 0o600, ErrRoot, "zero"},
		{"huge", strings.Repeat("A", 2000), 0o600, ErrRoot, "too long"},
		{"others may read", good, 0o604, ErrRoot, "chmod 600"},
		{"group may write", good, 0o620, ErrRoot, "chmod 600"},
		{"open to all", good, 0o666, ErrRoot, "chmod 600"},
		{"group may read", good, 0o640, nil, ""},
		{"with line end", good + "\r\n", 0o400, nil, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "root.key")
			if err := os.WriteFile(path, []byte(row.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, row.mode); err != nil {
				t.Fatal(err)
			}
			_, err := ReadRoot(path)
			if !errors.Is(err, row.want) {
				t.Fatalf("ReadRoot = %v, want %v", err, row.want)
			}
			if err == nil {
				return
			}
			if !strings.Contains(err.Error(), row.says) {
				t.Errorf("ReadRoot = %q, want it to say %q", err, row.says)
			}
			if len(row.text) >= 8 && strings.Contains(err.Error(), row.text[:8]) {
				t.Errorf("ReadRoot repeats what it read: %q", err)
			}
		})
	}
	if _, err := ReadRoot(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "ringback init") {
		t.Errorf("ReadRoot of nothing = %v, want fs.ErrNotExist and what to do", err)
	}
	if _, err := ReadRoot(t.TempDir()); !errors.Is(err, ErrRoot) {
		t.Errorf("ReadRoot of a directory = %v, want ErrRoot", err)
	}
}

func TestRootNeverPrints(t *testing.T) {
	t.Parallel()
	root := testRoot(200)
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p"} {
		fmt.Fprintf(&out, verb+"\n", root)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "code", root)
	text, err := json.Marshal(map[string]any{"key": root})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(text)
	for _, secret := range []string{
		base64.StdEncoding.EncodeToString(root.key[:])[:12],
		fmt.Sprintf("%x", root.key[:4]), fmt.Sprintf("%X", root.key[:4]), strings.Trim(fmt.Sprintf("%d", root.key[:4]), "[]"),
	} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the root key printed itself: %s", out.String())
		}
	}
}

// TestDerivedKeysStay pins the derivations: changing one makes every store
// unreadable and every handle in the world void.
func TestDerivedKeysStay(t *testing.T) {
	t.Parallel()
	root := testRoot(0)
	v, h := NewVault(root), NewHandles(root)
	id := [16]byte{1, 2, 3}
	got := map[string]string{
		"fingerprint": root.Fingerprint(),
		"jetstream":   v.JetStreamKey(),
		"mac":         encoding.EncodeToString(v.MAC("pseudonym", "alice")),
		"auth_req_id": h.AuthReqID(id),
		"ticket":      h.Ticket(id, 2),
		"callback":    h.CallbackRef(id, 2),
		"code":        h.Code(id, 2),
	}
	for name, want := range pinned {
		if got[name] != want {
			t.Errorf("%s = %q, want %q", name, got[name], want)
		}
	}
}

var pinned = map[string]string{
	"fingerprint": "e62540925cedeccd05835d9168b81b98",
	"jetstream":   "pHm2ft7yQAYhN2xJ+a21TbxXknZtP1XBeSdD2mKAvr4",
	"mac":         "7YwDF4IiusMT6GXdWWTUt-4W_gJnRtikUNk-gBocBHQ",
	"auth_req_id": "AQECAwAAAAAAAAAAAAAAAAChXcZAWznESqdqv0Pzb3I9",
	"ticket":      "AQECAwAAAAAAAAAAAAAAAAAAAqwzI7Q_LPqSwXes",
	"callback":    "AQECAwAAAAAAAAAAAAAAAAAAAguVL3DDPx7Hwbxp",
	"code":        "871710",
}
