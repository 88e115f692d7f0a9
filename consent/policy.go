package consent

import (
	"encoding/json"
	"slices"
	"time"
)

// Policy is what the operator decided. It is replaced whole when the
// configuration is read again, never changed.
type Policy struct {
	Routes    []Route
	Limits    *Limits // nil: off
	Dedupe    bool    // refuse a second identical request while one is open
	Scopes    map[string]Scope
	Resources map[string]Resource
	Lifetime  Lifetime
	MatchCode bool   // give the agent a match_code even where no acr asks for it
	Reach     string // the strongest acr that any configured means reaches; what needs more is refused at once

	HintIssuers map[string]HintIssuer // iss :: whose login_hint_tokens count
	Documents   *Documents            // clients whose client_id is the URL of their metadata; nil: none
	FAPI        bool                  // some client has ProfileFAPI, so the metadata says what that profile needs
	DPoPNonce   bool                  // every DPoP proof must carry a nonce of ours
}

// HintIssuer is a service that names people in signed hints (CIBA Core §7.1).
type HintIssuer struct {
	JWKS    json.RawMessage
	JWKSURI string // instead of JWKS
}

// Documents is what a client gets that nobody registered: its client_id is the
// URL of its metadata document. A registered client of the same client_id has
// what its entry says instead.
type Documents struct {
	Hosts           []string // "agent.example", or "*.agent.example" for every host below it
	People          string   // as in Client: "linked" or "any"
	Scope           string   // as in Client
	DefaultResource string
	Resources       []string
}

// Lifetime bounds a request and what it yields.
type Lifetime struct {
	Default, Min, Max time.Duration // of a request; 300 s, 10 s, 3600 s
	Token             time.Duration // of an access token; 300 s
	Renew             time.Duration // from the decision on, in which a refresh token works; 0: there are none
}

// Scope is a scope that may be asked for.
type Scope struct {
	Words  map[string]string // language :: what it lets the agent do
	MinACR string

	// Unattended scopes are granted to a client's own credentials without
	// asking a person.
	Unattended bool
}

// Resource is an API that tokens may be for.
type Resource struct {
	IntrospectBy []string // client ids that may introspect its tokens
}

// Route is an ordered list of channels, chosen by the first Route whose
// conditions hold.
type Route struct {
	ACR           string // condition: nothing weaker satisfies the request; empty: any
	Client, Type  string // conditions; empty: any
	Steps         []RouteStep
	EscalateAfter time.Duration // until the next step is tried; 30 s
}

// RouteStep is one channel of a route.
type RouteStep struct {
	Channel string
	Reply   bool // answers by message count
}

// RouteFor returns the first route that fits, or nil. types yields the
// request's authorization_details types and is called at most once.
func (p *Policy) RouteFor(req *Request, types func() []string) *Route {
	var have []string
	read := false
	for i := range p.Routes {
		r := &p.Routes[i]
		if Rank(req.Weakest()) < Rank(r.ACR) ||
			r.Client != "" && r.Client != req.Client.ID {
			continue
		}
		if r.Type != "" {
			if !read {
				have, read = types(), true
			}
			if !slices.Contains(have, r.Type) {
				continue
			}
		}
		return r
	}
	return nil
}

// Limits are the budgets that keep one agent from wearing a person down.
type Limits struct {
	PairPrompts   int           // per client and person in Window; 5
	PersonPrompts int           // per person in Window, beyond which prompts fall silent; 20
	Window        time.Duration // 10 min
	Notifications int           // per request; 3
	Denials       int           // in 24 h that freeze the pair; 3
	Freeze        time.Duration // 24 h
}
