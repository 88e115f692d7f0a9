package templates

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestUserCodeMessages(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	link := strings.Replace(sampleLink, "/a/", "/u/", 1)
	for _, lang := range languages {
		var b strings.Builder
		for _, text := range []string{s.OfferUserCode(people[lang].Locale, sampleCode, link, 10*time.Minute).Body, s.UserCodeChanged(people[lang].Locale).Body} {
			n, gsm := Segments(text)
			fmt.Fprintf(&b, "%d segments, GSM %v\n%s\n\n", n, gsm, text)
			if n > 2 || !gsm || strings.ContainsAny(text, "{}") {
				t.Errorf("%s: %d segments, GSM %v: %s", lang, n, gsm, text)
			}
		}
		golden(t, "sms/"+lang+"/user-code.txt", b.String())
	}
	if got, want := s.UserCodeChanged("fr"), s.UserCodeChanged("en"); got != want {
		t.Errorf("for somebody who speaks no language of ours: %q, want %q", got, want)
	}
}

// TestUserCodePageRefuses: there is no such card.
func TestUserCodePageRefuses(t *testing.T) {
	t.Parallel()
	for _, state := range []State{"", Asking, Refused, NotFound} {
		var b strings.Builder
		if err := newSet(t).UserCodePage(&b, UserCodePage{State: state}); err == nil || b.Len() > 0 {
			t.Errorf("state %q: %v, %d bytes", state, err, b.Len())
		}
	}
}
