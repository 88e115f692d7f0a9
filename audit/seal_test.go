package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"ringback/consent"
	"ringback/keys"
)

// Seal seals what is stored, once, as Run does all the time.
func Seal(a *Auditor, ctx context.Context) error { return a.seal(ctx, time.Time{}) }

// IsCheckpoint reports whether a record is one.
func IsCheckpoint(data []byte) bool {
	r, err := readRecord(data)
	return err == nil && r.Type == lineCheckpoint
}

// HashOf is what the next record has of one.
func HashOf(data []byte) consent.Digest { return sha256.Sum256(data) }

// Canonical is the stored form of a record whose members somebody has changed.
func Canonical(t testing.TB, r map[string]any) []byte {
	t.Helper()
	loose, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var strict record
	if err := json.Unmarshal(loose, &strict); err != nil {
		t.Fatal(err)
	}
	data, err := encode(strict)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// SignLost signs a lost record with any key.
func SignLost(t testing.TB, ring *keys.Ring, r map[string]any) string {
	t.Helper()
	var strict record
	if err := json.Unmarshal(Canonical(t, r), &strict); err != nil {
		t.Fatal(err)
	}
	c, err := strict.claims()
	if err != nil {
		t.Fatal(err)
	}
	jws, err := ring.SignEvidence(typeLost, c)
	if err != nil {
		t.Fatal(err)
	}
	return jws
}

func TestParseName(t *testing.T) {
	t.Parallel()
	for kind, n := range map[consent.FactKind]int{consent.FactAsked: 0, consent.FactTried: 1, consent.FactNotified: 120, consent.FactSettled: 0} {
		name := factName(kind, n)
		if k, m, ok := parseName(name); !ok || k != kind || m != n {
			t.Errorf("parseName(%q) = %q, %d, %v", name, k, m, ok)
		}
	}
	for _, bad := range []string{"", "asked.1", "tried", "tried.", "tried.0", "tried.01", "tried.+1", "tried.-1", "tried.1.2", "Tried.1", "tried.99999999999999999999", "told"} {
		if _, _, ok := parseName(bad); ok {
			t.Errorf("parseName(%q) takes it", bad)
		}
	}
}

func TestDecodeTakesOneSpelling(t *testing.T) {
	t.Parallel()
	good, err := encode(record{V: 1, Type: lineErased, Seq: 2, Person: "a<b>&c\u2028", Sealed: 7, At: time.Unix(1_700_000_000, 5e6).UTC()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readRecord(good); err != nil {
		t.Fatalf("readRecord(%s) = %v", good, err)
	}
	replace := func(old, with string) string { return string(bytes.Replace(good, []byte(old), []byte(with), 1)) }
	for _, bad := range []string{
		"", "null", "[]", " " + string(good), string(good) + " ", string(good) + "\n", string(good) + string(good),
		replace(`"seq":2`, `"seq":2.0`), replace(`"seq":2`, `"seq":02`), replace(`"seq":2`, `"seq":2e0`), replace(`"seq":2`, `"Seq":2`), replace(`"seq":2`, `"seq":2,"seq":2`),
		replace(`"v":1`, `"v":1,"x":1`), replace(`"v":1,`, ``), replace(`,"sealed":7`, ``), replace(`:2,`, `: 2,`), replace(`<`, `\u003c`), replace(`a`, "\xff"),
		replace(`"seq":2`, `"seq":null`), replace(`.005Z`, `.0050Z`), replace(`Z"`, `+00:00"`), replace(`"type":"erased"`, `"type":"erased","jws":""`), replace(`"v":1`, `"v":2`),
	} {
		if _, err := readRecord([]byte(bad)); err == nil {
			t.Errorf("readRecord(%q) takes it", bad)
		}
	}
}

func TestRecent(t *testing.T) {
	t.Parallel()
	fact := func(seq uint64, id byte, kind consent.FactKind, data string) *consent.StoredFact {
		return &consent.StoredFact{Seq: seq, ID: consent.ID{id}, Kind: kind, Data: []byte(data)}
	}
	big := make([]byte, recentBytes/10)
	const no, yes = `{"verb":"denied"}`, `{"verb":"approved"}`
	r := newRecent()
	add := func(f *consent.StoredFact) []consent.StoredFact { return r.add(f, finishes(f)) }
	r.resume(0)
	add(fact(1, 1, consent.FactAsked, "{}"))
	add(fact(2, 2, consent.FactTried, "{}"))
	add(fact(3, 1, consent.FactTried, "{}"))
	add(fact(3, 1, consent.FactTried, "{}")) // read again
	r.resume(1)
	add(fact(3, 1, consent.FactTried, "{}"))
	add(fact(4, 1, consent.FactDecided, yes))
	if got := add(fact(5, 1, consent.FactSettled, "{}")); len(got) != 4 || got[0].Seq != 1 || got[3].Seq != 5 {
		t.Errorf("a request of four facts yields %v", got)
	}
	if got := add(fact(6, 1, consent.FactRevoked, "{}")); got != nil {
		t.Errorf("a finished request yields %v", got)
	}
	if got := add(fact(7, 2, consent.FactDecided, no)); got != nil {
		t.Errorf("a request whose asked went by yields %v", got)
	}
	add(fact(8, 3, consent.FactAsked, "{}"))
	r.resume(9) // somebody else sealed number 9
	if got := add(fact(10, 3, consent.FactDecided, no)); got != nil {
		t.Errorf("a request with a fact unseen yields %v", got)
	}
	add(fact(11, 4, consent.FactAsked, "{}"))
	add(&consent.StoredFact{Seq: 12, ID: consent.ID{4}, Kind: consent.FactTried, Unreadable: true})
	if got := add(fact(13, 4, consent.FactDecided, no)); got != nil {
		t.Errorf("a request with an unreadable fact yields %v", got)
	}

	for n := range 1000 {
		add(&consent.StoredFact{Seq: uint64(100 + n), ID: consent.ID{byte(n%250 + 5)}, Kind: consent.FactAsked, Data: big})
		if n%3 == 0 {
			add(fact(uint64(100+n), byte(n%250+5), consent.FactSettled, "{}"))
		}
		if r.size > recentBytes || len(r.order) > 1000 {
			t.Fatalf("%d bytes of %d requests kept", r.size, len(r.order))
		}
	}
	sum := 0
	for _, facts := range r.requests {
		for _, f := range facts {
			sum += len(f.Data)
		}
	}
	if sum != r.size {
		t.Errorf("size = %d, want %d", r.size, sum)
	}
}

// TestLongestRecord: the longest record fits into the message of a megabyte
// that every server takes, also in an answer, which spells it in base64.
func TestLongestRecord(t *testing.T) {
	t.Parallel()
	longest := sealedFact{Seq: math.MaxUint64, Request: consent.NewID(), Fact: factName(consent.FactNotified, math.MaxInt32), Person: "aaaaaaaaaaaaaaaa", Unreadable: goneDamaged, Finishes: true}
	data, err := encode(&record{V: formatVersion, Type: lineFacts, Seq: math.MaxUint64, Sealed: math.MaxUint64, At: time.Now().UTC(), Facts: slices.Repeat([]sealedFact{longest}, batchBehind)})
	if err != nil {
		t.Fatal(err)
	}
	if n := base64.StdEncoding.EncodedLen(len(data)); n > 900<<10 {
		t.Errorf("the longest record has %d bytes, %d in an answer", len(data), n)
	}
}

func FuzzReadRecord(f *testing.F) {
	good, _ := encode(record{V: 1, Type: lineFacts, Seq: 1, Sealed: 3, Facts: []sealedFact{{Seq: 3, Fact: "asked", Person: "p"}}})
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := readRecord(data)
		if err != nil {
			return
		}
		if again, err := encode(r); err != nil || !bytes.Equal(again, data) {
			t.Errorf("readRecord takes %q, which is no spelling of ours", data)
		}
	})
}

func FuzzReadEvidence(f *testing.F) {
	body, _ := encode(evidenceBody{V: 1, Facts: []evidenceFact{{Seq: 1, Fact: "asked", Data: json.RawMessage("{}")}}, Asked: json.RawMessage("{}"), Decision: json.RawMessage("{}")})
	plain, _ := encode(evidence{Body: body, JWS: "x"})
	f.Add(pack(plain))
	f.Add([]byte{packed})
	f.Fuzz(func(t *testing.T, data []byte) {
		line, upTo := readEvidence(&consent.StoredEvidence{Seq: 1, Data: data})
		if (line.Evidence == nil) != (line.Unreadable == goneDamaged) || line.Evidence == nil && upTo != 0 {
			t.Errorf("readEvidence(%x) = %+v, %d", data, line, upTo)
		}
		if _, err := encode(line); err != nil {
			t.Errorf("readEvidence(%x) yields what cannot be written: %v", data, err)
		}
	})
}

func FuzzStory(f *testing.F) {
	f.Add("tried.1", []byte(`{"v":1,"n":1}`))
	f.Add("decided", []byte(`{"v":1}`))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		kind, n, ok := parseName(name)
		if !ok {
			return
		}
		var s story
		_ = s.add(consent.FactAsked, 0, []byte(`{"v":1}`))
		_ = s.add(kind, n, data)
	})
}
