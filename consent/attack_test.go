package consent_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringback/consent"
)

// TestNobodyElseDecides: everybody who is not the person named tries everything
// with otherwise perfect evidence, in every spelling that might be taken for
// the right one.
func TestNobodyElseDecides(t *testing.T) {
	t.Parallel()
	others := []string{
		"", "bob", "agent", "operator", "clock", "ALICE", "Alice", "alice ", " alice", "alice\x00", "alic", "alicee", "аlice" /* Cyrillic а */, "al\u200bice",
		"p", "+12025550101", "https://as.example", "*", "any",
	}
	all := []consent.Means{"", consent.ByReply, consent.ByPage, consent.ByDev, consent.ByClient, consent.ByClock, consent.ByAdmin, consent.ByRepair, "voicemail"}
	for _, by := range others {
		for _, means := range all {
			for _, verb := range []consent.Verb{consent.Approved, consent.Denied, consent.Expired, ""} {
				for _, notMe := range []bool{false, true} {
					s := &consent.State{Request: request()}
					d, err := consent.Decide(s, yes(t, s.Request, func(e *consent.Evidence) {
						e.By, e.Means, e.Verb, e.NotMe = by, means, verb, notMe
					}), registry(t), t0)
					if !errors.Is(err, consent.ErrNotNamed) && !errors.Is(err, consent.ErrMeans) || d.Verb != "" {
						t.Errorf("%q by %q as %q, not me %v: Decide() = %+v, %v", verb, by, means, notMe, d, err)
					}
				}
			}
		}
	}
}

// TestOnlyTheAskerTakesBack: withdrawing is the asker's and the operator's, and
// not even the person's own.
func TestOnlyTheAskerTakesBack(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		by    string
		means consent.Means
		want  error
	}{
		{"agent", consent.ByClient, nil},
		{"operator", consent.ByAdmin, nil},
		{"other", consent.ByClient, consent.ErrNotNamed},
		{"", consent.ByClient, consent.ErrNotNamed},
		{"Agent", consent.ByClient, consent.ErrNotNamed},
		{"alice", consent.ByClient, consent.ErrNotNamed},
		{"host travel.example", consent.ByClient, consent.ErrNotNamed},
		{"alice", consent.ByPage, consent.ErrMeans},
		{"agent", consent.ByPage, consent.ErrMeans},
		{"agent", consent.ByReply, consent.ErrMeans},
		{"agent", consent.ByDev, consent.ErrMeans},
		{"agent", consent.ByClock, consent.ErrMeans},
		{"agent", "", consent.ErrMeans},
	} {
		s := &consent.State{Request: request()}
		s.Request.Client.Group = "host travel.example"
		d, err := consent.Decide(s, consent.Evidence{Verb: consent.Withdrawn, By: tt.by, Means: tt.means, Nonce: "n"}, registry(t), t0)
		if !errors.Is(err, tt.want) || tt.want != nil && d.Verb != "" {
			t.Errorf("withdrawn by %q as %q: Decide() = %+v, %v, want %v", tt.by, tt.means, d, err, tt.want)
		}
	}
}

// TestEvidenceFromElsewhere: what was shown to one person for one request says
// nothing for another, however little they differ.
func TestEvidenceFromElsewhere(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*consent.Request){
		"another request of the same": func(r *consent.Request) { r.ID[0]++ },
		"the same, salted otherwise":  func(r *consent.Request) { r.Salt = []byte("fedcba9876543210") },
		"another person":              func(r *consent.Request) { r.Pseudonym = "q" },
		"another client":              func(r *consent.Request) { r.Client.ID = "agent2" },
		"another payee":               func(r *consent.Request) { r.Details = replaced(t, payment, "ACME GmbH", "ACNE GmbH") },
		"a smaller amount":            func(r *consent.Request) { r.Details = replaced(t, payment, "50.00", "5.00") },
		"a longer life of the token":  func(r *consent.Request) { r.GrantLifetime *= 10 },
		"one scope more":              func(r *consent.Request) { r.Scope = append(r.Scope, "admin") },
		"a weaker assurance":          func(r *consent.Request) { r.ACR = []string{tap} },
		"a later end":                 func(r *consent.Request) { r.ExpiresAt = r.ExpiresAt.Add(time.Second) },
	} {
		seen := request()
		change(seen)
		s := &consent.State{Request: request()}
		if d, err := consent.Decide(s, yes(t, s.Request, func(e *consent.Evidence) { e.Presentation = shown(t, seen) }), registry(t), t0); !errors.Is(err, consent.ErrShown) {
			t.Errorf("%s: Decide() = %+v, %v, want ErrShown", name, d, err)
		}
	}
}

