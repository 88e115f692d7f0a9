package templates

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/consent"
	"ringback/details"
)

func TestViewTimes(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	late := sample(func(r *consent.Request) {
		r.AskedAt = time.Date(2026, 11, 22, 22, 58, 0, 0, time.UTC)
		r.ExpiresAt = r.AskedAt.Add(5 * time.Minute)
	})
	for _, tt := range []struct {
		req          *consent.Request
		locale, zone string
		want         string
	}{
		{requests["payment"], "en", "Europe/Berlin", "14:35"},
		{requests["payment"], "de", "America/New_York", "08:35"},
		{requests["payment"], "en", "", "13:35 UTC"},
		{requests["payment"], "en", "Mars/Olympus", "13:35 UTC"},
		{late, "en", "Europe/Berlin", "23 Nov, 00:03"},
		{late, "en", "", "23:03 UTC"},
		{late, "en", "Europe/London", "23:03"},
		{sample(func(r *consent.Request) { r.ExpiresAt = asked.Add(11 * time.Hour) }), "en", "Europe/Berlin", "23 Nov, 01:30"},
		{sample(func(r *consent.Request) { r.ExpiresAt = asked.Add(11 * time.Hour) }), "de", "Europe/Berlin", "23.11., 01:30"},
	} {
		v := mustView(t, s, tt.req, &consent.Person{ID: "alice", Locale: tt.locale, Zoneinfo: tt.zone}, 0)
		if v.Ends != tt.want || !v.EndsAt.Equal(tt.req.ExpiresAt) {
			t.Errorf("%s in %q: ends %q, want %q", tt.locale, tt.zone, v.Ends, tt.want)
		}
	}
}

func TestViewLanguage(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	for locale, want := range map[string]string{"": "en", "en": "en", "en-GB": "en", "de": "de", "de-AT": "de", "de_CH": "de", "DE": "de", "fr": "en", "x": "en"} {
		if got := mustView(t, s, requests["payment"], &consent.Person{Locale: locale}, 0).Lang; got != want {
			t.Errorf("locale %q: Lang = %s, want %s", locale, got, want)
		}
	}
	for accept, want := range map[string]string{"": "en", "de-DE,de;q=0.9,en;q=0.8": "de", "fr, de;q=0.5": "de", "en-US,en;q=0.9,de;q=0.1": "en", "*": "en", ";;;": "en"} {
		if got := Language(accept); got != want {
			t.Errorf("Language(%q) = %s, want %s", accept, got, want)
		}
	}
}

// The same request and person always give the same evidence, whatever else
// waits, and another request gives other evidence.
func TestCardDeterministic(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, name := range sorted(requests) {
		for _, lang := range languages {
			_, a, err := newSet(t).Card(mustView(t, newSet(t), requests[name], people[lang], 0))
			if err != nil {
				t.Fatal(err)
			}
			s := newSet(t)
			_, b, err := s.Card(mustView(t, s, requests[name], people[lang], 7))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(a, b); diff != "" {
				t.Errorf("%s %s changes:\n%s", lang, name, diff)
			}
			if other, ok := seen[a.Rendered]; ok {
				t.Errorf("%s %s looks like %s", lang, name, other)
			}
			seen[a.Rendered] = lang + " " + name
		}
	}
}

// The headline and what stands before the buttons stay short enough to be
// read (prompts: 12 and 45 words).
func TestWordCount(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	for _, name := range []string{"payment", "access", "scope", "identity", "own-scope"} {
		for _, lang := range languages {
			v := mustView(t, s, requests[name], people[lang], 0)
			if n := len(strings.Fields(v.Headline.String())); n > 12 {
				t.Errorf("%s %s: headline of %d words", lang, name, n)
			}
			card, _, err := s.Card(v)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(strings.Fields(tags.ReplaceAllString(string(card), " "))); n > 45 {
				t.Errorf("%s %s: %d words before the buttons", lang, name, n)
			}
		}
	}
}

