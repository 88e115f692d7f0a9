package ciba

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"ringback/consent"
	"ringback/details"
)

// Grant types: of CIBA Core §10.1, of refresh tokens (RFC 6749 §6), of a client's
// own tokens (RFC 6749 §4.4), and of polls for a deferred answer
// (draft-ietf-oauth-deferred-token-response-01 §6.5).
const (
	GrantCIBA              = consent.GrantTypeCIBA
	GrantRefresh           = consent.GrantTypeRefresh
	GrantClientCredentials = consent.GrantTypeClientCredentials
	GrantDeferred          = consent.GrantTypeDeferred
)

// grantTypes are those that the token endpoint takes, refresh tokens where
// policy has them.
var grantTypes = []string{GrantCIBA, GrantClientCredentials, GrantDeferred}

// Bounds of a request where policy names none.
const (
	defaultLifetime = 300 * time.Second
	minLifetime     = 10 * time.Second
	maxLifetime     = 3600 * time.Second
	defaultToken    = 300 * time.Second

	scopeOpenID  = "openid"
	scopeOffline = "offline_access"

	maxResource       = 512
	maxMessage        = 64
	maxACRs           = 16
	minNotifyToken    = 22 // characters of b64token that can hold 128 bits
	maxNotifyToken    = 1024
	maxRequestedDigit = 20
)

// scopes reads scope (CIBA Core §7.1). The request must contain openid; what
// the client may not ask for is refused, not dropped. offline_access is left
// out, see renewable.
func scopes(text string, c *consent.Client, p *consent.Policy) ([]string, error) {
	if text == "" {
		return nil, refuse(InvalidRequest, "scope: missing, send at least openid")
	}
	list, err := scopeList(text, c, p)
	if err == nil && !slices.Contains(list, scopeOpenID) {
		err = refuse(InvalidScope, "scope: must contain openid")
	}
	return list, err
}

