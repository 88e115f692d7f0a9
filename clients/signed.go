package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"time"

	"ringback/consent"
	"ringback/keys"
)

const (
	// Longest is how far ahead what is signed for us may end. For so long its
	// jti is remembered.
	Longest = time.Hour

	// Clocks differ: something may be signed ahead of ours, and end a little
	// after it did by ours.
	aheadOfUs = 30 * time.Second
	behindUs  = 10 * time.Second

	maxJTI = 256
)

// Kind is one kind of what is signed for us.
type Kind struct {
	Name  string   // of the parameter or header field that it comes in
	Code  Code     // answers what is wrong with it
	Types []string // values of typ, see keys.PublicKeys
	Use   string   // under which its jti is remembered
}

// Claims are those of a verified token that RFC 7519 §4.1 and RFC 9493 §4.1
// define. A time is zero when it is absent.
type Claims struct {
	Issuer    string
	Subject   string
	SubjectID []byte // sub_id: JSON
	Audience  []string
	single    bool // the audience was one string, no list
	JTI       string
	Expiry    time.Time
	NotBefore time.Time
	IssuedAt  time.Time

	All keys.Claims // those above and all others
}

// claim reads one member of a verified payload, if it is a registered claim.
// Names count as they are spelled (RFC 7519 §10.1.1), which
// encoding/json does not see to.
func (p *Claims) claim(name, value []byte) (err error) {
	switch string(name) {
	case "iss":
		p.Issuer, err = ReadText(value)
	case "sub":
		p.Subject, err = ReadText(value)
	case "sub_id":
		p.SubjectID = value
	case "aud":
		if p.single = value[0] == '"'; p.single {
			p.Audience = make([]string, 1)
			p.Audience[0], err = ReadText(value)
		} else {
			err = json.Unmarshal(value, &p.Audience)
		}
	case "jti":
		p.JTI, err = ReadText(value)
	case "exp":
		p.Expiry, err = readMoment(value)
	case "nbf":
		p.NotBefore, err = readMoment(value)
	case "iat":
		p.IssuedAt, err = readMoment(value)
	}
	return err
}

// What is wrong with a jti or a time, whatever it is that has it.
const (
	NoJTI = "jti must be there, with at most 256 bytes"
	Early = "nbf or iat lies in the future, check the clock"
)

// Named reports whether the jti is one that can be remembered.
func (p *Claims) Named() bool { return isJTI(p.JTI) }

func isJTI(jti string) bool { return jti != "" && len(jti) <= maxJTI }

// Over reports whether the token has ended, by a clock that may differ.
func (p *Claims) Over(now time.Time) bool { return !now.Before(p.Expiry.Add(behindUs)) }

// Early reports whether the token does not count yet, by a clock that may differ.
func (p *Claims) Early(now time.Time) bool {
	return p.NotBefore.After(now.Add(aheadOfUs)) || p.IssuedAt.After(now.Add(aheadOfUs))
}

// Verify checks the signature of something that the client signed, by the
// algorithm that it registered for that, if any. No claim is checked.
func (v *Verifier) Verify(ctx context.Context, k *Kind, c *consent.Client, registered, token string) (*Claims, error) {
	return k.verify(token, algs(c, registered), func(newest bool) (*keys.PublicKeys, error) { return v.clientKeys(ctx, c, newest) })
}

// VerifyHint checks the signature of something that an issuer of hints signed,
// and that the client sent. No claim is checked.
func (v *Verifier) VerifyHint(ctx context.Context, k *Kind, from *consent.HintIssuer, c *consent.Client, token string) (*Claims, error) {
	return k.verify(token, algs(c, ""), func(newest bool) (*keys.PublicKeys, error) {
		if from.JWKSURI == "" {
			return v.parse(from.JWKS)
		}
		set, err := v.remoteKeys.get(ctx, from.JWKSURI, c.ID, newest)
		return set, unfetched(k.Code, k.Name+": the keys of its iss are", err)
	})
}

// verify checks a signature with keys that may have been replaced since they
// were fetched: where none has the token's kid, the newest are tried.
func (k *Kind) verify(token string, algs []string, keysOf func(newest bool) (*keys.PublicKeys, error)) (*Claims, error) {
	set, err := keysOf(false)
	var signed *keys.Signed
	if err == nil {
		signed, err = set.Verify(token, algs, k.Types)
	}
	if errors.Is(err, keys.ErrUnknownKey) {
		switch newer, fault := keysOf(true); {
		case fault != nil:
			err = fault
		case newer != set:
			signed, err = newer.Verify(token, algs, k.Types)
		}
	}
	if err != nil {
		return nil, unsigned(k.Code, k.Name, err)
	}
	p := &Claims{All: signed.Payload}
	if p.All.Each(p.claim) != nil {
		return nil, k.Refuse("a registered claim has another form than RFC 7519 says")
	}
	return p, nil
}

// UseUp makes sure that a token which names its issuer and has a jti is used
// once, at any endpoint and in any process. It takes from the client's share of
// what is remembered.
func (v *Verifier) UseUp(ctx context.Context, k *Kind, by *consent.Client, p *Claims) error {
	return v.useUp(ctx, k, by, p.Issuer, p.JTI, p.Expiry.Add(behindUs))
}

func (v *Verifier) useUp(ctx context.Context, k *Kind, by *consent.Client, whose, jti string, until time.Time) error {
	first, err := v.cfg.Once(ctx, by.Group(), k.Use+"\x00"+whose+"\x00"+jti, until)
	if err == nil && !first {
		return k.Refuse("its jti was used before, make a new one for every request")
	}
	return err
}

// Unverified returns whom a token says that it is by and about, before anything
// about it is verified. What is no JWT says nothing.
func Unverified(token string) (iss, sub string) {
	var p Claims
	claims, ok := keys.Unverified(token)
	if !ok || claims.Each(func(name, value []byte) error {
		if n := string(name); n != "iss" && n != "sub" {
			return nil
		}
		return p.claim(name, value)
	}) != nil {
		return "", ""
	}
	return p.Issuer, p.Subject
}

// ReadText reads a JSON string.
func ReadText(value []byte) (s string, err error) {
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

// Refuse says what is wrong with something of this kind.
func (k *Kind) Refuse(format string, args ...any) *Error {
	return refuse(k.Code, k.Name+": "+format, args...)
}
