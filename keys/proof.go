package keys

import (
	"errors"
	"fmt"
)

// typeProof is the type of DPoP proofs.
const typeProof = "dpop+jwt"

// VerifyProof checks what a DPoP proof says by itself (RFC 9449 §4.3, steps 2
// and 4 to 7): a compact JWS of type dpop+jwt, of at most 8 KiB, whose
// algorithm is one of algs, signed by the public key in its header. It returns
// the thumbprint of that key (RFC 7638, SHA-256, 43 characters of base64url)
// and the payload. Every error wraps ErrToken and says what is wrong without
// repeating the proof.
func VerifyProof(proof string, algs []string) (thumbprint string, payload Claims, err error) {
	r, err := receive(proof, algs)
	if err != nil {
		return "", nil, err
	}
	if r.typ != typeProof {
		return "", nil, fmt.Errorf("%w: its typ is not %s", ErrToken, typeProof)
	}
	if r.jwk == nil {
		return "", nil, fmt.Errorf("%w: its header lacks the public key, the member jwk", ErrToken)
	}
	key, err := parseJWK(r.jwk)
	if errors.Is(err, errUnreadable) {
		err = errUnreadable // without what it repeats
	}
	if err != nil {
		return "", nil, fmt.Errorf("%w: the jwk in its header %w", ErrToken, err)
	}
	if key.alg != r.alg {
		return "", nil, fmt.Errorf("%w: the jwk in its header is not for its alg", ErrToken)
	}
	if !key.verifies(r.signed, r.signature) {
		return "", nil, fmt.Errorf("%w: wrong signature", ErrToken)
	}
	if payload, err = r.payload(); err != nil {
		return "", nil, err
	}
	if thumbprint, err = key.thumbprint(); err != nil {
		return "", nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	return thumbprint, payload, nil
}
