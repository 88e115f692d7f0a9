package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// MaxToken is the longest compact JWS that is made or read, in bytes.
const MaxToken = 8 << 10

// ErrToken is wrapped by every refusal of a token.
var ErrToken = errors.New("token refused")

const (
	kidLen       = 16
	signatureLen = 64
	// Our headers have one spelling, so checking one is comparing bytes: no
	// other algorithm, embedded key, address of a key, repeated or extra
	// member can be in it (RFC 8725 §3.1, §3.5, §3.11).
	headerStart  = `{"alg":"ES256","kid":"`
	headerPS256  = `{"alg":"PS256","kid":"` // as long as the other
	headerMiddle = `","typ":"`
	headerEnd    = `"}`
	maxHeader    = 128
	maxType      = 32
)

// Of the two valid values of s only the smaller is made and read, at most half
// the order of P-256, so that a signature has one form.
var (
	order     = elliptic.P256().Params().N
	halfOrder = new(big.Int).Rsh(order, 1)
)

// signer is one private key for ES256.
type signer struct {
	kid string
	key *ecdsa.PrivateKey
}

// sign returns claims as a compact JWS (RFC 7515 §3.1).
func (s *signer) sign(typ string, claims any) (string, error) {
	token, err := unsigned(headerStart, s.kid, typ, claims, signatureLen)
	if err != nil {
		return "", err
	}
	digest := sha256.Sum256(token)
	// Deterministic (RFC 6979): no bad source of randomness gives the key
	// away, and what is signed again after a crash is the same.
	der, err := s.key.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	var v struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &v); err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	if v.S.Cmp(halfOrder) > 0 {
		v.S.Sub(order, v.S)
	}
	var signature [signatureLen]byte
	v.R.FillBytes(signature[:signatureLen/2])
	v.S.FillBytes(signature[signatureLen/2:])
	return finish(token, signature[:]), nil
}

// signerRSA is one private key for PS256.
type signerRSA struct {
	kid string
	key *rsa.PrivateKey
}

// sign returns claims as a compact JWS. Its salt is drawn, so no two are the
// same.
func (s *signerRSA) sign(typ string, claims any) (string, error) {
	token, err := unsigned(headerPS256, s.kid, typ, claims, s.key.Size())
	if err != nil {
		return "", err
	}
	digest := sha256.Sum256(token)
	signature, err := rsa.SignPSS(rand.Reader, s.key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	return finish(token, signature), nil
}

// unsigned returns header and payload of a token, with room for a signature.
func unsigned(start, kid, typ string, claims any, signatureLen int) ([]byte, error) {
	if !validType(typ) {
		return nil, fmt.Errorf("signing: %q is no token type", typ)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return nil, fmt.Errorf("encoding claims: %w", err)
	}
	header := make([]byte, 0, maxHeader)
	header = append(header, start...)
	header = append(header, kid...)
	header = append(header, headerMiddle...)
	header = append(header, typ...)
	header = append(header, headerEnd...)

	size := encoding.EncodedLen(len(header)) + 1 + encoding.EncodedLen(len(payload)) + 1 + encoding.EncodedLen(signatureLen)
	if size > MaxToken {
		return nil, fmt.Errorf("signing: a token of %d bytes is longer than %d", size, MaxToken)
	}
	token := make([]byte, 0, size)
	token = encoding.AppendEncode(token, header)
	token = append(token, '.')
	return encoding.AppendEncode(token, payload), nil
}

// finish appends the signature.
func finish(token, signature []byte) string {
	return string(encoding.AppendEncode(append(token, '.'), signature))
}

// verify returns the payload of a token of the given type signed by one of
// the keys. Every refusal wraps ErrToken.
func verify(keys map[string]crypto.PublicKey, token, typ string) ([]byte, error) {
	if len(token) > MaxToken {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrToken, MaxToken)
	}
	if !validType(typ) {
		return nil, fmt.Errorf("%w: no type wanted", ErrToken)
	}
	signed, tail, ok := cutLast(token)
	if !ok {
		return nil, fmt.Errorf("%w: not a compact JWS", ErrToken)
	}
	head, body, ok := strings.Cut(signed, ".")
	if !ok || strings.Contains(body, ".") || len(head) > maxHeader*4/3 {
		return nil, fmt.Errorf("%w: not a compact JWS", ErrToken)
	}
	header, ok := decodeExact(head)
	if !ok {
		return nil, fmt.Errorf("%w: header is not base64url", ErrToken)
	}
	alg, kid, ok := readHeader(header, typ)
	if !ok {
		return nil, fmt.Errorf("%w: not the header of a %s", ErrToken, typ)
	}
	signature, ok := decodeExact(tail)
	if !ok {
		return nil, fmt.Errorf("%w: signature is not base64url", ErrToken)
	}
	switch key := keys[kid].(type) {
	case *ecdsa.PublicKey:
		ok = alg == ES256 && len(signature) == signatureLen && lowS(signature) && verifyES256(key, []byte(signed), signature)
	case *rsa.PublicKey:
		ok = alg == PS256 && verifyPS256(key, []byte(signed), signature)
	default:
		return nil, fmt.Errorf("%w: unknown kid", ErrToken)
	}
	if !ok {
		return nil, fmt.Errorf("%w: wrong signature", ErrToken)
	}
	payload, ok := decodeExact(body)
	if !ok {
		return nil, fmt.Errorf("%w: payload is not base64url", ErrToken)
	}
	if err := checkObject(payload); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrToken, err)
	}
	return payload, nil
}

// lowS reports whether s is the smaller of its two values.
func lowS(signature []byte) bool {
	return new(big.Int).SetBytes(signature[signatureLen/2:]).Cmp(halfOrder) <= 0
}

// readHeader returns the algorithm and the kid of a header in our one
// spelling.
func readHeader(header []byte, typ string) (alg, kid string, ok bool) {
	if len(header) != len(headerStart)+kidLen+len(headerMiddle)+len(typ)+len(headerEnd) {
		return "", "", false
	}
	start, rest := header[:len(headerStart)], header[len(headerStart):]
	switch string(start) {
	case headerStart:
		alg = ES256
	case headerPS256:
		alg = PS256
	default:
		return "", "", false
	}
	if string(rest[kidLen:]) != headerMiddle+typ+headerEnd {
		return "", "", false
	}
	return alg, string(rest[:kidLen]), true
}

// validType keeps types to characters that need no escaping.
func validType(typ string) bool {
	if typ == "" || len(typ) > maxType {
		return false
	}
	for i := range len(typ) {
		c := typ[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.') {
			return false
		}
	}
	return true
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

// decodeExact decodes base64url that has no other spelling.
func decodeExact(s string) ([]byte, bool) {
	raw, err := encoding.DecodeString(s)
	// The decoder skips line ends; a length that does not fit gives them away.
	if err != nil || base64.RawURLEncoding.EncodedLen(len(raw)) != len(s) {
		return nil, false
	}
	return raw, true
}
