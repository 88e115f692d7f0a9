package admin

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"ringback/consent"
	"ringback/details"
)

// GrantCIBA is the one grant type that clients use here (CIBA Core §4).
const GrantCIBA = "urn:openid:params:grant-type:ciba"

// AuthMethods are the ways in which a client may prove who it is. A client of
// either may use both, since they carry the same secret.
var AuthMethods = []string{"client_secret_basic", "client_secret_post"}

// Problem is one thing that is wrong with an entry.
type Problem struct {
	Member string // name of the member in the entry
	What   string // what is wrong, and what to do about it
}

var (
	clientID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._~:-]{0,127}$`)
	personID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._~:-]{0,63}$`)
	phone    = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	email    = regexp.MustCompile(`^[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,188}[A-Za-z0-9])?\.[A-Za-z]{2,}$`)
	locale   = regexp.MustCompile(`^[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}$`)
	scope    = regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]{1,128}$`) // RFC 6749 §3.3
	hostname = regexp.MustCompile(`^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)
)

// CheckClient lists what is wrong with a client. In a development run it may
// be notified over plain http on loopback.
func CheckClient(c *consent.Client, dev bool) []Problem {
	var out []Problem
	wrong := func(member, format string, args ...any) {
		out = append(out, Problem{member, fmt.Sprintf(format, args...)})
	}
	if !clientID.MatchString(c.ID) {
		wrong("client_id", "%q is not a client_id: 1 to 128 letters, digits and . _ ~ : -, beginning with a letter or digit", c.ID)
	}
	if c.Name != "" {
		if err := details.CheckName(c.Name); err != nil {
			wrong("client_name", "%v", err)
		}
	}
	if c.Host != "" && (len(c.Host) > 253 || !hostname.MatchString(c.Host)) {
		wrong("verified_host", "%q is not a host name: write travel.example, without scheme or path", c.Host)
	}
	if c.AuthMethod != "" && !slices.Contains(AuthMethods, c.AuthMethod) {
		wrong("token_endpoint_auth_method", "%q is not supported by this version: use %s", c.AuthMethod, strings.Join(AuthMethods, " or "))
	}
	for _, g := range c.GrantTypes {
		if g != GrantCIBA {
			wrong("grant_types", "%q is not offered here: use %s", g, GrantCIBA)
		}
	}
	switch c.Mode {
	case consent.Poll:
		if c.NotificationEndpoint != "" {
			wrong("backchannel_client_notification_endpoint", "a client that polls is not notified: remove it, or set backchannel_token_delivery_mode to ping")
		}
	case consent.Ping:
		checkEndpoint(c.NotificationEndpoint, dev, wrong)
	default:
		wrong("backchannel_token_delivery_mode", "%q is not offered here: use poll or ping", c.Mode)
	}
	for s := range strings.FieldsSeq(c.Scope) {
		if !scope.MatchString(s) {
			wrong("scope", "%q is not a scope: printable ASCII without quotation mark and backslash", s)
		}
	}
	if c.People == "list" && len(c.PeopleList) == 0 {
		wrong("people", "the list is empty: name people, or use linked or any")
	}
	if c.People != "" && !slices.Contains([]string{"linked", "any", "list"}, c.People) {
		wrong("people", "%q is neither linked nor any nor a list of people", c.People)
	}
	for _, id := range c.PeopleList {
		if !personID.MatchString(id) {
			wrong("people", "%q is not the id of a person", id)
		}
	}
	if c.DefaultResource != "" && !IsResource(c.DefaultResource) {
		wrong("default_resource", "%q is not an absolute URI without fragment: write https://api.example (RFC 8707)", c.DefaultResource)
	}
	for _, u := range c.Resources {
		if !IsResource(u) {
			wrong("resources", "%q is not an absolute URI without fragment: write https://api.example (RFC 8707)", u)
		}
	}
	return out
}

// CheckAudience lists why no token of the client could be for any API, where
// the deployment has configured so many resources.
func CheckAudience(c *consent.Client, configured int) []Problem {
	if c.DefaultResource != "" || len(c.Resources) > 0 || configured > 0 {
		return nil
	}
	return []Problem{{"default_resource", "missing, and no resources are configured, so nothing could be asked for: name the API that its tokens are for, such as https://api.example.com"}}
}

// checkEndpoint checks a notification endpoint (CIBA Core §4). Whether its
// address may be called is told by the guard when it is.
func checkEndpoint(s string, dev bool, wrong func(string, string, ...any)) {
	const member = "backchannel_client_notification_endpoint"
	u, err := url.Parse(s)
	switch {
	case s == "":
		wrong(member, "missing: a client that is pinged needs an https URL")
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		wrong(member, "%q is not a URL without user and fragment: write https://agent.example/ping", s)
	case u.Scheme == "https":
	case u.Scheme == "http" && dev && loopback(u.Hostname()):
	default:
		wrong(member, "%q must begin with https:// (CIBA Core §4)", s)
	}
}

// CheckPerson lists what is wrong with a person.
func CheckPerson(p *consent.Person) []Problem {
	var out []Problem
	wrong := func(member, format string, args ...any) {
		out = append(out, Problem{member, fmt.Sprintf(format, args...)})
	}
	if !personID.MatchString(p.ID) {
		wrong("id", "%q is not an id: 1 to 64 letters, digits and . _ ~ : -, beginning with a letter or digit", p.ID)
	}
	if p.Name != "" {
		if err := details.CheckName(p.Name); err != nil {
			wrong("name", "%v", err)
		}
	}
	if p.Locale != "" && !locale.MatchString(p.Locale) {
		wrong("locale", "%q is not a language tag: write en, de or pt-BR", p.Locale)
	}
	if p.Zoneinfo != "" {
		if _, err := time.LoadLocation(p.Zoneinfo); err != nil || p.Zoneinfo == "Local" {
			wrong("zoneinfo", "%q is not a time zone: write Europe/Berlin or America/New_York", p.Zoneinfo)
		}
	}
	if p.Phone != "" && !phone.MatchString(string(p.Phone)) {
		wrong("phone", "this is not a telephone number in international form: write +12025550101")
	}
	if p.Email != "" && !email.MatchString(p.Email) {
		wrong("email", "this is not an address such as alice@example.com")
	}
	for _, id := range p.Clients {
		if !clientID.MatchString(id) {
			wrong("clients", "%q is not a client_id", id)
		}
	}
	return out
}

// IsScope reports whether s can be the name of a scope (RFC 6749 §3.3).
func IsScope(s string) bool { return scope.MatchString(s) }

// IsLocale reports whether s has the form of a language tag (BCP 47).
func IsLocale(s string) bool { return locale.MatchString(s) }

// IsResource reports whether s is an absolute URI without fragment (RFC 8707 §2).
func IsResource(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.IsAbs() && (u.Host != "" || u.Opaque != "") && u.User == nil && u.Fragment == "" && !strings.Contains(s, "#") && len(s) <= 512
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}
