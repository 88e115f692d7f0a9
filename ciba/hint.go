package ciba

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"ringback/clients"
	"ringback/consent"
)

// approver finds the person that the one hint of the form names (CIBA Core
// §7.1) and checks that the client may name that person.
func (s *Server) approver(ctx context.Context, who clients.Caller, f form) (*consent.Person, error) {
	h, err := s.hint(ctx, who, f)
	if err != nil {
		return nil, err
	}
	var p *consent.Person
	if h.kind == consent.HintID {
		p, err = s.cfg.Directory.Person(ctx, h.value)
	} else {
		p, err = s.cfg.Directory.Find(ctx, h.kind, h.value)
	}
	switch {
	case errors.Is(err, consent.ErrNotFound):
		return nil, errUnknownUser
	case err != nil:
		return nil, err
	case !who.MayName(p):
		return nil, errUnknownUser
	}
	return p, nil
}

// hint reads whichever hint there is.
func (s *Server) hint(ctx context.Context, who clients.Caller, f form) (hint, error) {
	login, idToken, token := f.Get("login_hint"), f.Get("id_token_hint"), f.Get("login_hint_token")
	given := slices.DeleteFunc([]string{login, idToken, token}, func(v string) bool { return v == "" })
	switch {
	case len(given) == 0:
		return hint{}, refuse(InvalidRequest, "login_hint: missing, name the person to ask by login_hint or id_token_hint")
	case len(given) > 1:
		return hint{}, refuse(InvalidRequest, "login_hint, id_token_hint, login_hint_token: send exactly one of them")
	case token != "":
		return s.hintToken(ctx, who, token)
	case idToken != "":
		return s.idTokenHint(who, idToken)
	}
	return parseHint(login, s.isOurs)
}

// idTokenHint reads an ID token that we issued to the client (CIBA Core §7.1).
// One that has ended serves for a while.
func (s *Server) idTokenHint(who clients.Caller, token string) (hint, error) {
	bad := refuse(InvalidRequest, "id_token_hint: must be an ID token that this service issued to the client within the last 90 days")
	payload, err := s.cfg.Ring.Verify(token, typeID)
	var c idClaims
	if err != nil || json.Unmarshal(payload, &c) != nil || c.Issuer != s.cfg.Issuer || c.Audience != who.ID || c.Subject == "" ||
		!s.cfg.Now().Before(time.Unix(c.Expiry, 0).Add(hintLife)) {
		return hint{}, bad
	}
	return hint{consent.HintID, c.Subject}, nil
}
