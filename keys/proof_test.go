package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// proofHead is the header of a DPoP proof by the key.
func (p pair) proofHead(t testing.TB, members string) string {
	return head(p.alg, `,"typ":"dpop+jwt","jwk":`+p.jwk(t, "")+members)
}

const proofBody = `{"jti":"1","htm":"POST","htu":"https://consent.example.com/token","iat":1800000000}`

func TestVerifyProof(t *testing.T) {
	t.Parallel()
	// The example of RFC 9449 §4.1; its thumbprint is in §6.1.
	const example = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19" +
		".eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ" +
		".2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
	thumbprint, payload, err := VerifyProof(example, []string{ES256})
	if err != nil || thumbprint != "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" || !strings.Contains(string(payload), `"htu":"https://server.example.com/token"`) {
		t.Errorf("VerifyProof(RFC 9449 §4.1) = %s, %s, %v", thumbprint, payload, err)
	}
	for _, p := range agentKeys() {
		opts := (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt")
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(p.alg), Key: p.private}, opts)
		if err != nil {
			t.Fatal(err)
		}
		object, err := signer.Sign([]byte(proofBody))
		if err != nil {
			t.Fatal(err)
		}
		proof, err := object.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		thumbprint, payload, err := VerifyProof(proof, allAlgs)
		if err != nil || len(thumbprint) != 43 || string(payload) != proofBody {
			t.Errorf("%s: VerifyProof = %s, %s, %v", p.alg, thumbprint, payload, err)
		}
		// Whatever else the key says, its thumbprint stays.
		more := strings.TrimSuffix(p.jwk(t, "k"), "}") + `,"use":"sig","alg":"` + p.alg + `","key_ops":["verify"],"ext":true}`
		again, _, err := VerifyProof(p.sign(t, head(p.alg, `,"typ":"dpop+jwt","kid":"x","jwk":`+more), proofBody), allAlgs)
		if err != nil || again != thumbprint {
			t.Errorf("%s with more members: VerifyProof = %s, %v, want %s", p.alg, again, err, thumbprint)
		}
	}
}

func TestVerifyProofRefuses(t *testing.T) {
	t.Parallel()
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range agentKeys() {
		rows := attacks(t, p, proofBody) // of other types, so that none of them passes
		private, _ := json.Marshal(jose.JSONWebKey{Key: p.private})
		other := agentKeys()[(i+1)%3]
		with := func(member string) string { return strings.TrimSuffix(p.jwk(t, ""), "}") + `,` + member + `}` }
		signed := func(members string) string { return p.sign(t, head(p.alg, members), proofBody) }
		good := p.sign(t, p.proofHead(t, ``), proofBody)
		parts := strings.Split(good, ".")
		for name, proof := range map[string]string{
			"no typ":                       signed(`,"jwk":` + p.jwk(t, "")),
			"typ JWT":                      signed(`,"typ":"JWT","jwk":` + p.jwk(t, "")),
			"typ in another case":          signed(`,"typ":"DPoP+JWT","jwk":` + p.jwk(t, "")),
			"typ with application/":        signed(`,"typ":"application/dpop+jwt","jwk":` + p.jwk(t, "")),
			"no jwk":                       signed(`,"typ":"dpop+jwt"`),
			"no jwk but kid":               signed(`,"typ":"dpop+jwt","kid":"k"`),
			"jwk null":                     signed(`,"typ":"dpop+jwt","jwk":null`),
			"jwk a string":                 signed(`,"typ":"dpop+jwt","jwk":"key"`),
			"jwk a list":                   signed(`,"typ":"dpop+jwt","jwk":[` + p.jwk(t, "") + `]`),
			"JWK":                          signed(`,"typ":"dpop+jwt","JWK":` + p.jwk(t, "")),
			"jwk twice":                    p.sign(t, p.proofHead(t, `,"jwk":`+other.jwk(t, "")), proofBody),
			"jwk private":                  signed(`,"typ":"dpop+jwt","jwk":` + string(private)),
			"jwk with a private member":    signed(`,"typ":"dpop+jwt","jwk":` + with(`"d":"AAAA"`)),
			"jwk with a null private part": signed(`,"typ":"dpop+jwt","jwk":` + with(`"d":null`)),
			"jwk for encryption":           signed(`,"typ":"dpop+jwt","jwk":` + with(`"use":"enc"`)),
			"jwk for another alg":          signed(`,"typ":"dpop+jwt","jwk":` + with(`"alg":"RS256"`)),
			"jwk to sign only":             signed(`,"typ":"dpop+jwt","jwk":` + with(`"key_ops":["sign"]`)),
			"jwk twice its member":         signed(`,"typ":"dpop+jwt","jwk":` + with(`"kty":"oct"`)),
			"jwk symmetric":                mac([]byte("secret"), head("HS256", `,"typ":"dpop+jwt","jwk":{"kty":"oct","k":"c2VjcmV0"}`), proofBody),
			"jwk of another key":           signed(`,"typ":"dpop+jwt","jwk":` + other.jwk(t, "")),
			"jwk of another curve":         signed(`,"typ":"dpop+jwt","jwk":` + pair{"", p384}.jwk(t, "")),
			"RSA of 1024 bits":             pair{PS256, weak}.sign(t, pair{PS256, weak}.proofHead(t, ``), proofBody),
			"signed by another":            other.sign(t, p.proofHead(t, ``), proofBody),
			"alg none":                     compact(strings.Replace(p.proofHead(t, ``), p.alg, "none", 1), proofBody, nil),
			"alg of another type":          p.sign(t, strings.Replace(p.proofHead(t, ``), p.alg, other.alg, 1), proofBody),
			"crit":                         p.sign(t, p.proofHead(t, `,"crit":["nonce"]`), proofBody),
			"b64":                          p.sign(t, p.proofHead(t, `,"b64":false`), proofBody),
			"payload repeats a member":     p.sign(t, p.proofHead(t, ``), `{"jti":"1","jti":"2"}`),
			"payload no object":            p.sign(t, p.proofHead(t, ``), `"jti"`),
			"another payload":              parts[0] + "." + encoding.EncodeToString([]byte(`{"jti":"2"}`)) + "." + parts[2],
			"huge":                         p.sign(t, p.proofHead(t, ``), `{"jti":"`+strings.Repeat("1", MaxToken)+`"}`),
		} {
			rows["proof: "+name] = proof
		}
		for name, proof := range rows {
			thumbprint, payload, err := VerifyProof(proof, allAlgs)
			if !errors.Is(err, ErrToken) || thumbprint != "" || payload != nil {
				t.Errorf("%s: %s: VerifyProof = %q, %s, %v, want ErrToken", p.alg, name, thumbprint, payload, err)
			} else if errors.Is(err, ErrUnknownKey) {
				t.Errorf("%s: %s: VerifyProof = %v; there is nothing to fetch", p.alg, name, err)
			}
		}
		if _, _, err := VerifyProof(good, []string{other.alg}); !errors.Is(err, ErrToken) {
			t.Errorf("%s: VerifyProof for %s = %v, want ErrToken", p.alg, other.alg, err)
		}
		if _, _, err := VerifyProof(good, []string{p.alg}); err != nil {
			t.Errorf("%s: VerifyProof of the genuine proof = %v", p.alg, err)
		}
		// A proof is no token of the same key.
		if _, err := publicKeys(t, p.jwk(t, "")).Verify(good, allAlgs, []string{"", "dpop+jwt"}); !errors.Is(err, ErrToken) {
			t.Errorf("%s: Verify of a proof = %v, want ErrToken", p.alg, err)
		}
	}
}