// scopeList reads the names of scopes.
func scopeList(text string, c *consent.Client, p *consent.Policy) ([]string, error) {
	var list []string
	for _, name := range strings.Split(text, " ") {
		_, known := p.Scopes[name]
		switch {
		case name == scopeOpenID:
		case name == scopeOffline:
			continue
		case name == "" || !known || !inScope(c, name):
			return nil, refuse(InvalidScope, "scope: %.64s is not a scope that this client may ask for; names are separated by one space", name)
		}
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list, nil
}

// inScope reports whether the client's registration covers a scope.
func inScope(c *consent.Client, name string) bool {
	return c.Scope == "" || slices.Contains(strings.Fields(c.Scope), name)
}

// resource reads resource (RFC 8707 §2): the audience of the token. The
// client's default stands when it is absent. Some clients send it as audience.
func resource(f form, c *consent.Client, p *consent.Policy) (string, error) {
	text := f.Get("resource")
	if other := f.Get("audience"); text == "" {
		text = other
	} else if other != "" && other != text {
		return "", refuse(InvalidTarget, "audience: differs from resource, send one of them")
	}
	if text == "" {
		if c.DefaultResource == "" {
			return "", refuse(InvalidTarget, "resource: missing, and the client has no default_resource; name the API that the token is for")
		}
		return c.DefaultResource, nil
	}
	u, err := url.Parse(text)
	if err != nil || !u.IsAbs() || strings.Contains(text, "#") || len(text) > maxResource {
		return "", refuse(InvalidTarget, "resource: must be an absolute URI without a fragment, at most %d bytes", maxResource)
	}
	_, known := p.Resources[text]
	switch {
	case text == c.DefaultResource, slices.Contains(c.Resources, text):
	case known && len(c.Resources) == 0:
	default:
		return "", refuse(InvalidTarget, "resource: not one that this client may ask for")
	}
	return text, nil
}

// isFor refuses a token request that names another API than was asked for: its
// client would send the token there, where it could be used at the other one
// (RFC 8707 §2.2).
func isFor(f form, req *consent.Request) error {
	for _, name := range [...]string{"resource", "audience"} {
		if text := f.Get(name); text != "" && text != req.Resource {
			return refuse(InvalidTarget, "%s: not the one that the token is for, leave it out here", name)
		}
	}
	return nil
}

// assurance returns the acr values that satisfy a request: acr_values (CIBA
// Core §7.1; unknown ones are ignored), bounded from below by what the scopes
// and details need and from above by what this deployment can reach.
func assurance(text string, scope []string, list details.List, p *consent.Policy) ([]string, error) {
	asked := strings.Fields(text)
	if len(asked) > maxACRs {
		return nil, refuse(InvalidRequest, "acr_values: more than %d values", maxACRs)
	}
	least := leastACR(scope, list, p)
	wanted := consent.Wanted(asked, least)
	if len(wanted) == 0 {
		return nil, refuseDenied("acr_values: this request needs at least %s", least)
	}
	var reachable []string
	for _, acr := range wanted {
		if p.Reach == "" || consent.Rank(acr) <= consent.Rank(p.Reach) {
			reachable = append(reachable, acr)
		}
	}
	if len(reachable) == 0 {
		return nil, refuseDenied("acr_values: the assurance that this request needs cannot be reached here; at most %s can", p.Reach)
	}
	return reachable, nil
}

// leastACR is what policy wants at least for these scopes and details, empty
// for anything.
func leastACR(scope []string, list details.List, p *consent.Policy) string {
	least := list.MinACR()
	for _, name := range scope {
		least = consent.Stronger(least, p.Scopes[name].MinACR)
	}
	return least
}

// checkBindingMessage accepts plain text that looks like no address: it is
// shown to the person as the agent's own words (CIBA Core §7.1).
func checkBindingMessage(text string) error {
	if len(text) > maxMessage || !messageForm.MatchString(text) {
		return refuse(InvalidBindingMessage, "binding_message: 1 to %d characters of A-Z a-z 0-9 space . _ + ! ? # -, and no letter right after a dot", maxMessage)
	}
	return nil
}

var (
	messageForm = regexp.MustCompile(`^(\.+([0-9 _+!?#-]|$)|[A-Za-z0-9 _+!?#-])*$`)
	b64token    = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`) // RFC 6750 §2.1
)

// requestLifetime reads requested_expiry (CIBA Core §7.1), a positive integer
// of seconds. What is shorter or longer than policy allows becomes the
// nearest that it allows; expires_in says which.
func requestLifetime(text string, l consent.Lifetime) (time.Duration, error) {
	least, most := or(l.Min, minLifetime), or(l.Max, maxLifetime)
	if text == "" {
		return min(max(or(l.Default, defaultLifetime), least), most), nil
	}
	n, ok := digits(text)
	if !ok || n == 0 || len(text) > maxRequestedDigit {
		return 0, refuse(InvalidRequest, "requested_expiry: must be a positive number of seconds, %d to %d are honoured", seconds(least), seconds(most))
	}
	return min(max(time.Duration(n)*time.Second, least), most), nil
}

func or(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// notificationToken reads client_notification_token, the bearer of pings and
// pushes (CIBA Core §7.1). Clients that poll need none, and theirs is ignored.
func notificationToken(text string, mode consent.DeliveryMode) (consent.Secret, error) {
	if mode != consent.Ping && mode != consent.Push {
		return "", nil
	}
	if text == "" {
		return "", refuse(InvalidRequest, "client_notification_token: required in delivery mode %s", mode)
	}
	return checkNotificationToken(text)
}

func checkNotificationToken(text string) (consent.Secret, error) {
	if len(text) < minNotifyToken || len(text) > maxNotifyToken || !b64token.MatchString(text) {
		return "", refuse(InvalidRequest, "client_notification_token: must be %d to %d characters of A-Z a-z 0-9 - . _ ~ + /, then any number of = (RFC 6750 section 2.1)", minNotifyToken, maxNotifyToken)
	}
	return consent.Secret(text), nil
}
