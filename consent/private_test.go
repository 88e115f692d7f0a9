package consent_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"ringback/consent"
)

// TestPrivateValuesNeverPrint is the attacker's look into logs and errors.
func TestPrivateValuesNeverPrint(t *testing.T) {
	t.Parallel()
	p, s := consent.Phone("+12025550101"), consent.Secret("hunter2")
	req := request()
	req.Bearers = consent.Bearers{MatchCode: "4711", NotificationToken: "hunter2"}
	dev := consent.Device{ID: "d", Channel: "sms", Address: "+12025550101"}
	person := consent.Person{ID: "alice", Phone: p}
	raw, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		slog.New(h).Info("m", "phone", p, "secret", s, "device", dev.String(), "err", errors.Join(fmt.Errorf("to %v", p), fmt.Errorf("with %s", s)))
		slog.New(h).Info("m", slog.Group("g", slog.Any("phone", p), slog.Any("code", req.Bearers.MatchCode)))
	}
	var out strings.Builder
	for _, v := range []any{p, s, &p, &s, dev, req.Bearers, person, []consent.Phone{p}, map[string]consent.Secret{"a": s}} {
		for _, verb := range []string{"%v", "%+v", "%s", "%q"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	for _, v := range []any{p, s, req.Bearers, person} {
		fmt.Fprintf(&out, "%#v\n", v)
	}
	for where, text := range map[string]string{"print": out.String(), "logs": log.String(), "the fact": string(raw)} {
		for _, leak := range []string{"5550101", "hunter2", "4711"} {
			if strings.Contains(text, leak) {
				t.Errorf("%s hold %q: %s", where, leak, text)
			}
		}
	}
	if !strings.Contains(log.String(), "+12…01") || !strings.Contains(log.String(), "[secret]") {
		t.Errorf("logs do not say that something is left out: %s", log.String())
	}
}

func TestPhoneString(t *testing.T) {
	t.Parallel()
	for phone, want := range map[consent.Phone]string{"": "…", "+1202": "…", "+12025": "+12…25", "+491701234521": "+49…21"} {
		if got := phone.String(); got != want {
			t.Errorf("Phone(%d digits).String() = %s, want %s", len(phone), got, want)
		}
	}
}

// TestBearersAreNoPartOfTheFact: what opens something is kept beside the fact,
// so that digests, evidence and exports cannot hold it.
func TestBearersAreNoPartOfTheFact(t *testing.T) {
	t.Parallel()
	with, without := request(), request()
	with.Bearers = consent.Bearers{MatchCode: "4711", NotificationToken: "token"}
	a, err1 := json.Marshal(with)
	b, err2 := json.Marshal(without)
	if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
		t.Errorf("the fact with bearers is %s, %v, without them %s, %v", a, err1, b, err2)
	}
	if askedDigest(t, with) != askedDigest(t, without) {
		t.Error("bearers change what is asked")
	}
}

func TestLossSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for want, l := range map[string]consent.Loss{
		"CONSENT: gone":         {Stream: "CONSENT", Why: "gone"},
		"AUDIT 7: changed":      {Stream: "AUDIT", From: 7, To: 7, Why: "changed"},
		"CONSENT 7 to 12: gone": {Stream: "CONSENT", From: 7, To: 12, Why: "gone"},
	} {
		if got := l.String(); got != want {
			t.Errorf("String() = %q, want %q", got, want)
		}
	}
	err := error(&consent.LostError{
		Where: "/var/lib/ringback", Losses: []consent.Loss{{Stream: "CONSENT", From: 7, To: 12, Why: "gone"}, {Stream: "AUDIT", Why: "gone"}},
		Requests: []string{"r1", "r2"}, More: 3,
	})
	const want = "opening /var/lib/ringback: acknowledged facts are lost: CONSENT 7 to 12: gone; AUDIT: gone; of requests r1, r2 and 3 more. " +
		"Nothing is served, so that nothing is allowed twice. Restore the whole store from a newer backup; " +
		"or run `ringback repair`, which seals what is lost and ends what it may have allowed"
	if err.Error() != want {
		t.Errorf("Error() = %q\nwant %q", err, want)
	}
	if !errors.Is(err, consent.ErrLost) || !errors.Is(err, consent.ErrUnavailable) {
		t.Error("a loss is not ErrLost and ErrUnavailable: doors would not answer 503")
	}
	if text := (&consent.LostError{Where: "x"}).Error(); strings.Contains(text, "of requests") || strings.Contains(text, "more.") {
		t.Errorf("a loss of no known request names some: %q", text)
	}
}
