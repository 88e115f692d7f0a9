package ciba

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"time"

	"ringback/consent"
	"ringback/keys"
)

const (
	// assertionType is the value of client_assertion_type (RFC 7523 §2.2).
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

	// longestProof is how far ahead what a client signs may end. For so long
	// its jti is remembered.
	longestProof = time.Hour

	// Clocks differ: something may be signed ahead of ours, and end a little
	// after it did by ours.
	aheadOfUs = 30 * time.Second
	behindUs  = 10 * time.Second

	maxJTI = 256
)

// assertionTypes are the typ values of an assertion: RFC 7523bis names one and
// older clients send none or JWT.
var assertionTypes = []string{"", "JWT", "client-authentication+jwt"}

// Algorithms of what clients sign. FAPI permits the first two.
var (
	fapiAlgs = []string{keys.PS256, keys.ES256}
	allAlgs  = []string{keys.PS256, keys.ES256, keys.EdDSA, keys.Ed25519}
)

// algs are the algorithms that the client may sign with: the registered one,
// else all that its profile permits.
func algs(c *consent.Client, registered string) []string {
	permitted := allAlgs
	if c.Strict() {
		permitted = fapiAlgs
	}
	if registered == "" {
		return permitted
	}
	if slices.Contains(permitted, registered) {
		return []string{registered}
	}
	return nil
}

// proofClaims are the registered claims of something that a client signed for
// us (RFC 7519 §4.1). A time is zero when it is absent.
type proofClaims struct {
	Issuer    string
	Subject   string
	Audience  []string
	single    bool // the audience was one string, no list
	JTI       string
	Expiry    time.Time
	NotBefore time.Time
	IssuedAt  time.Time
}

// claim reads one member of a verified payload, if it is a registered claim.
// Names count as they are spelled (RFC 7519 §10.1.1), which
// encoding/json does not see to.
func (p *proofClaims) claim(name, value []byte) (err error) {
	switch string(name) {
	case "iss":
		p.Issuer, err = readText(value)
	case "sub":
		p.Subject, err = readText(value)
	case "aud":
		if p.single = value[0] == '"'; p.single {
			p.Audience = make([]string, 1)
			p.Audience[0], err = readText(value)
		} else {
			err = json.Unmarshal(value, &p.Audience)
		}
	case "jti":
		p.JTI, err = readText(value)
	case "exp":
		p.Expiry, err = readMoment(value)
	case "nbf":
		p.NotBefore, err = readMoment(value)
	case "iat":
		p.IssuedAt, err = readMoment(value)
	}
	return err
}

// readText reads a JSON string.
func readText(value []byte) (s string, err error) {
	if value[0] == '"' && bytes.IndexByte(value, '\\') < 0 { // as it is in nearly all
		return string(value[1 : len(value)-1]), nil
	}
	err = json.Unmarshal(value, &s)
	return s, err
}

// readMoment reads a NumericDate (RFC 7519 §2).
func readMoment(value []byte) (time.Time, error) {
	n, err := strconv.ParseFloat(string(value), 64) // of JSON, so what it takes is a number
	if err != nil || !(n >= 1 && n <= math.MaxInt32*4) {
		return time.Time{}, errors.New("not a time")
	}
	whole, part := math.Modf(n)
	return time.Unix(int64(whole), int64(part*1e9)), nil
}

// unverified returns whom a token says that it is by and about, before anything
// about it is verified. What is no JWT says nothing.
func unverified(token string) (iss, sub string) {
	claims, ok := keys.Unverified(token)
	if !ok {
		return "", ""
	}
	err := claims.Each(func(name, value []byte) (err error) {
		switch string(name) {
		case "iss":
			iss, err = readText(value)
		case "sub":
			sub, err = readText(value)
		}
		return err
	})
	if err != nil {
		return "", ""
	}
	return iss, sub
}

// checkAssertion verifies a private_key_jwt (OpenID Connect Core §9, RFC 7523
// §3) and uses up its jti.
func (s *Server) checkAssertion(ctx context.Context, c *consent.Client, assertion string) error {
	signed, err := s.verify(ctx, c, assertion, algs(c, c.AuthAlg), assertionTypes)
	if err != nil {
		return refused(InvalidClient, "client_assertion", err)
	}
	var p proofClaims
	if err := signed.Payload.Each(p.claim); err != nil {
		return refuse(InvalidClient, "client_assertion: a registered claim has another form than RFC 7519 says")
	}
	now := s.cfg.Now()
	switch {
	case p.Issuer != c.ID || p.Subject != c.ID:
		return refuse(InvalidClient, "client_assertion: iss and sub must both be the client_id")
	case !p.single || !slices.Contains(s.audiences(c), p.Audience[0]):
		return refuse(InvalidClient, "client_assertion: aud must be the one string %s", s.cfg.Issuer)
	case p.JTI == "" || len(p.JTI) > maxJTI:
		return refuse(InvalidClient, "client_assertion: jti must be there, with at most %d bytes", maxJTI)
	case p.Expiry.IsZero():
		return refuse(InvalidClient, "client_assertion: exp is missing")
	case !now.Before(p.Expiry.Add(behindUs)):
		return refuse(InvalidClient, "client_assertion: has expired, make a new one for every request")
	case p.Expiry.After(now.Add(longestProof)):
		return refuse(InvalidClient, "client_assertion: exp must be at most 60 minutes ahead")
	case p.NotBefore.After(now.Add(aheadOfUs)), p.IssuedAt.After(now.Add(aheadOfUs)):
		return refuse(InvalidClient, "client_assertion: nbf or iat lies in the future, check the clock")
	}
	return s.useUp(ctx, c, InvalidClient, "client_assertion", "assertion\x00"+c.ID+"\x00"+p.JTI, p.Expiry.Add(behindUs))
}

// audiences are the values of aud by which the client may mean us (RFC 7523bis
// §4; CIBA Core §7.1 for the lenient list).
func (s *Server) audiences(c *consent.Client) []string {
	if c.AssertionAud == consent.AudCIBAFinal || c.AssertionAud == "" && c.Strict() {
		return s.names
	}
	return s.names[:1]
}

// verify checks a signature with the client's keys.
func (s *Server) verify(ctx context.Context, c *consent.Client, token string, algs, types []string) (*keys.Signed, error) {
	return verifyBy(func(newest bool) (*keys.PublicKeys, error) { return s.clientKeys(ctx, c, newest) }, token, algs, types)
}

// useUp makes sure that what has this key is used once, at any endpoint and in
// any process. It takes from the client's share of what is remembered.
func (s *Server) useUp(ctx context.Context, by *consent.Client, code Code, what, key string, until time.Time) error {
	first, err := s.cfg.Store.Once(ctx, by.Group(), key, until)
	if err == nil && !first {
		return refuse(code, "%s: its jti was used before, make a new one for every request", what)
	}
	return err
}

// refused says in a specification's word that something was not signed as it
// has to be. Other errors stay what they are.
func refused(code Code, what string, err error) error {
	if errors.Is(err, keys.ErrToken) {
		return refuse(code, "%s: %v", what, err)
	}
	return err
}