// TestRandomEvidence decides on evidence of every kind and holds what comes of
// it against rules that are written here once more.
func TestRandomEvidence(t *testing.T) {
	t.Parallel()
	r, reg := dice(4), registry(t)
	made := map[consent.Verb]int{}
	for range 10000 {
		req := request()
		req.ACR = [][]string{{tap}, {match}, {phr}, {tap, phr}, {match, phr}, nil}[r.IntN(6)]
		req.Narrowable = r.IntN(3) > 0
		s := &consent.State{Request: req}
		if r.IntN(10) == 0 {
			s.Decided = &consent.Decision{Verb: consent.Denied, Nonce: "first"}
		}
		now := t0.Add(time.Duration(r.IntN(330)) * time.Second)
		ev := consent.Evidence{
			Verb: pick(r, consent.Approved, consent.Approved, consent.Approved, consent.Denied, consent.Withdrawn, consent.Expired, ""), NotMe: r.IntN(8) == 0,
			By:    pick(r, "alice", "alice", "alice", "bob", "agent", "operator", ""),
			Means: pick(r, consent.ByPage, consent.ByReply, consent.ByPage, consent.ByDev, consent.ByClient, consent.ByAdmin, consent.ByClock),
			ACR:   pick(r, tap, match, phr, phr, "gold", ""), Nonce: strconv.Itoa(r.IntN(1000)),
		}
		switch r.IntN(6) {
		case 0:
		case 1:
			ev.Presentation = &consent.Presentation{AskedDigest: consent.Digest{1}}
		default:
			ev.Presentation = shown(t, req)
		}
		cents := int64(5000)
		if r.IntN(3) == 0 {
			cents = r.Int64N(10000)
			ev.Granted = json.RawMessage(strings.Replace(payment, "50.00", big.NewRat(cents, 100).FloatString(2), 1))
		}
		d, err := consent.Decide(s, ev, reg, now)
		if err != nil {
			if d.Verb != "" && !errors.Is(err, consent.ErrDecided) {
				t.Fatalf("%+v: %v, and yet %+v", ev, err, d)
			}
			continue
		}
		made[d.Verb]++
		seen := ev.Presentation == nil || ev.Presentation.AskedDigest == askedDigest(t, req)
		mine := ev.By == "alice" && (ev.Means == consent.ByPage || ev.Means == consent.ByReply || ev.Means == consent.ByDev)
		enough := false
		for _, w := range req.ACR {
			enough = enough || ev.ACR == w || w == tap && (ev.ACR == match || ev.ACR == phr) || w == match && ev.ACR == phr
		}
		smaller := ev.Granted == nil || req.Narrowable && cents > 0 && cents <= 5000
		ok := s.Decided == nil && now.Before(req.ExpiresAt) && seen
		switch d.Verb {
		case consent.Approved:
			ok = ok && mine && enough && smaller && !ev.NotMe && (ev.Presentation != nil || ev.Means == consent.ByDev)
		case consent.Denied:
			ok = ok && mine
		case consent.Withdrawn:
			ok = ok && !ev.NotMe && (ev.Means == consent.ByClient && ev.By == "agent" || ev.Means == consent.ByAdmin)
		default:
			ok = false
		}
		if !ok {
			t.Fatalf("%+v on %q after %v was decided: %+v", ev, req.ACR, now.Sub(t0), d)
		}
	}
	for _, v := range []consent.Verb{consent.Approved, consent.Denied, consent.Withdrawn} {
		if made[v] < 50 {
			t.Errorf("only %d were %s: this tests nothing", made[v], v)
		}
	}
}

// TestNothingGrows changes what was asked at random, byte by byte and number by
// number: no smaller yes that is taken is larger in any way.
func TestNothingGrows(t *testing.T) {
	t.Parallel()
	r, reg := dice(5), registry(t)
	type instructed struct {
		Account struct{ IBAN string }             `json:"creditorAccount"`
		Name    string                            `json:"creditorName"`
		Money   struct{ Amount, Currency string } `json:"instructedAmount"`
		Type    string
	}
	taken := 0
	for range 10000 {
		text := []byte(payment)
		for range 1 + r.IntN(3) {
			at := r.IntN(len(text))
			switch r.IntN(3) {
			case 0:
				text[at] = pick(r, []byte("0123456789.,\"{}[]:eE-+ abcXYZ")...)
			case 1:
				text = append(text[:at:at], text[at+1:]...)
			case 2:
				text = append(text[:at:at], append([]byte{pick(r, []byte("0123456789.\"{}[],:e-")...)}, text[at:]...)...)
			}
		}
		if r.IntN(2) == 0 { // most of the others are no JSON
			text = []byte(strings.Replace(payment, "50.00", pick(r, "", "0", "-", "4", "49", "5")+strconv.Itoa(r.IntN(200))+pick(r, "", ".", ".0", ".000000001", ".99"), 1))
		}
		req := request()
		d, err := consent.Decide(&consent.State{Request: req}, yes(t, req, func(e *consent.Evidence) { e.Granted = text }), reg, t0)
		if err != nil {
			continue
		}
		var got []instructed
		if err := json.Unmarshal(d.Granted, &got); err != nil || len(got) != 1 {
			t.Fatalf("granted %s: %v", d.Granted, err)
		}
		amount, ok := new(big.Rat).SetString(got[0].Money.Amount)
		if !ok || amount.Sign() <= 0 || amount.Cmp(big.NewRat(50, 1)) > 0 {
			t.Fatalf("of 50.00 was granted %s: %s", got[0].Money.Amount, d.Granted)
		}
		if got[0].Money.Currency != "EUR" || got[0].Name != "ACME GmbH" || got[0].Account.IBAN != "DE89370400440532013000" || got[0].Type != "payment_initiation" {
			t.Fatalf("granted was something else: %s", d.Granted)
		}
		taken++
	}
	if taken < 100 {
		t.Errorf("only %d were taken: this tests nothing", taken)
	}
}
