package ciba

import (
	"encoding/json"
	"regexp"
	"strings"
	"time"
	"unicode"

	"ringback/consent"
	"ringback/details"
)

const (
	maxHint  = 1024
	maxID    = 255 // as sub in OpenID Connect Core §2
	maxEmail = 254

	// hintLife is how long after its end an ID token still serves as a hint.
	hintLife = 90 * 24 * time.Hour

	hintForm = "login_hint: must be a person's id, an e-mail address, a phone number in E.164 form (+ sent as %%2B), or a JSON subject identifier (RFC 9493) of format iss_sub, email, phone_number or opaque"
)

// errUnknownUser is one answer for a person who does not exist and one whom
// the client may not name.
var errUnknownUser = &Error{Code: UnknownUserID, Description: "the hint names nobody whom this client may ask"}

// hint names a person by one value.
type hint struct {
	kind  consent.HintKind
	value string
}

// parseHint reads a login_hint by its form: { is JSON, + a phone number, a
// value with @ an e-mail address, anything else a person's id.
func parseHint(text string, isOurs func(iss string) bool) (hint, error) {
	switch {
	case len(text) > maxHint:
		return hint{}, refuse(InvalidRequest, "login_hint: longer than %d bytes", maxHint)
	case text[0] == '{':
		return parseSubject(text, isOurs)
	case text[0] == ' ':
		return hint{}, refuse(InvalidRequest, "login_hint: starts with a space; in a form the + of a phone number is sent as %%2B")
	case text[0] == '+':
		return phoneHint(text)
	case strings.Contains(text, "@"):
		return emailHint(text)
	}
	return idHint(text)
}

// subjectMembers are the formats of RFC 9493 §3.2 that name a person here, and
// their members.
var subjectMembers = map[string][]string{
	"iss_sub":      {"iss", "sub"},
	"email":        {"email"},
	"phone_number": {"phone_number"},
	"opaque":       {"id"},
}

// parseSubject reads a JSON subject identifier.
func parseSubject(text string, isOurs func(iss string) bool) (hint, error) {
	var m map[string]string
	if details.CheckJSON([]byte(text)) != nil || json.Unmarshal([]byte(text), &m) != nil {
		return hint{}, refuse(InvalidRequest, hintForm)
	}
	names, ok := subjectMembers[m["format"]]
	if !ok || len(m) != len(names)+1 {
		return hint{}, refuse(InvalidRequest, hintForm)
	}
	for _, name := range names {
		if m[name] == "" {
			return hint{}, refuse(InvalidRequest, "login_hint: format %s needs the member %s", m["format"], name)
		}
	}
	switch m["format"] {
	case "email":
		return emailHint(m["email"])
	case "phone_number":
		return phoneHint(m["phone_number"])
	case "opaque":
		return idHint(m["id"])
	}
	h, err := idHint(m["sub"])
	if err == nil && !isOurs(m["iss"]) {
		err = errUnknownUser
	}
	return h, err
}

// phoneHint accepts E.164: + and 7 to 15 digits, the first not 0.
func phoneHint(text string) (hint, error) {
	if !phoneForm.MatchString(text) {
		return hint{}, refuse(InvalidRequest, hintForm)
	}
	return hint{consent.HintPhone, text}, nil
}

var phoneForm = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

func emailHint(text string) (hint, error) {
	local, domain, ok := strings.Cut(text, "@")
	if !ok || local == "" || domain == "" || strings.ContainsAny(domain, "@ ") || len(text) > maxEmail || !printable(text) {
		return hint{}, refuse(InvalidRequest, hintForm)
	}
	return hint{consent.HintEmail, text}, nil
}

func idHint(text string) (hint, error) {
	if len(text) > maxID || !printable(text) {
		return hint{}, refuse(InvalidRequest, hintForm)
	}
	return hint{consent.HintID, text}, nil
}

// printable keeps out control, invisible and bidirectional characters.
func printable(s string) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// isOurs reports whether iss names this service. Under --dev either scheme
// will do, because tools differ in what they make of a loopback issuer.
func (s *Server) isOurs(iss string) bool {
	return s.plain(iss) == s.plain(s.cfg.Issuer)
}

func (s *Server) plain(iss string) string {
	iss = strings.TrimSuffix(iss, "/")
	if s.cfg.Dev {
		iss = strings.TrimPrefix(strings.TrimPrefix(iss, "https://"), "http://")
	}
	return iss
}
