package details

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// newRegistry returns a registry with the types of a YAML file, or only the
// built-in ones.
func newRegistry(t testing.TB, file string) *Registry {
	t.Helper()
	var extra []Type
	if file != "" {
		extra = readTypes(t, mustRead(t, file))
	}
	r, err := New(extra)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustRead(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func readTypes(t testing.TB, data []byte) []Type {
	t.Helper()
	var types []Type
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&types); err != nil {
		t.Fatal(err)
	}
	return types
}

func mustParse(t testing.TB, r *Registry, raw string) List {
	t.Helper()
	l, err := r.Parse([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const payment = `[{"type":"payment_initiation","instructedAmount":{"currency":"EUR","amount":"50.00"},
	"creditorName":"ACME GmbH","creditorAccount":{"iban":"DE02100100109307118603"},
	"remittanceInformationUnstructured":"Hotel deposit"}]`

const access = `[{"type":"data_access","locations":["https://api.example/contacts"],"actions":["read","write"],"datatypes":["contacts","calendar"]}]`

const call = `[{"type":"tool_call","server":"mail.example","tool":"send_email","arguments":{"to":["bob@shop.example"],"body":"Hi\nBob","urgent":true,"n":3,"cc":[],"x":null}}]`

const unlock = `[{"type":"vehicle_unlock","vehicle":"Blue van","deposit":{"amount":"1200","currency":"EUR"},"doors":["driver","boot"],"minutes":30,"trunk":false,"note":"from the agent","trace":"t-1"}]`

func TestShipped(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "")
	if diff := cmp.Diff([]string{"data_access", "payment_initiation", "tool_call"}, r.Names()); diff != "" {
		t.Errorf("Names (-want +got):\n%s", diff)
	}
	for _, name := range r.Names() {
		if diff := cmp.Diff([]string{"de", "en"}, r.Languages(name)); diff != "" {
			t.Errorf("Languages(%s) (-want +got):\n%s", name, diff)
		}
	}
}

func TestMinACR(t *testing.T) {
	t.Parallel()
	const tap, match = "urn:ringback:acr:tap", "urn:ringback:acr:match"
	wordless := Type{Type: "plain", Schema: map[string]any{"type": "object", "additionalProperties": false,
		"properties": map[string]any{"a": map[string]any{"type": "string"}}}, MinACR: tap}
	extra, err := WithMinACR([]Type{wordless, {Type: "tool_call", MinACR: match}}, tap)
	if err != nil {
		t.Fatal(err)
	}
	dev, err := New(extra)
	if err != nil {
		t.Fatal(err)
	}
	shipped := newRegistry(t, "")
	for _, tt := range []struct {
		name string
		r    *Registry
		raw  string
		want string
	}{
		{"payment", shipped, payment, "phr"},
		{"access", shipped, access, match},
		{"call", shipped, call, "phr"},
		{"strongest", shipped, access[:len(access)-1] + "," + payment[1:], "phr"},
		{"strongest first", shipped, payment[:len(payment)-1] + "," + access[1:], "phr"},
		{"nothing", shipped, "", ""},
		{"payment in development", dev, payment, tap},
		{"call set by hand", dev, call, match},
		{"no words", dev, `[{"type":"plain","a":"b"}]`, match},
		{"no longer known", dev, `[{"type":"gone"}]`, match},
	} {
		l, err := tt.r.Read([]byte(tt.raw))
		if err != nil {
			t.Fatal(err)
		}
		if got := l.MinACR(); got != tt.want {
			t.Errorf("%s: MinACR = %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestNewReportsEveryMistake(t *testing.T) {
	t.Parallel()
	_, err := New(readTypes(t, mustRead(t, "testdata/mistakes.yaml")))
	if err == nil {
		t.Fatal("New accepted mistakes.yaml")
	}
	want := strings.Split(strings.TrimSpace(string(mustRead(t, "testdata/mistakes.txt"))), "\n")
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
}

func TestWordsOfBuiltIn(t *testing.T) {
	t.Parallel()
	r, err := New(readTypes(t, []byte(`
- type: tool_call
  words:
    fr:
      headline: "Lancer l'outil {tool} ?"
      labels: {tool: Outil, server: Sur, arguments: Avec}
      sms: "LANCER {tool} sur {server}[ avec {arguments}]"
`)))
	if err != nil {
		t.Fatal(err)
	}
	l := mustParse(t, r, call)
	if got, want := l.Explain("fr-CA").Items[0].Headline.String(), "Lancer l'outil send_email ?"; got != want {
		t.Errorf("French headline = %q, want %q", got, want)
	}
	if got, want := l.Explain("de").Items[0].Headline.String(), "Das Werkzeug send_email ausführen?"; got != want {
		t.Errorf("German headline = %q, want %q", got, want)
	}
}

func FuzzParsePhrase(f *testing.F) {
	for _, s := range []string{"Pay {a.b}[ for {c}]?", "{", "[x]", "[[{a}]]", "}{", "{[}]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePhrase(s)
		if err != nil {
			return
		}
		if plain := strings.ContainsAny(s, "{}[]"); !plain && p.shape() != s {
			t.Errorf("parsePhrase(%q) has the shape %q", s, p.shape())
		}
	})
}
