package store

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"ringback/consent"
)

var (
	phoneForm  = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	localeForm = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$`)
)

// longest forms of an entry's members, in bytes.
const (
	maxID    = 255
	maxName  = 200
	maxEmail = 254
	maxURL   = 2048
	maxList  = 1000 // members of a list
)

// CheckEntries reports every mistake in the clients and people of a
// configuration file, each with what to do about it. All are
// consent.ErrInvalid or consent.ErrTaken.
func CheckEntries(clients []consent.Client, people []consent.Person) []error {
	var out []error
	ids := map[string]bool{}
	for i := range clients {
		out = append(out, checkClient(&clients[i])...)
		if id := clients[i].ID; ids[id] {
			out = append(out, invalid("client", id, "is there twice: remove one"))
		}
		ids[clients[i].ID] = true
	}
	ids = map[string]bool{}
	phones := map[consent.Phone]string{}
	for i := range people {
		p := &people[i]
		out = append(out, checkPerson(p)...)
		if ids[p.ID] {
			out = append(out, invalid("person", p.ID, "is there twice: remove one"))
		} else if other, ok := phones[p.Phone]; ok && p.Phone != "" {
			out = append(out, taken(p.ID, other))
		}
		ids[p.ID] = true
		phones[p.Phone] = p.ID
	}
	return out
}

func invalid(kind, id, problem string) error {
	return fmt.Errorf("%w: %s %q %s", consent.ErrInvalid, kind, id, problem)
}

// taken names both owners and not the number.
func taken(person, owner string) error {
	return fmt.Errorf("phone of person %q %w: %q has it, and a number answers for one person only; remove it there first", person, consent.ErrTaken, owner)
}

func checkPerson(p *consent.Person) []error {
	var out []error
	bad := func(problem string) { out = append(out, invalid("person", p.ID, problem)) }
	// A hint is told apart by its form: ids must not look like another kind.
	if !isGraphic(p.ID) || len(p.ID) > maxID || strings.ContainsRune("{+", rune(p.ID[0])) || strings.Contains(p.ID, "@") {
		bad("needs an id of 1 to 255 printable ASCII characters without spaces and @, not beginning with { or +")
	}
	if !isName(p.Name) {
		bad("needs a name of at most 200 bytes of printable text")
	}
	if p.Phone != "" && !phoneForm.MatchString(string(p.Phone)) {
		bad(`needs its phone in international form, like "+14155550123"`)
	}
	if p.Email != "" && !isEmail(p.Email) {
		bad(`needs its email like "alice@example.com"`)
	}
	if p.Locale != "" && (len(p.Locale) > 35 || !localeForm.MatchString(p.Locale)) {
		bad(`needs its locale as a language tag, like "en" or "de-AT"`)
	}
	if p.Zoneinfo != "" && !isZone(p.Zoneinfo) {
		bad(`needs its zoneinfo as a name of the IANA time zone database, like "Europe/Vienna"`)
	}
	if len(p.Clients) > maxList || slices.ContainsFunc(p.Clients, func(id string) bool { return !isGraphic(id) || len(id) > maxID }) {
		bad("needs its clients as a list of at most 1000 client ids")
	}
	return out
}

func checkClient(c *consent.Client) []error {
	var out []error
	bad := func(problem string) { out = append(out, invalid("client", c.ID, problem)) }
	if !isGraphic(c.ID) || len(c.ID) > maxID {
		bad("needs a client_id of 1 to 255 printable ASCII characters without spaces")
	}
	if !isName(c.Name) {
		bad("needs a client_name of at most 200 bytes of printable text")
	}
	switch c.AuthMethod {
	case "", consent.MethodBasic, consent.MethodPost, consent.MethodPrivateKeyJWT, consent.MethodTLS, consent.MethodSelfSignedTLS:
	default:
		bad("has an unknown token_endpoint_auth_method: use client_secret_basic, client_secret_post, private_key_jwt, tls_client_auth or self_signed_tls_client_auth")
	}
	if len(c.SecretHashes) > 2 {
		bad("has more than two secrets: keep the new one and the one that is rotated out")
	}
	switch c.Mode {
	case "", consent.Poll:
	case consent.Ping, consent.Push:
		if !isURL(c.NotificationEndpoint) {
			bad("needs a backchannel_client_notification_endpoint, an absolute URL without fragment, for this delivery mode")
		}
	default:
		bad("has an unknown backchannel_token_delivery_mode: use poll, ping or push")
	}
	switch c.People {
	case "", "linked", "any", "list":
	default:
		bad("has an unknown value for people: use linked, any or list")
	}
	if len(c.PeopleList) > maxList || slices.ContainsFunc(c.PeopleList, func(id string) bool { return !isGraphic(id) }) {
		bad("needs its people as a list of at most 1000 ids")
	}
	for _, r := range append([]string{c.DefaultResource}, c.Resources...) {
		if r != "" && !isURL(r) {
			bad("needs absolute URIs without fragment as resources (RFC 8707 §2)")
			break
		}
	}
	return out
}

// isGraphic reports whether s is one or more printable ASCII characters
// without spaces.
func isGraphic(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}

// isName is the least that a name must be; what people are shown is checked
// more strictly where names are taken in.
func isName(s string) bool {
	return len(s) <= maxName && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func isEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && len(s) <= maxEmail && isGraphic(local) && isGraphic(domain) && !strings.Contains(domain, "@")
}

func isZone(s string) bool {
	_, err := time.LoadLocation(s)
	return err == nil && s != "Local"
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && len(s) <= maxURL && u.IsAbs() && u.Fragment == "" && (u.Host != "" || u.Opaque != "")
}
