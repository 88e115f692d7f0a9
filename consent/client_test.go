package consent_test

import (
	"testing"

	"ringback/consent"
)

func TestMayName(t *testing.T) {
	t.Parallel()
	alice := &consent.Person{ID: "alice", Clients: []string{"linked"}}
	for _, tt := range []struct {
		client consent.Client
		want   bool
	}{
		{consent.Client{ID: "linked"}, true},
		{consent.Client{ID: "stranger"}, false},
		{consent.Client{ID: ""}, false},
		{consent.Client{ID: "link"}, false},
		{consent.Client{ID: "linked", People: "linked"}, true},
		{consent.Client{ID: "stranger", People: "linked", PeopleList: []string{"alice"}}, false},
		{consent.Client{ID: "stranger", People: "any"}, true},
		{consent.Client{ID: "stranger", People: "list", PeopleList: []string{"alice"}}, true},
		{consent.Client{ID: "stranger", People: "list", PeopleList: []string{"alic", "alicex"}}, false},
		{consent.Client{ID: "linked", People: "list", PeopleList: []string{"bob"}}, false},
		{consent.Client{ID: "linked", People: "list"}, false},
		{consent.Client{ID: "linked", People: "everybody"}, true}, // an unknown word is the strictest
		{consent.Client{ID: "stranger", People: "everybody"}, false},
		{consent.Client{ID: "stranger", People: "ANY"}, false},
	} {
		if got := tt.client.MayName(alice); got != tt.want {
			t.Errorf("%+v.MayName(alice) = %v", tt.client, got)
		}
	}
	if (&consent.Client{ID: "linked"}).MayName(&consent.Person{ID: "bob"}) {
		t.Error("a link to one person is one to another")
	}
}

// TestStrictClients: the profile switches every strict rule on, whatever the
// entry says beside it.
func TestStrictClients(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                 string
		client               consent.Client
		strict, signs, bound bool
	}{
		{"nothing", consent.Client{}, false, false, false},
		{"profile", consent.Client{Profile: consent.ProfileFAPI}, true, true, true},
		{"another profile", consent.Client{Profile: "fapi"}, false, false, false},
		{"signed requests", consent.Client{MustSign: true}, false, true, false},
		{"certificate", consent.Client{CertificateBound: true}, false, false, true},
		{"proof", consent.Client{DPoPBound: true}, false, false, true},
	} {
		c := tt.client
		if c.Strict() != tt.strict || c.Signs() != tt.signs || c.Bound() != tt.bound {
			t.Errorf("%s: Strict, Signs, Bound = %v, %v, %v, want %v, %v, %v", tt.name, c.Strict(), c.Signs(), c.Bound(), tt.strict, tt.signs, tt.bound)
		}
	}
}

// TestGroupsDoNotMeet: a client_id that its client chose must not be another's
// group, nor one kind of group another.
func TestGroupsDoNotMeet(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		client consent.Client
		want   string
	}{
		{"registered by the operator", consent.Client{ID: "agent", Host: "agent.example"}, "agent"},
		{"registered itself", consent.Client{ID: "c1", Registrant: "acme"}, "registrant acme"},
		{"registered itself once more", consent.Client{ID: "c2", Registrant: "acme"}, "registrant acme"},
		{"with a document", consent.Client{ID: "https://acme/c1", Host: "acme", FromDocument: true}, "host acme"},
		{"with a document and a registrant", consent.Client{ID: "https://acme/c1", Host: "acme", FromDocument: true, Registrant: "x"}, "host acme"},
	} {
		if got := tt.client.Group(); got != tt.want {
			t.Errorf("%s: Group() = %q, want %q", tt.name, got, tt.want)
		}
	}
	for _, tt := range []struct {
		party consent.Party
		want  string
	}{{consent.Party{ID: "agent"}, "agent"}, {consent.Party{ID: "agent", Group: "host acme"}, "host acme"}} {
		if got := tt.party.Counted(); got != tt.want {
			t.Errorf("%+v.Counted() = %q, want %q", tt.party, got, tt.want)
		}
	}
}
