package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ringback/consent"
)

func TestUnknownVersionIsAnErrorAndStays(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s := g.open(t)
	ctx := t.Context()
	aead, err := s.dataKey(ctx, s.Pseudonym("alice"), true)
	if err != nil {
		t.Fatal(err)
	}
	// Version 2 in the header and in the fact, or hidden behind a header of today.
	for _, header := range []int{2, 1} {
		id := consent.NewID()
		l := label{V: header, Pseudonym: s.Pseudonym("alice"), Expires: time.Now().Add(time.Minute), At: time.Now(), Client: "agent"}
		subject := s.names.fact(place{ID: id, Kind: consent.FactAsked})
		payload := sealFact(aead, subject, l.String(), []byte(`{"v":2,"id":"`+id.String()+`"}`), []byte(`{}`))
		if _, err := s.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: payload, Header: nats.Header{headerName: {l.String()}}}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(ctx, id); !errors.Is(err, errVersion) {
			t.Errorf("Get of a fact of version 2 (header %d) = %v, want %v", header, err, errVersion)
		}
		if _, err := s.Decide(ctx, id, consent.Decision{V: 1, Verb: consent.Denied, Nonce: "n"}); !errors.Is(err, errVersion) {
			t.Errorf("Decide over a fact of version 2 = %v, want %v", err, errVersion)
		}
		if _, err := s.stored(ctx, subject); err != nil {
			t.Errorf("the fact of version 2 is gone: %v", err)
		}
		if _, ok := s.Peek(id); ok && header == 2 {
			t.Error("Peek knows a request of a version that it cannot read")
		}
	}
	askFor(t, s, "alice") // and the store goes on
}

func TestChangedFactsAreNotRead(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s := g.open(t)
	ctx := t.Context()
	req := askFor(t, s, "alice")
	m, err := s.stored(ctx, s.names.fact(place{ID: req.ID, Kind: consent.FactAsked}))
	if err != nil {
		t.Fatal(err)
	}
	header := m.label
	other := consent.NewID()
	tests := []struct {
		name            string
		header, payload string
	}{
		{"moved to another id", header, string(m.data)},
		{"another client in the header", strings.Replace(header, "c=agent", "c=other", 1), string(m.data)},
		{"cut", header, string(m.data[:len(m.data)-1])},
		{"empty", header, ""},
		{"without header", "", string(m.data)},
		{"another person's", strings.Replace(header, "p="+string(req.Pseudonym), "p="+string(s.Pseudonym("bob")), 1), string(m.data)},
	}
	for _, tt := range tests {
		id := other
		other = consent.NewID()
		subject := s.names.fact(place{ID: id, Kind: consent.FactAsked})
		if _, err := s.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: []byte(tt.payload), Header: nats.Header{headerName: {tt.header}}}); err != nil {
			t.Fatal(err)
		}
		if st, err := s.Get(ctx, id); err == nil {
			t.Errorf("%s: Get = %+v, want an error", tt.name, st)
		}
	}
	// On the second copy of the request the index must not have stumbled.
	s2 := g.open(t)
	eventually(t, "the other process to be ready", s2.Ready)
	if _, ok := s2.Peek(req.ID); !ok {
		t.Error("a damaged fact keeps the others from being seen")
	}
}

