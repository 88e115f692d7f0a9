package keys

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// compact joins three parts as they are, with head and body encoded.
func compact(head, body string, signature []byte) string {
	return encoding.EncodeToString([]byte(head)) + "." + encoding.EncodeToString([]byte(body)) + "." + encoding.EncodeToString(signature)
}

// signedBy signs head and body, whatever they are, with a key of the ring.
func signedBy(t testing.TB, key *ecdsa.PrivateKey, head, body string) string {
	t.Helper()
	digest := sha256.Sum256([]byte(encoding.EncodeToString([]byte(head)) + "." + encoding.EncodeToString([]byte(body))))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	if s.Cmp(halfOrder) > 0 {
		s.Sub(order, s)
	}
	signature := make([]byte, signatureLen)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return compact(head, body, signature)
}

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	r := openTestRing(t, new(shelf), newClock())
	snap := r.snap.Load()
	kid, key := snap.token.kid, snap.token.key
	next, err := snap.doc.Token.Next.signer()
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	foreignJWK, _ := json.Marshal(jose.JSONWebKey{Key: &foreign.PublicKey})
	const typ, body = "at+jwt", `{"sub":"alice"}`
	head := headerStart + kid + headerMiddle + typ + headerEnd
	public, _ := key.PublicKey.Bytes()
	good, err := r.Sign(typ, claims{Sub: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	hs := func(secret []byte) string {
		h := `{"alg":"HS256","kid":"` + kid + `","typ":"at+jwt"}`
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(encoding.EncodeToString([]byte(h)) + "." + encoding.EncodeToString([]byte(body))))
		return compact(h, body, mac.Sum(nil))
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: rsaKey, KeyID: kid}}, (&jose.SignerOptions{}).WithType("at+jwt"))
	if err != nil {
		t.Fatal(err)
	}
	rsSigned, _ := rs.Sign([]byte(body))
	rsToken, _ := rsSigned.CompactSerialize()
	embedded, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: foreign}, (&jose.SignerOptions{EmbedJWK: true}).WithType("at+jwt"))
	if err != nil {
		t.Fatal(err)
	}
	embSigned, _ := embedded.Sign([]byte(body))
	embToken, _ := embSigned.CompactSerialize()
	evidence, _ := r.SignEvidence(typ, claims{Sub: "alice"})
	signature, _ := decodeExact(parts[2])
	highS := bytes.Clone(signature)
	new(big.Int).Sub(order, new(big.Int).SetBytes(signature[32:])).FillBytes(highS[32:])

	rows := map[string]string{
		"nothing":                        "",
		"dots":                           "..",
		"two parts":                      parts[0] + "." + parts[1],
		"four parts":                     good + "." + parts[2],
		"five parts, as a JWE":           good + "." + parts[1] + "." + parts[2],
		"JSON serialization":             `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`,
		"padding":                        good + "==",
		"line end in the signature":      good[:len(good)-5] + "\n" + good[len(good)-5:],
		"line end in the payload":        parts[0] + "." + parts[1][:2] + "\n" + parts[1][2:] + "." + parts[2],
		"space before":                   " " + good,
		"standard base64":                strings.NewReplacer("-", "+", "_", "/").Replace(parts[0]+"."+parts[1]+".") + "++++" + parts[2][4:],
		"alg none":                       compact(`{"alg":"none","kid":"`+kid+`","typ":"at+jwt"}`, body, nil),
		"alg none, own header otherwise": compact(strings.Replace(head, "ES256", "none", 1), body, signature),
		"alg NONE":                       compact(`{"alg":"NonE","kid":"`+kid+`","typ":"at+jwt"}`, body, nil),
		"no signature":                   parts[0] + "." + parts[1] + ".",
		"HS256 with the point as key":    hs(public),
		"HS256 with the JWKS as key":     hs(r.JWKS()),
		"HS256 with an empty key":        hs(nil),
		"RS256 under our kid":            rsToken,
		"foreign key under our kid":      signedBy(t, foreign, head, body),
		"embedded jwk":                   embToken,
		"our header plus jwk":            signedBy(t, foreign, strings.TrimSuffix(head, "}")+`,"jwk":`+string(foreignJWK)+`}`, body),
		"jku":                            signedBy(t, foreign, strings.TrimSuffix(head, "}")+`,"jku":"https://attacker.example/jwks"}`, body),
		"x5u":                            signedBy(t, foreign, strings.TrimSuffix(head, "}")+`,"x5u":"https://attacker.example/x"}`, body),
		"crit":                           signedBy(t, key, strings.TrimSuffix(head, "}")+`,"crit":["exp"]}`, body),
		"b64 false":                      signedBy(t, key, strings.TrimSuffix(head, "}")+`,"b64":false}`, body),
		"kid of a file":                  signedBy(t, foreign, strings.Replace(head, kid, "../../dev/null", 1), body),
		"kid with a query":               signedBy(t, foreign, strings.Replace(head, kid, "' OR '1'='1' -- ", 1), body),
		"kid that closes the string":     signedBy(t, foreign, strings.Replace(head, kid, `x","kid":"`+kid[:6], 1), body),
		"empty kid":                      signedBy(t, key, strings.Replace(head, kid, "", 1), body),
		"no kid":                         signedBy(t, key, `{"alg":"ES256","typ":"at+jwt"}`, body),
		"kid of the next key":            signedBy(t, key, strings.Replace(head, kid, next.kid, 1), body),
		"repeated alg":                   signedBy(t, key, strings.Replace(head, `"alg":"ES256"`, `"alg":"none","alg":"ES256"`, 1), body),
		"case variant alg":               signedBy(t, key, strings.Replace(head, `"alg"`, `"Alg"`, 1), body),
		"members in another order":       signedBy(t, key, `{"typ":"at+jwt","alg":"ES256","kid":"`+kid+`"}`, body),
		"space in the header":            signedBy(t, key, strings.Replace(head, ",", ", ", 1), body),
		"another typ":                    signedBy(t, key, strings.Replace(head, "at+jwt", "JWT", 1), body),
		"no typ":                         signedBy(t, key, `{"alg":"ES256","kid":"`+kid+`"}`, body),
		"typ with application/":          signedBy(t, key, strings.Replace(head, "at+jwt", "application/at+jwt", 1), body),
		"signed as evidence":             evidence,
		"high s":                         parts[0] + "." + parts[1] + "." + encoding.EncodeToString(highS),
		"zero signature":                 parts[0] + "." + parts[1] + "." + encoding.EncodeToString(make([]byte, 64)),
		"ASN.1 signature": parts[0] + "." + parts[1] + "." + encoding.EncodeToString(func() []byte {
			d := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
			b, _ := ecdsa.SignASN1(rand.Reader, key, d[:])
			return b
		}()),
		"long signature":                parts[0] + "." + parts[1] + "." + encoding.EncodeToString(append(bytes.Clone(signature), 0)),
		"payload repeats a member":      signedBy(t, key, head, `{"sub":"alice","sub":"bob"}`),
		"payload repeats in a variant":  signedBy(t, key, head, `{"scope":"read","SCOPE":"admin"}`),
		"payload repeats by folding":    signedBy(t, key, head, `{"ks":1,"`+"\u212a"+"\u017f"+`":2}`),
		"payload repeats by escape":     signedBy(t, key, head, `{"sub":"alice","\u0073ub":"bob"}`),
		"payload repeats deep inside":   signedBy(t, key, head, `{"a":[{"b":{"c":1,"C":2}}]}`),
		"payload is nested deeply":      signedBy(t, key, head, `{"a":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+`}`),
		"payload is no object":          signedBy(t, key, head, `["sub"]`),
		"payload is two objects":        signedBy(t, key, head, body+body),
		"payload is cut":                signedBy(t, key, head, body[:10]),
		"payload ends in space":         signedBy(t, key, head, body+" "),
		"payload is no UTF-8":           signedBy(t, key, head, "{\"sub\":\"\xff\"}"),
		"payload is empty":              signedBy(t, key, head, ""),
		"too long":                      signedBy(t, key, head, `{"sub":"`+strings.Repeat("a", MaxToken)+`"}`),
		"payload with a line end, ours": signedBy(t, key, head, "{\"sub\":\"a\"\n\"b\":1}"),
	}
	for name, token := range rows {
		if payload, err := r.Verify(token, typ); !errors.Is(err, ErrToken) || payload != nil {
			t.Errorf("%s: Verify = %s, %v, want ErrToken", name, payload, err)
		} else if len(token) > 20 && strings.Contains(err.Error(), token[:20]) {
			t.Errorf("%s: the error repeats the token", name)
		}
	}
	if _, err := r.Verify(good, typ); err != nil {
		t.Errorf("Verify of the genuine token = %v", err)
	}
	if _, err := r.Verify(signedBy(t, next.key, strings.Replace(head, kid, next.kid, 1), body), typ); err != nil {
		t.Errorf("Verify of a token by the next key = %v (another process may use it already)", err)
	}
	for _, typ := range []string{"", "JWT", "at+jwt ", "AT+JWT", `at+jwt","x":"`, strings.Repeat("a", 33)} {
		if _, err := r.Verify(good, typ); !errors.Is(err, ErrToken) {
			t.Errorf("Verify as %q = %v, want ErrToken", typ, err)
		}
	}
}

// TestVerifyMutations changes every character of a token, and random ones.
func TestVerifyMutations(t *testing.T) {
	t.Parallel()
	r := openTestRing(t, new(shelf), newClock())
	token, err := r.Sign("at+jwt", claims{Sub: "alice", Scope: "read"})
	if err != nil {
		t.Fatal(err)
	}
	try := func(bad string) {
		if _, err := r.Verify(bad, "at+jwt"); bad != token && !errors.Is(err, ErrToken) {
			t.Fatalf("%q passes for %q", bad, token)
		}
	}
	for i := range len(token) {
		for _, c := range []byte("AZaz09-_.=+/\n\x00") {
			try(token[:i] + string(c) + token[i+1:])
			try(token[:i] + string(c) + token[i:])
		}
		try(token[:i])
		try(token[:i] + token[i+1:])
		for bit := range 8 {
			b := []byte(token)
			b[i] ^= 1 << bit
			try(string(b))
		}
	}
	rnd := source(9)
	for range 20_000 {
		b := []byte(token)
		for range 1 + rnd.IntN(4) {
			b[rnd.IntN(len(b))] = byte(rnd.Uint32())
		}
		try(string(b))
	}
}

// TestSignDeterministic: a key, a type and claims have one token, and other
// claims share no part of its signature.
func TestSignDeterministic(t *testing.T) {
	t.Parallel()
	r := openTestRing(t, new(shelf), newClock())
	seen := map[string]string{}
	for i := range 50 {
		sub := fmt.Sprint(i % 25)
		token, err := r.Sign("JWT", claims{Sub: sub})
		if err != nil {
			t.Fatal(err)
		}
		_, signature, _ := cutLast(token)
		for _, half := range []string{signature[:42], signature[44:]} { // r and s
			if other, there := seen[half]; there && other != sub {
				t.Errorf("tokens of %s and %s share a number", sub, other)
			}
			seen[half] = sub
		}
	}
	if len(seen) != 50 {
		t.Errorf("25 sets of claims have %d numbers in their signatures, want 50", len(seen))
	}
}

func TestSignRefuses(t *testing.T) {
	t.Parallel()
	r := openTestRing(t, new(shelf), newClock())
	for _, typ := range []string{"", `"`, "a b", "a/b", "ä", strings.Repeat("a", 33)} {
		if _, err := r.Sign(typ, claims{}); err == nil {
			t.Errorf("Sign(%q) succeeded", typ)
		}
	}
	if _, err := r.Sign("JWT", make(chan int)); err == nil {
		t.Error("Sign of a channel succeeded")
	}
	if _, err := r.Sign("JWT", claims{Sub: strings.Repeat("x", MaxToken)}); err == nil {
		t.Error("Sign of a payload that could not be verified succeeded")
	}
	// The longest that Sign makes is one that Verify takes.
	for n := 5900; ; n++ {
		token, err := r.Sign("JWT", claims{Sub: strings.Repeat("x", n)})
		if err != nil {
			break
		}
		if _, err := r.Verify(token, "JWT"); err != nil {
			t.Fatalf("Verify of %d bytes = %v", len(token), err)
		}
	}
}