// TestVerifyProofQuiet: an error repeats nothing of the key, however it is
// spelled.
func TestVerifyProofQuiet(t *testing.T) {
	t.Parallel()
	p := agentKeys()[0]
	for _, jwk := range []string{
		`{"kty":"EC","crv":"LEAKED","x":"AAAA","y":"AAAA"}`, `{"kty":"LEAKED"}`, `{"kty":"EC","crv":"P-256","x":"LEAKED","y":7}`,
		strings.TrimSuffix(p.jwk(t, ""), "}") + `,"x5u":"%LEAKED"}`, strings.TrimSuffix(p.jwk(t, ""), "}") + `,"x5c":["LEAKED"]}`,
	} {
		if _, _, err := VerifyProof(p.sign(t, head(ES256, `,"typ":"dpop+jwt","jwk":`+jwk), proofBody), allAlgs); err == nil || strings.Contains(err.Error(), "LEAKED") {
			t.Errorf("VerifyProof with %s = %v", jwk, err)
		}
	}
}

// TestVerifyProofMutations: no changed proof passes.
func TestVerifyProofMutations(t *testing.T) {
	t.Parallel()
	for _, p := range agentKeys() {
		t.Run(p.alg, func(t *testing.T) {
			t.Parallel()
			proof := p.sign(t, p.proofHead(t, ``), proofBody)
			rnd := source(12)
			for range *mutations / len(allAlgs) {
				bad := mutate(rnd, proof)
				if _, _, err := VerifyProof(bad, allAlgs); bad != proof && !errors.Is(err, ErrToken) {
					t.Fatalf("%q passes for %q", bad, proof)
				}
			}
		})
	}
}

// FuzzVerifyProof: what passes, another implementation takes as well.
func FuzzVerifyProof(f *testing.F) {
	for _, p := range agentKeys() {
		f.Add(p.sign(f, p.proofHead(f, ``), proofBody))
		f.Add(p.sign(f, head(p.alg, `,"typ":"dpop+jwt","jwk":{"kty":"EC","crv":"P-256"}`), proofBody))
	}
	f.Fuzz(func(t *testing.T, proof string) {
		thumbprint, payload, err := VerifyProof(proof, allAlgs)
		if err != nil {
			return
		}
		parsed, err := jose.ParseSignedCompact(proof, []jose.SignatureAlgorithm{jose.ES256, jose.PS256, jose.EdDSA})
		if err != nil {
			t.Fatalf("%q passes; go-jose: %v", proof, err)
		}
		key := parsed.Signatures[0].Protected.JSONWebKey
		if body, err := parsed.Verify(key); err != nil || string(body) != string(payload) {
			t.Fatalf("%q passes as %s; go-jose: %s, %v", proof, payload, body, err)
		}
		if sum, err := key.Thumbprint(crypto.SHA256); err != nil || encoding.EncodeToString(sum) != thumbprint {
			t.Errorf("the thumbprint of %q is %s; go-jose: %x, %v", proof, thumbprint, sum, err)
		}
	})
}

func BenchmarkVerifyProof(b *testing.B) {
	for _, p := range agentKeys() {
		proof := p.sign(b, p.proofHead(b, ``), proofBody)
		b.Run(p.alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := VerifyProof(proof, allAlgs); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