func TestLabelForms(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 10, 0, 0, 123456789, time.UTC)
	for _, l := range []label{
		{V: 1, Pseudonym: "abcdefghijklmnop", Expires: at, At: at, Writer: 1<<32 - 1},
		{V: 1, Pseudonym: "abcdefghijklmnop", Expires: at, At: at, Client: "https://a.example/c?x=1;y=2&z", Interval: 5, Same: [8]byte{1, 2, 3}},
		{V: 1, Pseudonym: "abcdefghijklmnop", Expires: at, At: at, Client: "c", Group: "host a.example;b=", Interval: 5, Binding: [8]byte{0xff, 7: 1}},
		{V: 1, Pseudonym: "abcdefghijklmnop", Expires: at, At: at.Add(-time.Hour), Verb: "approved"},
	} {
		if got, err := parseLabel(l.String()); err != nil || got != l {
			t.Errorf("parseLabel(%q) = %+v, %v, want %+v", l.String(), got, err, l)
		}
	}
	for _, text := range []string{"", "v=1;e=?", "v=1;s=00", "v=1;b=00", "v=1;b=000000000000000g", "v=1;g=%zz", "v=1;w=zzzzzzzzz", "v=0", "v=x", "v=1;a=", "v=1;c=%zz", strings.Repeat("x", 5000)} {
		if l, err := parseLabel(text); err == nil {
			t.Errorf("parseLabel(%.20q) = %+v, want an error", text, l)
		}
	}
	if _, err := parseLabel("v=1;new=thing"); err != nil {
		t.Errorf("parseLabel with an unknown member: %v", err)
	}
}

// TestLongHeaderIsNotWritten: a header that nobody could read must not be
// stored.
func TestLongHeaderIsNotWritten(t *testing.T) {
	t.Parallel()
	s := newAlone(t).open(t)
	for n, fits := range map[int]bool{1: true, 1200: true, 1400: false, 8000: false} {
		req := *askFor(t, s, "alice")
		req.ID, req.Client.ID = consent.NewID(), strings.Repeat("&", n)
		err := s.Ask(t.Context(), &req)
		if (err == nil) != fits {
			t.Errorf("Ask of a client_id of %d characters = %v", n, err)
		}
		if b, ok := s.Peek(req.ID); ok != fits || fits && b.Client != req.Client.ID {
			t.Errorf("Peek of a client_id of %d characters = %v", n, ok)
		}
	}
}

func FuzzParseLabel(f *testing.F) {
	l := label{V: 1, Pseudonym: "abcdefghijklmnop", Expires: time.Unix(1, 2), At: time.Unix(3, 4), Client: "c", Verb: "denied"}
	f.Add(l.String())
	f.Add("v=1;e=1;a=1;c=c;g=registrant+x;b=0102030405060708")
	f.Add("v=1;e=;=;;")
	f.Add("v=1;e=1;a=1;c=c;g=" + strings.Repeat("\xf2", maxHeader-20)) // escaped it is too long
	f.Fuzz(func(t *testing.T, text string) {
		l, err := parseLabel(text)
		if err != nil || l.At.IsZero() || l.Expires.IsZero() { // every fact has both
			return
		}
		if l.Client == "" { // members that only a request has
			l.Interval, l.Group, l.Same, l.Binding = 0, "", [8]byte{}, [8]byte{}
		}
		if len(l.String()) > maxHeader { // nobody writes it, see TestLongHeaderIsNotWritten
			return
		}
		if again, err := parseLabel(l.String()); err != nil || again != l {
			t.Errorf("parseLabel(%q) = %+v, %v, want %+v", l.String(), again, err, l)
		}
	})
}

func FuzzParseFact(f *testing.F) {
	n := names{"ringback"}
	f.Add(n.fact(place{ID: consent.NewID(), Kind: consent.FactAsked}))
	f.Add(n.fact(place{ID: consent.NewID(), Kind: consent.FactTried, N: 3}))
	f.Add("ringback.consent.aaaaaaaaaaaaaaaaaaaaaaaaaa.tried.03")
	f.Fuzz(func(t *testing.T, subject string) {
		p, err := n.parseFact(subject)
		if err == nil && n.fact(p) != subject {
			t.Errorf("parseFact(%q) = %+v, whose subject is %q", subject, p, n.fact(p))
		}
	})
}

