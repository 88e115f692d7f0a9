package templates

import (
	"encoding/json"
	"html"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"ringback/channels/content"
	"ringback/consent"
	"ringback/details"
)

// A type that is configuration alone reaches page, message and answer in both
// languages.
func TestConfiguredType(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../details/testdata/vehicle.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var types []details.Type
	if err := yaml.Unmarshal(data, &types); err != nil {
		t.Fatal(err)
	}
	reg, err := details.New(types)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Details: reg})
	if err != nil {
		t.Fatal(err)
	}
	if errs := s.Check(Languages()); len(errs) > 0 {
		t.Errorf("Check = %v", errs)
	}
	req := sample(func(r *consent.Request) {
		r.Details = json.RawMessage(`[{"type":"vehicle_unlock","vehicle":"Blue van","deposit":{"amount":"1200","currency":"EUR"},"doors":["driver","boot"],"minutes":30,"note":"for the trip","trace":"t-1"}]`)
	})
	for lang, want := range map[string]struct {
		page []string
		sms  string
		said string
	}{
		"en": {
			[]string{"Unlock Blue van for 30 minutes?", "Deposit1,200.00 EUR", "driver's side, boot", "1,200.00 EUR is held until the car is back.", "“for the trip”"},
			"Travel Agent (travel.example) asks to UNLOCK Blue van for 30 minutes, deposit 1,200.00 EUR. Not expected? Reply NO 482913. To allow: YES 482913. Ends 14:35.",
			"Allowed: UNLOCK Blue van for 30 minutes, deposit 1,200.00 EUR.",
		},
		"de": {
			[]string{"Blue van für 30 Minuten öffnen?", "Kaution1.200,00 EUR", "Fahrerseite, Heck", "„for the trip“"},
			"Travel Agent (travel.example) möchte Blue van für 30 Minuten ÖFFNEN, Kaution 1.200,00 EUR. Nicht erwartet? Antwort NEIN 482913. Erlauben: JA 482913.", // one segment without the end
			"Erlaubt: Blue van für 30 Minuten ÖFFNEN, Kaution 1.200,00 EUR.",
		},
	} {
		v := mustView(t, s, req, people[lang], 0)
		card, _, err := s.Card(v)
		if err != nil {
			t.Fatal(err)
		}
		text := html.UnescapeString(tags.ReplaceAllString(string(card), ""))
		for _, words := range want.page {
			if !strings.Contains(text, words) {
				t.Errorf("%s: the card lacks %q:\n%s", lang, words, text)
			}
		}
		if strings.Contains(text, "t-1") {
			t.Errorf("%s: the card shows a silent field", lang)
		}
		m, err := s.Message(content.KindText, v, Ask{Code: sampleCode, Reply: true})
		if err != nil {
			t.Fatal(err)
		}
		if body(m) != want.sms || !m.Reply {
			t.Errorf("%s: SMS = %q, reply %v, want %q", lang, body(m), m.Reply, want.sms)
		}
		if got := s.Say(AnswerAllowed, "", &v, 0); got != want.said {
			t.Errorf("%s: Say = %q, want %q", lang, got, want.said)
		}
	}
}
