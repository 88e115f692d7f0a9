package consent_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"ringback/consent"
)

func TestID(t *testing.T) {
	t.Parallel()
	id := consent.NewID()
	if got, err := consent.ParseID(id.String()); err != nil || got != id {
		t.Errorf("ParseID(%q) = %v, %v", id, got, err)
	}
	if other := consent.NewID(); other == id || id == (consent.ID{}) {
		t.Errorf("NewID() = %v and %v, want different ones", id, other)
	}
	// The last character carries three bits: the one before its next spelling.
	zero := strings.Repeat("a", 26)
	for _, bad := range []string{
		"", "a", strings.ToUpper(id.String()), id.String() + "a", zero[:25] + "b", zero[:25] + "h", strings.Repeat("1", 26), strings.Repeat("=", 26),
		zero[:24] + "\n" + "a", " " + zero[:25],
	} {
		if got, err := consent.ParseID(bad); !errors.Is(err, consent.ErrBadID) {
			t.Errorf("ParseID(%q) = %v, %v, want ErrBadID", bad, got, err)
		}
		var got consent.ID
		if err := got.UnmarshalText([]byte(bad)); !errors.Is(err, consent.ErrBadID) {
			t.Errorf("UnmarshalText(%q) = %v, want ErrBadID", bad, err)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("aaaaaaaaaaaaaaaaaaaaaaaaaa")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := consent.ParseID(s); err == nil && id.String() != s {
			t.Errorf("ParseID(%q) reads another form than it writes: %v", s, id)
		}
	})
}

// TestDigestHasOneSpelling: two texts of one digest would be two keys of one
// thing, and let a changed file pass for the same.
func TestDigestHasOneSpelling(t *testing.T) {
	t.Parallel()
	const zero = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	var d consent.Digest
	if err := d.UnmarshalText([]byte(zero)); err != nil || d != (consent.Digest{}) {
		t.Errorf("UnmarshalText(%q) = %v, %v", zero, d, err)
	}
	for name, bad := range map[string]string{
		"nothing": "", "short": zero[1:], "long": zero + "A", "padded": zero + "=", "bits behind the end": zero[:42] + "B",
		"standard alphabet": zero[:42] + "+", "a line break": zero[:42] + "\n", "a line break inside": zero[:20] + "\n" + zero[20:], "space": " " + zero[1:],
	} {
		var d consent.Digest
		if err := d.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%s: UnmarshalText(%q) = %v, want an error", name, bad, d)
		}
		text, _ := json.Marshal(bad)
		if err := json.Unmarshal(text, &d); err == nil {
			t.Errorf("%s: Unmarshal(%s) = %v, want an error", name, text, d)
		}
	}
}

func FuzzDigest(f *testing.F) {
	f.Add("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\nAAAAAAAAAAAA")
	f.Add("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB")
	f.Fuzz(func(t *testing.T, s string) {
		var d consent.Digest
		if err := d.UnmarshalText([]byte(s)); err == nil && d.String() != s {
			t.Errorf("UnmarshalText(%q) reads another form than it writes: %v", s, d)
		}
	})
}
