package admin

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	"ringback/consent"
	"ringback/details"
)

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
		if !clientID.MatchString(id) && (!strings.Contains(id, "/") || !IsResource(id)) {
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
