package details

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "testdata/vehicle.yaml")
	for _, tt := range []struct {
		raw, lang string
		want      Item // texts are compared as strings
		texts     [5]string
	}{
		{payment, "en", Item{
			Type: "payment_initiation", Lang: "en", Explained: true,
			Facts: []Fact{
				{Path: "instructedAmount", Label: "Amount", Value: "50.00 EUR", Money: true},
				{Path: "creditorName", Label: "To", Value: "ACME GmbH"},
				{Path: "creditorAccount.iban", Label: "Account", Value: "DE02 1001 0010 9307 1186 03"},
			},
			Free: []Fact{{Path: "remittanceInformationUnstructured", Label: "Reference", Value: "Hotel deposit"}},
		}, [5]string{"Pay 50.00 EUR to ACME GmbH?", "Leaves your account today. Cannot be undone.", "Allow 50.00 EUR", "PAY 50.00 EUR to ACME GmbH", "50.00 EUR to ACME GmbH"}},
		{strings.Replace(payment, "50.00", "1234567.5", 1), "de-AT", Item{
			Type: "payment_initiation", Lang: "de", Explained: true,
			Facts: []Fact{
				{Path: "instructedAmount", Label: "Betrag", Value: "1.234.567,50 EUR", Money: true},
				{Path: "creditorName", Label: "An", Value: "ACME GmbH"},
				{Path: "creditorAccount.iban", Label: "Konto", Value: "DE02 1001 0010 9307 1186 03"},
			},
			Free: []Fact{{Path: "remittanceInformationUnstructured", Label: "Verwendungszweck", Value: "Hotel deposit"}},
		}, [5]string{"1.234.567,50 EUR an ACME GmbH zahlen?", "Wird heute abgebucht. Lässt sich nicht rückgängig machen.", "1.234.567,50 EUR erlauben", "1.234.567,50 EUR an ACME GmbH ZAHLEN", "1.234.567,50 EUR an ACME GmbH"}},
		{access, "de", Item{
			Type: "data_access", Lang: "de", Explained: true,
			Facts: []Fact{
				{Path: "datatypes", Label: "Daten", Value: "Kontakte, Kalender"},
				{Path: "actions", Label: "Darf", Value: "lesen, ändern"},
				{Path: "locations", Label: "Bei", Value: "https://api.example/contacts"},
			},
		}, [5]string{"Zugriff auf Ihre Daten geben: Kontakte, Kalender?", "", "Zugriff erlauben", "ZUGRIFF auf Ihre Daten: Kontakte, Kalender (darf: lesen, ändern) bei https://api.example/contacts", "Zugriff auf Kontakte, Kalender (lesen, ändern)"}},
		{call, "fr", Item{
			Type: "tool_call", Lang: "en", Explained: true,
			Facts: []Fact{
				{Path: "tool", Label: "Tool", Value: "send_email"},
				{Path: "server", Label: "On", Value: "mail.example"},
				{Path: "arguments", Label: "With", Leaves: []Leaf{
					{"body", "Hi ↵ Bob"}, {"cc", "[]"}, {"n", "3"}, {"to[0]", "bob@shop.example"}, {"urgent", "true"}, {"x", "null"},
				}},
			},
		}, [5]string{"Run the tool send_email?", "Runs once, with exactly these arguments.", "Allow the call", "RUN send_email on mail.example with body=Hi ↵ Bob, cc=[], n=3, to[0]=bob@shop.example, urgent=true, x=null", "send_email on mail.example"}},
		{`[{"type":"tool_call","server":"s","tool":"t"}]`, "en", Item{
			Type: "tool_call", Lang: "en", Explained: true,
			Facts: []Fact{{Path: "tool", Label: "Tool", Value: "t"}, {Path: "server", Label: "On", Value: "s"}},
		}, [5]string{"Run the tool t?", "Runs once, with exactly these arguments.", "Allow the call", "RUN t on s", "t on s"}},
		{unlock, "de", Item{
			Type: "vehicle_unlock", Lang: "de", Explained: true,
			Facts: []Fact{
				{Path: "deposit", Label: "Kaution", Value: "1.200,00 EUR", Money: true},
				{Path: "vehicle", Label: "Auto", Value: "Blue van"},
				{Path: "doors", Label: "Türen", Value: "Fahrerseite, Heck"},
				{Path: "minutes", Label: "Minuten", Value: "30"},
				{Path: "trunk", Label: "Auch Kofferraum", Value: "nein"},
			},
			Free: []Fact{{Path: "note", Label: "Notiz", Value: "from the agent"}},
		}, [5]string{"Blue van für 30 Minuten öffnen?", "", "", "Blue van für 30 Minuten ÖFFNEN, Kaution 1.200,00 EUR", "Blue van für 30 Minuten ÖFFNEN, Kaution 1.200,00 EUR"}},
		{strings.Replace(unlock, `"minutes":30,`, "", 1), "en", Item{
			Type: "vehicle_unlock", Lang: "en", Explained: true,
			Facts: []Fact{
				{Path: "deposit", Label: "Deposit", Value: "1,200.00 EUR", Money: true},
				{Path: "vehicle", Label: "Car", Value: "Blue van"},
				{Path: "doors", Label: "Doors", Value: "driver's side, boot"},
				{Path: "trunk", Label: "Trunk too", Value: "no"},
			},
			Free: []Fact{{Path: "note", Label: "Note", Value: "from the agent"}},
		}, [5]string{"Unlock Blue van?", "1,200.00 EUR is held until the car is back.", "Unlock", "UNLOCK Blue van, deposit 1,200.00 EUR", "UNLOCK Blue van, deposit 1,200.00 EUR"}},
	} {
		got := mustParse(t, r, tt.raw).Explain(tt.lang).Items[0]
		texts := [5]string{got.Headline.String(), got.Consequence.String(), got.Allow.String(), got.SMS.String(), got.Done.String()}
		got.Headline, got.Consequence, got.Allow, got.SMS, got.Speech, got.Done = nil, nil, nil, nil, nil, nil
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("Explain(%s, %s) (-want +got):\n%s", tt.raw, tt.lang, diff)
		}
		if diff := cmp.Diff(tt.texts, texts); diff != "" {
			t.Errorf("texts of %s in %s (-want +got):\n%s", tt.raw, tt.lang, diff)
		}
	}
}

