package details

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestNarrow(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "testdata/vehicle.yaml")
	for _, tt := range []struct {
		name, asked, old, new string
		ok                    bool
	}{
		{"same", payment, "", "", true},
		{"lower", payment, `"50.00"`, `"49.99"`, true},
		{"equal, written otherwise", payment, `"50.00"`, `"50"`, true},
		{"higher", payment, `"50.00"`, `"50.01"`, false},
		{"higher by digits", payment, `"50.00"`, `"500"`, false},
		{"zero", payment, `"50.00"`, `"0"`, false},
		{"negative", payment, `"50.00"`, `"-5"`, false},
		{"no number", payment, `"50.00"`, `"few"`, false},
		{"other currency", payment, `"EUR"`, `"JPY"`, false},
		{"lower and other payee", payment, `"50.00"},
	"creditorName":"ACME GmbH"`, `"5.00"},"creditorName":"Evil"`, false},
		{"other payee", payment, "ACME GmbH", "ACME AG", false},
		{"other account", payment, "DE02100100109307118603", "DE02500105170137075030", false},
		{"reference left out", payment, `,
	"remittanceInformationUnstructured":"Hotel deposit"`, "", false},
		{"more members", payment, `"type"`, `"x":1,"type"`, false},
		{"subset", access, `"read","write"`, `"read"`, true},
		{"two subsets", access, `"read","write"],"datatypes":["contacts","calendar"]`, `"write"],"datatypes":["calendar"]`, true},
		{"nothing left", access, `"read","write"`, ``, false},
		{"something new", access, `"read","write"`, `"read","delete"`, false},
		{"twice", access, `"read","write"`, `"read","read"`, false},
		{"other case", access, `"read","write"`, `"Read"`, false},
		{"no array", access, `["read","write"]`, `"read"`, false},
		{"call is as it is", call, `"urgent":true,`, ``, false},
		{"configured", unlock, `"1200","currency":"EUR"},"doors":["driver","boot"]`, `"20","currency":"EUR"},"doors":["boot"]`, true},
		{"configured, more minutes", unlock, `30`, `31`, false},
		// Schemas need not say what every type gets: no amount of nothing, no
		// empty selection, nothing twice.
		{"configured, as little as there is", unlock, `"1200"`, `"0.00000001"`, true},
		{"configured, no deposit", unlock, `"1200"`, `"0"`, false},
		{"configured, no deposit in cents", unlock, `"1200"`, `"0.00"`, false},
		{"configured, an exponent", unlock, `"1200"`, `"1e2"`, false},
		{"configured, a large exponent", unlock, `"1200"`, `"1e9"`, false},
		{"configured, a fraction", unlock, `"1200"`, `"1/2"`, false},
		{"configured, other digits", unlock, `"1200"`, `"٣"`, false},
		{"configured, a sign", unlock, `"1200"`, `"+20"`, false},
		{"configured, nought in front", unlock, `"1200"`, `"020"`, false},
		{"configured, no door", unlock, `"driver","boot"`, ``, false},
		{"configured, a door twice", unlock, `"driver","boot"`, `"boot","boot"`, false},
		{"configured, another door", unlock, `"driver","boot"`, `"passenger"`, false},
		{"other type", call, "tool_call", "data_access", false},
	} {
		granted := strings.Replace(tt.asked, tt.old, tt.new, 1)
		asked := mustParse(t, r, tt.asked)
		l, err := r.Read([]byte(granted))
		if err != nil {
			t.Fatal(err)
		}
		if err := asked.Narrow(l); (err == nil) != tt.ok {
			t.Errorf("%s: Narrow = %v, want ok %v", tt.name, err, tt.ok)
		}
	}
	two := mustParse(t, r, access[:len(access)-1]+","+payment[1:])
	one := mustParse(t, r, access)
	turned := mustParse(t, r, payment[:len(payment)-1]+","+access[1:])
	for name, l := range map[string]List{"fewer elements": one, "other order": turned, "none": nil} {
		if err := two.Narrow(l); err == nil {
			t.Errorf("%s: Narrow accepted it", name)
		}
	}
}

// A granted payment or access is never wider than what was asked.
func TestNarrowNeverWidens(t *testing.T) {
	t.Parallel()
	const rounds = 1_000
	r := newRegistry(t, "")
	rng := rand.New(rand.NewPCG(1, 2))
	words := []string{"read", "write", "delete", "list"}
	pick := func() []string {
		var out []string
		for _, w := range words {
			if rng.IntN(2) == 0 {
				out = append(out, w)
			}
		}
		return out
	}
	quote := func(s []string) string { return `"` + strings.Join(s, `","`) + `"` }
	for range rounds {
		a, g := rng.IntN(300)+1, rng.IntN(300)+1
		as, gs := pick(), pick()
		if len(as) == 0 || len(gs) == 0 {
			continue
		}
		build := func(cents int, actions []string) List {
			l, err := r.Read([]byte(fmt.Sprintf(`[{"type":"payment_initiation","instructedAmount":{"currency":"EUR","amount":"%d.%02d"},"creditorName":"A","creditorAccount":{"iban":"DE02100100109307118603"}},
				{"type":"data_access","locations":["l"],"actions":[%s],"datatypes":["d"]}]`, cents/100, cents%100, quote(actions))))
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		want := g <= a
		for _, s := range gs {
			want = want && strings.Contains(quote(as), `"`+s+`"`)
		}
		if err := build(a, as).Narrow(build(g, gs)); (err == nil) != want {
			t.Fatalf("asked %d %v, granted %d %v: Narrow = %v, want ok %v", a, as, g, gs, err, want)
		}
	}
}