func FuzzReadSnapshot(f *testing.F) {
	e := entry{id: consent.NewID(), binding: [8]byte{1}, asked: 1, expires: 2, seq: 3}
	f.Add(e.append(nil, 0))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		askers := []number{1}
		for b := (fields{rest: data}); len(b.rest) > 0; {
			if e := readEntry(&b, askers); b.err == nil && e.asker == 0 {
				t.Error("an entry without who asks")
			}
		}
		for b := (fields{rest: data}); len(b.rest) > 0; {
			readPast(&b, askers)
		}
	})
}

func FuzzReadInstance(f *testing.F) {
	f.Add([]byte(`{"v":1,"id":"x","prefix":"ringback"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if in, err := readInstance(data); err == nil && in.V != 1 {
			t.Errorf("readInstance(%q) = %+v", data, in)
		}
	})
}

func FuzzOpenFact(f *testing.F) {
	aead := testAEAD(f)
	f.Add(sealFact(aead, "s", "h", []byte("{}"), nil))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		// Whatever is stored, and whatever is inside of what our key sealed.
		openFact(aead, "s", "h", sealed)
		openFact(aead, "s", "h", sealValue(aead, "s\nh", sealed))
	})
}

func TestVersionFloor(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{
		"2.14.3": true, "2.15.0": true, "3.0.0": true, "2.15.2-beta.1": true, "2.14.10": true,
		"2.14.2": false, "2.9.99": false, "1.99.99": false, "": false, "2.14": false, "x.y.z": false,
	} {
		if got := atLeast(version, versionFloor); got != want {
			t.Errorf("atLeast(%q) = %v, want %v", version, got, want)
		}
	}
}

func TestWritersOfOneSubjectQueueUp(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	a, b := g.open(t), g.open(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	// Both write the same three hundred subjects at once, each twice: batches
	// meet losers, and nobody's winner is anybody else's.
	const subjects = 300
	type answer struct {
		subject string
		won     bool
	}
	answers := make(chan answer, 4*subjects)
	for i := range subjects {
		subject := a.names.fact(place{ID: consent.ID{byte(i), byte(i >> 8)}, Kind: consent.FactDecided})
		for j := range 4 {
			s := []*Store{a, b}[j%2]
			go func() {
				_, err := s.commit.write(ctx, newWrite(subject, "v=1", []byte{byte(j)}))
				if err != nil && !errors.Is(err, errSecond) {
					t.Errorf("write: %v", err)
				}
				answers <- answer{subject, err == nil}
			}()
		}
	}
	won := map[string]int{}
	for range 4 * subjects {
		if a := <-answers; a.won {
			won[a.subject]++
		}
	}
	for subject, n := range won {
		if n != 1 {
			t.Errorf("%d writers of %s were told that they won", n, subject)
		}
	}
	if len(won) != subjects {
		t.Errorf("%d subjects have a winner, want %d", len(won), subjects)
	}
}

// TestUsedTokensReachNoWriter: whoever has an old refresh token can present it
// as often as he likes, and costs nobody a batch.
func TestUsedTokensReachNoWriter(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*Store{"embedded": newAlone(t).open(t), "external": newGround(t).open(t)} {
		ctx := t.Context()
		req := askFor(t, s, "alice")
		r := consent.Renewal{V: consent.Version, N: 1, At: time.Now(), Nonce: "first"}
		if err := s.Renew(ctx, req.ID, r); err != nil {
			t.Fatal(err)
		}
		if err := s.commit.drain(ctx); err != nil { // now nothing can be written
			t.Fatal(err)
		}
		for _, row := range []struct {
			n     int
			nonce string
			want  error
		}{{1, "later", consent.ErrClaimed}, {1, "first", nil}, {2, "later", consent.ErrUnavailable}} {
			r.N, r.Nonce = row.n, row.nonce
			if err := s.Renew(ctx, req.ID, r); !errors.Is(err, row.want) {
				t.Errorf("%s: Renew of number %d = %v, want %v", name, row.n, err, row.want)
			}
		}
	}
}

func testAEAD(t testing.TB) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	return aead
}