func TestExplainSpans(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	got := mustParse(t, r, payment).Explain("en").Items[0].Headline
	want := Text{{Text: "Pay "}, {Text: "50.00 EUR", Path: "instructedAmount", Money: true}, {Text: " to "}, {Text: "ACME GmbH", Path: "creditorName"}, {Text: "?"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headline (-want +got):\n%s", diff)
	}
}

func TestExplainWithoutWords(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	l, err := r.Read([]byte(`[{"type":"gone","b":{"c":[1,"x"]},"a":""}]`))
	if err != nil {
		t.Fatal(err)
	}
	want := Item{Type: "gone", Facts: []Fact{{Leaves: []Leaf{{"a", `""`}, {"b.c[0]", "1"}, {"b.c[1]", "x"}}}}}
	if diff := cmp.Diff(want, l.Explain("en").Items[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAmount(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ value, currency, lang, want string }{
		{"50", "EUR", "en", "50.00"},
		{"50.5", "EUR", "de", "50,50"},
		{"50.125", "EUR", "en", "50.125"}, // never rounded
		{"1000", "JPY", "en", "1,000"},
		{"999", "JPY", "de", "999"},
		{"1234.5", "KWD", "de", "1.234,500"},
		{"123456789012345", "USD", "en", "123,456,789,012,345.00"},
		{"0.01", "EUR", "de-CH", "0,01"},
		{"1000", "EUR", "xx", "1,000.00"},
	} {
		if got := amount(tt.value, tt.currency, tt.lang); got != tt.want {
			t.Errorf("amount(%s, %s, %s) = %s, want %s", tt.value, tt.currency, tt.lang, got, tt.want)
		}
	}
}

// A list must not look as if it had other elements than it has.
func TestElementWithComma(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	l := mustParse(t, r, strings.Replace(access, `"contacts","calendar"`, `"contacts, calendar","photos"`, 1))
	if got, want := l.Explain("en").Items[0].Facts[0].Value, `"contacts, calendar", photos`; got != want {
		t.Errorf("value = %s, want %s", got, want)
	}
}
