package keys

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// headerNames are the members that mean something here, in their only case.
var headerNames = [...]string{"alg", "kid", "typ", "jwk", "crit", "b64", "zip", "enc"}

// received is a compact JWS of somebody else (RFC 7515 §3.1), taken apart but
// not verified.
type received struct {
	alg, kid  string
	typ       string
	typed     bool // typ is there
	jwk       []byte
	signed    []byte // header and payload as they were signed
	signature []byte
	body      string // the payload in base64url
}

// receive takes a token of at most MaxToken bytes apart. Its algorithm is one
// of algs; key addresses and certificates in its header are passed over, what
// would change the reading of the rest is refused (RFC 8725 §3).
func receive(token string, algs []string) (*received, error) {
	if len(token) > MaxToken {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrToken, MaxToken)
	}
	signed, tail, ok := cutLast(token)
	head, body, split := strings.Cut(signed, ".")
	if !ok || !split || strings.Contains(body, ".") {
		return nil, fmt.Errorf("%w: not a compact JWS of three parts", ErrToken)
	}
	header, ok := decodeExact(head)
	if !ok {
		return nil, fmt.Errorf("%w: its header is not base64url", ErrToken)
	}
	r := &received{signed: []byte(signed), body: body}
	if err := readObject(header, r.member); err != nil {
		return nil, fmt.Errorf("%w: its header: %w", ErrToken, err)
	}
	if !slices.Contains(algs, r.alg) && !(r.alg == EdDSA && slices.Contains(algs, Ed25519)) {
		return nil, fmt.Errorf("%w: its alg is not one of %s", ErrToken, strings.Join(algs, ", "))
	}
	if r.signature, ok = decodeExact(tail); !ok {
		return nil, fmt.Errorf("%w: its signature is not base64url", ErrToken)
	}
	return r, nil
}

// member reads one member of the header.
func (r *received) member(name, value []byte) (err error) {
	for _, known := range headerNames {
		if string(name) != known && strings.EqualFold(string(name), known) {
			return fmt.Errorf("write %q in lower case", known)
		}
	}
	switch string(name) {
	case "alg":
		r.alg, err = readName("alg", value)
		r.alg = canonical(r.alg)
	case "kid":
		r.kid, err = readName("kid", value)
	case "typ":
		r.typed = true
		r.typ, err = readName("typ", value)
	case "jwk":
		r.jwk = bytes.Clone(value)
	case "crit", "b64", "zip", "enc":
		err = fmt.Errorf("the member %q is not supported here, leave it out", name)
	}
	return err
}

// readName returns what a JSON string says that must not be empty.
func readName(member string, value []byte) (string, error) {
	text, err := decodeText(value)
	if err != nil || len(text) == 0 {
		return "", errors.New(member + " is not a string with something in it")
	}
	return string(text), nil
}

// isOf returns which of the accepted types the token has.
func (r *received) isOf(types []string) (string, bool) {
	for _, typ := range types {
		if !r.typed && typ == "" || r.typed && validType(r.typ) && strings.EqualFold(r.typ, typ) {
			return typ, true
		}
	}
	return "", false
}

// Unverified returns what a compact JWS says, whoever may have written it; false
// for what Verify would refuse to read. It tells whose keys to verify by.
func Unverified(token string) (Claims, bool) {
	_, rest, _ := strings.Cut(token, ".")
	body, _, ok := strings.Cut(rest, ".")
	if !ok || len(token) > MaxToken {
		return nil, false
	}
	payload, err := readPayload(body)
	return payload, err == nil
}

// payload returns the payload, which is worth reading once the signature is
// verified.
func (r *received) payload() (Claims, error) { return readPayload(r.body) }

func readPayload(body string) (Claims, error) {
	payload, ok := decodeExact(body)
	if !ok {
		return nil, fmt.Errorf("%w: its payload is not base64url", ErrToken)
	}
	if err := checkObject(payload); err != nil {
		return nil, fmt.Errorf("%w: its payload: %w", ErrToken, err)
	}
	return payload, nil
}