// No language lacks words, and each phrase has the same places for values.
func TestCatalogueComplete(t *testing.T) {
	t.Parallel()
	places := func(v reflect.Value) []string {
		var out []string
		texts := []string{}
		if v.Kind() == reflect.String {
			texts = append(texts, v.String())
		} else {
			for i := range v.Len() {
				texts = append(texts, v.Index(i).String())
			}
		}
		for _, text := range texts {
			if text == "" {
				return []string{"nothing"}
			}
			for _, span := range put(text, nil) {
				if span.Path != "" && !slices.Contains(out, span.Path) {
					out = append(out, span.Path)
				}
			}
		}
		slices.Sort(out)
		return out
	}
	en := reflect.ValueOf(english)
	for _, lang := range languages {
		w := reflect.ValueOf(catalogue[lang])
		for i := range en.NumField() {
			name := en.Type().Field(i).Name
			if diff := cmp.Diff(places(en.Field(i)), places(w.Field(i))); diff != "" || slices.Contains(places(w.Field(i)), "nothing") {
				t.Errorf("%s: %s has other places for values than in English, or no words (-en +%s):\n%s", lang, name, lang, diff)
			}
		}
	}
}

// What is rendered in messages of ours is in the alphabet that makes them short.
func TestCatalogueGSM(t *testing.T) {
	t.Parallel()
	for _, lang := range languages {
		w := catalogue[lang]
		for _, text := range []string{w.Asks, w.AsksOnPage, w.ByReply, w.ByLink, w.RefuseReply, w.RefusePage, w.ByMatch, w.SMSEnds, w.Unchecked, w.OpenID} {
			if _, gsm := Segments(text); !gsm {
				t.Errorf("%s: %q is not in the GSM alphabet", lang, text)
			}
		}
	}
}

// The details registry orders acr values as the core does.
func TestACRsAgree(t *testing.T) {
	t.Parallel()
	for _, acr := range consent.ACRs {
		reg, err := details.New([]details.Type{{Type: "data_access", MinACR: acr}, {Type: "payment_initiation", MinACR: consent.ACRTap}})
		if err != nil {
			t.Fatal(err)
		}
		l, err := reg.Read([]byte("[" + paymentDetail + "," + accessDetail + "]"))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := l.MinACR(), consent.Stronger(acr, consent.ACRTap); got != want {
			t.Errorf("MinACR with %s = %s, want %s", acr, got, want)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	reg, err := details.New([]details.Type{{Type: "plain", Schema: map[string]any{"type": "object", "additionalProperties": false}}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Details: reg, Scopes: map[string]map[string]string{
		"openid": nil, "a": {"en": "do a", "de": "a tun"}, "b": {"en": "do b"}, "c": {"en": "do\u202ec", "de": "c tun"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, err := range s.Check([]string{"en", "de-AT", "fr", ""}) {
		got = append(got, err.Error())
	}
	want := []string{
		"details type plain: has no words in language en; add words.en",
		"scope b: has no words in language de; add words.de",
		"details type plain: has no words in language de; add words.de",
		"language fr: there are no pages and messages in it; people with it get English",
		"scope c: words.en: must not contain the control, invisible or unassigned character U+202E",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Check (-want +got):\n%s", diff)
	}
}

func TestNewAndViewErrors(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{}); err == nil {
		t.Error("New without Details = nil, want an error")
	}
	s := newSet(t)
	if _, err := s.View(sample(func(r *consent.Request) { r.Details = []byte(`[{"type":1}]`) }), people["en"], 0); err == nil {
		t.Error("View of broken details = nil, want an error")
	}
	if err := s.Page(&strings.Builder{}, PageData{State: Asking}); err == nil {
		t.Error("Page without a view = nil, want an error")
	}
}

func FuzzLanguage(f *testing.F) {
	for _, s := range []string{"de-AT,de;q=0.9", "*", ",,;", "EN", "xx;q=1,de_DE"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		if got := Language(accept); !slices.Contains(Languages(), got) {
			t.Errorf("Language(%q) = %q", accept, got)
		}
	})
}