func TestParseKeySetRefuses(t *testing.T) {
	t.Parallel()
	r := openTestRing(t, new(shelf), newClock())
	snap := r.snap.Load()
	private, _ := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: snap.token.key, KeyID: snap.token.kid}}})
	jwks := string(r.JWKS())
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(r.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	twice, _ := json.Marshal(jose.JSONWebKeySet{Keys: append(set.Keys, set.Keys[0])})
	for name, bad := range map[string]string{
		"nothing": "", "no object": "[]", "no keys": `{"keys":[]}`, "null": "null", "text": "hello", "key alone": `{"kty":"EC"}`,
		"private": string(private), "twice": string(twice), "cut": jwks[:len(jwks)-2], "trailing": jwks + "x", "repeated member": `{"keys":[],` + jwks[1:],
		"point off the curve": strings.Replace(jwks, `"x":"`, `"x":"AAAA`, 1), "other algorithm": strings.ReplaceAll(jwks, "ES256", "ES384"),
		"for encryption": strings.ReplaceAll(jwks, `"sig"`, `"enc"`), "long": `{"x":"` + strings.Repeat("a", maxKeySet) + `"}`,
	} {
		if _, err := ParseKeySet([]byte(bad)); err == nil {
			t.Errorf("%s: ParseKeySet succeeded", name)
		} else if strings.Contains(err.Error(), encoding.EncodeToString(snap.doc.Token.Current.Private)) {
			t.Errorf("%s: the error has the private key", name)
		}
	}
}

func FuzzVerify(f *testing.F) {
	r := openTestRing(f, new(shelf), newClock())
	token, _ := r.Sign("at+jwt", claims{Sub: "alice"})
	f.Add(token)
	f.Add(compact(`{"alg":"none"}`, `{}`, nil))
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := r.Verify(s, "at+jwt"); err == nil && s != token {
			t.Errorf("%q passes", s)
		}
	})
}

func FuzzParseKeySet(f *testing.F) {
	r := openTestRing(f, new(shelf), newClock())
	f.Add(r.JWKS())
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAA"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := ParseKeySet(data)
		if err == nil && len(set.keys) == 0 {
			t.Error("an empty key set")
		}
		if err == nil {
			fmt.Fprint(new(bytes.Buffer), set)
		}
	})
}
