package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

// pair is one key of an agent in a test.
type pair struct {
	alg     string
	private crypto.Signer
}

// agentKeys makes one key of each type; RSA keys take long to make.
var agentKeys = sync.OnceValue(func() []pair {
	ec, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rs, err2 := rsa.GenerateKey(rand.Reader, 2048)
	_, ed, err3 := ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(err1, err2, err3); err != nil {
		panic(err)
	}
	return []pair{{ES256, ec}, {PS256, rs}, {EdDSA, ed}}
})

var allAlgs = []string{PS256, ES256, EdDSA}

// sign signs head and body, whatever they are, in the algorithm of the key.
func (p pair) sign(t testing.TB, head, body string) string {
	t.Helper()
	input := encoding.EncodeToString([]byte(head)) + "." + encoding.EncodeToString([]byte(body))
	digest := sha256.Sum256([]byte(input))
	var signature []byte
	var err error
	switch key := p.private.(type) {
	case *ecdsa.PrivateKey:
		r, s, failed := ecdsa.Sign(rand.Reader, key, digest[:])
		if err = failed; err == nil {
			signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
	case *rsa.PrivateKey:
		signature, err = rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: 32})
	case ed25519.PrivateKey:
		signature = ed25519.Sign(key, []byte(input))
	}
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + encoding.EncodeToString(signature)
}

// jwk is the public key as JSON.
func (p pair) jwk(t testing.TB, kid string) string {
	t.Helper()
	data, err := json.Marshal(jose.JSONWebKey{Key: p.private.Public(), KeyID: kid})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// head is a header with the members added to alg.
func head(alg, members string) string { return `{"alg":"` + alg + `"` + members + `}` }

func publicKeys(t testing.TB, jwks ...string) *PublicKeys {
	t.Helper()
	p, err := ParsePublicKeys([]byte(`{"keys":[` + strings.Join(jwks, ",") + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPublicKeysVerify: what another implementation signs is taken.
func TestPublicKeysVerify(t *testing.T) {
	t.Parallel()
	const body = `{"iss":"agent","jti":"1"}`
	var all []string
	for _, p := range agentKeys() {
		all = append(all, p.jwk(t, "key of "+p.alg))
	}
	set := publicKeys(t, all...)
	for _, p := range agentKeys() {
		opts := new(jose.SignerOptions).WithType("oauth-authz-req+jwt")
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(p.alg), Key: jose.JSONWebKey{Key: p.private, KeyID: "key of " + p.alg}}, opts)
		if err != nil {
			t.Fatal(err)
		}
		object, err := signer.Sign([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		token, err := object.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		got, err := set.Verify(token, allAlgs, []string{"JWT", "OAuth-Authz-Req+JWT"})
		if err != nil {
			t.Errorf("%s: Verify = %v", p.alg, err)
			continue
		}
		want := &Signed{Alg: p.alg, KID: "key of " + p.alg, Type: "OAuth-Authz-Req+JWT", Payload: []byte(body)}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", p.alg, diff)
		}
		// The same where neither the token nor the set names keys.
		got, err = publicKeys(t, agentKeys()[0].jwk(t, ""), agentKeys()[1].jwk(t, ""), agentKeys()[2].jwk(t, "")).Verify(p.sign(t, head(p.alg, ""), body), allAlgs, []string{""})
		if err != nil || got.KID != "" || got.Type != "" {
			t.Errorf("%s without kid: Verify = %+v, %v", p.alg, got, err)
		}
	}
}

// TestPublicKeysTolerant: what others may add to a header is passed over.
func TestPublicKeysTolerant(t *testing.T) {
	t.Parallel()
	p := agentKeys()[0]
	set := publicKeys(t, p.jwk(t, "k"))
	for name, members := range map[string]string{
		"kid":                 ``,
		"kid in escapes":      `,"kid":"\u006b"`,
		"address of keys":     `,"kid":"k","jku":"https://agent.example/jwks"`,
		"certificates":        `,"kid":"k","x5c":["MIIB"],"x5t":"x","x5t#S256":"y","x5u":"https://agent.example/x"`,
		"unknown members":     `,"kid":"k","iat":1,"x":{"alg":"none","y":[1,{"alg":null}]},"z":[]`,
		"content type":        `,"kid":"k","cty":"JWT"`,
		"typ in another case": `,"typ":"jWt"`,
	} {
		if got, err := set.Verify(p.sign(t, head(ES256, members), `{}`), allAlgs, []string{"", "JWT"}); err != nil || string(got.Payload) != `{}` {
			t.Errorf("%s: Verify = %v, %v", name, got, err)
		}
	}
	if _, err := set.Verify(p.sign(t, "{ \"typ\" : \"JWT\",\r\n\t\"alg\" :\"ES256\" }", "{\n}"), allAlgs, []string{"JWT"}); err != nil {
		t.Errorf("white space in JSON: Verify = %v", err)
	}
}

func TestPublicKeysUnknown(t *testing.T) {
	t.Parallel()
	ec, rs, ed := agentKeys()[0], agentKeys()[1], agentKeys()[2]
	old, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	before := pair{ES256, old}
	set := publicKeys(t, ec.jwk(t, "a"), rs.jwk(t, "b"))
	for name, row := range map[string]struct {
		token   string
		unknown bool
	}{
		"known":                     {ec.sign(t, head(ES256, `,"kid":"a"`), `{}`), false},
		"unknown kid":               {ec.sign(t, head(ES256, `,"kid":"c"`), `{}`), true},
		"kid in another case":       {ec.sign(t, head(ES256, `,"kid":"A"`), `{}`), true},
		"kid of another type":       {ec.sign(t, head(ES256, `,"kid":"b"`), `{}`), false},
		"no kid, none of its type":  {ed.sign(t, head(EdDSA, ``), `{}`), true},
		"no kid, another key":       {before.sign(t, head(ES256, ``), `{}`), true},
		"known kid but another key": {before.sign(t, head(ES256, `,"kid":"a"`), `{}`), false},
	} {
		_, err := set.Verify(row.token, allAlgs, []string{""})
		if errors.Is(err, ErrUnknownKey) != row.unknown || row.unknown && !errors.Is(err, ErrToken) {
			t.Errorf("%s: Verify = %v, ErrUnknownKey: want %v", name, err, row.unknown)
		}
	}
	// A token that names no key does not make us try any number of them.
	var many []string
	for range maxTries {
		many = append(many, before.jwk(t, ""))
	}
	if _, err := publicKeys(t, append(many, ec.jwk(t, ""))...).Verify(ec.sign(t, head(ES256, ``), `{}`), allAlgs, []string{""}); !errors.Is(err, ErrToken) || errors.Is(err, ErrUnknownKey) {
		t.Errorf("the fifth key that fits: Verify = %v, want ErrToken", err)
	}
	// One kid for keys of two types is unusual and allowed (RFC 7517 §4.5).
	if _, err := publicKeys(t, rs.jwk(t, "x"), ec.jwk(t, "x")).Verify(ec.sign(t, head(ES256, `,"kid":"x"`), `{}`), allAlgs, []string{""}); err != nil {
		t.Errorf("one kid for two types: Verify = %v", err)
	}
}

func TestParsePublicKeysRefuses(t *testing.T) {
	t.Parallel()
	ec, rs, ed := agentKeys()[0], agentKeys()[1], agentKeys()[2]
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private := func(p pair) string {
		data, _ := json.Marshal(jose.JSONWebKey{Key: p.private, KeyID: "private"})
		return string(data)
	}
	with := func(jwk, member string) string { return strings.TrimSuffix(jwk, "}") + `,` + member + `}` }
	list := func(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }
	good := ec.jwk(t, "good")
	secret := encoding.EncodeToString(ed.private.(ed25519.PrivateKey).Seed())
	for name, row := range map[string]struct{ jwks, want string }{
		"nothing":                 {"", "must be"},
		"no object":               {"[]", "must be"},
		"one key":                 {good, "missing or empty"},
		"null":                    {"null", "must be"},
		"keys null":               {`{"keys":null}`, "missing or empty"},
		"no keys":                 {`{"keys":[]}`, "missing or empty"},
		"keys an object":          {`{"keys":{}}`, "not a list"},
		"Keys":                    {`{"Keys":[` + good + `]}`, "missing or empty"},
		"keys and Keys":           {`{"Keys":[` + good + `],"keys":[]}`, "twice"},
		"keys twice":              {`{"keys":[],` + list(good)[1:], "twice"},
		"trailing":                {list(good) + "{}", "must be"},
		"cut":                     {list(good)[:50], "must be"},
		"no UTF-8":                {list(ec.jwk(t, "a\xff")[:10]), "must be"},
		"a number":                {list("1"), "not one JSON object"},
		"member twice":            {list(with(good, `"kid":"b"`)), "twice"},
		"member in another case":  {list(with(good, `"KID":"b"`)), "twice"},
		"deep":                    {`{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, "nested"},
		"long":                    {`{"x":"` + strings.Repeat("a", maxJWKS) + `"}`, "longer than"},
		"private P-256":           {list(good, private(ec)), "key 2 is private"},
		"private RSA":             {list(good, private(rs)), "private"},
		"private Ed25519":         {list(good, private(ed)), "private"},
		"private of another type": {list(good, `{"kty":"AKP","priv":"AAAA"}`), "private"},
		"part of a private one":   {list(good, with(rs.jwk(t, ""), `"dq":"AAAA"`)), "private"},
		"symmetric":               {list(good, `{"kty":"oct","k":"AAAA"}`), "symmetric"},
		"too many":                {list(slices.Repeat([]string{good}, maxKeys+1)...), "33 keys"},
		"RSA of 1024 bits":        {list(pair{PS256, weak}.jwk(t, "")), "1024 bits"},
		"P-384":                   {list(pair{"", p384}.jwk(t, "")), "PS256, ES256 and EdDSA"},
		"unknown type":            {list(`{"kty":"XYZ"}`), "not supported"},
		"no type":                 {list(`{}`), "cannot be read"},
		"X25519":                  {list(`{"kty":"OKP","crv":"X25519","x":"AAAA"}`), "not supported"},
		"Ed25519 of low order":    {list(`{"kty":"OKP","crv":"Ed25519","x":"` + encoding.EncodeToString(make([]byte, 32)) + `"}`), "cannot be read"},
		"point off the curve":     {list(`{"kty":"EC","crv":"P-256","x":"` + encoding.EncodeToString(make([]byte, 32)) + `","y":"` + encoding.EncodeToString(make([]byte, 32)) + `"}`), "cannot be read"},
		"for encryption":          {list(with(good, `"use":"enc"`)), "not for signatures"},
		"key_ops without verify":  {list(with(good, `"key_ops":["encrypt","sign"]`)), "not for signatures"},
		"key_ops no list":         {list(with(good, `"key_ops":"verify"`)), "list of strings"},
		"RS256 alone":             {list(with(rs.jwk(t, ""), `"alg":"RS256"`)), "PS256, ES256 and EdDSA"},
		"alg of another type":     {list(with(good, `"alg":"PS256"`)), "PS256, ES256 and EdDSA"},
		"kid a number":            {list(with(ec.jwk(t, ""), `"kid":1`)), "cannot be read"},
	} {
		_, err := ParsePublicKeys([]byte(row.jwks))
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: ParsePublicKeys = %v, want %q", name, err, row.want)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error has the private key", name)
		}
	}
	// Beside a good key, what is of no use is passed over.
	set := publicKeys(t, pair{PS256, weak}.jwk(t, "weak"), `{"kty":"XYZ","crv":{}}`, `7`, with(rs.jwk(t, "rs256"), `"alg":"RS256"`),
		with(ec.jwk(t, "enc"), `"use":"enc"`), with(good, `"alg":"ES256","use":"sig","key_ops":["verify"],"ext":true`))
	if _, err := set.Verify(ec.sign(t, head(ES256, `,"kid":"good"`), `{}`), allAlgs, []string{""}); err != nil {
		t.Errorf("Verify by the good key = %v", err)
	}
	for _, row := range []struct {
		p   pair
		kid string
	}{{pair{PS256, weak}, "weak"}, {rs, "rs256"}, {ec, "enc"}} {
		if _, err := set.Verify(row.p.sign(t, head(row.p.alg, `,"kid":"`+row.kid+`"`), `{}`), allAlgs, []string{""}); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("Verify by %s = %v, want ErrUnknownKey", row.kid, err)
		}
	}
	if _, err := ParsePublicKeys([]byte(list(slices.Repeat([]string{good}, maxKeys)...) + "\n")); err != nil {
		t.Errorf("ParsePublicKeys of %d keys = %v", maxKeys, err)
	}
}

func FuzzParsePublicKeys(f *testing.F) {
	for _, p := range agentKeys() {
		jwk, _ := p.certified(f, "k")
		f.Add([]byte(`{"keys":[` + jwk + `]}`))
	}
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAA"}]}`))
	token := agentKeys()[0].sign(f, head(ES256, ``), `{}`)
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := ParsePublicKeys(data)
		if err != nil {
			return
		}
		if n := len(set.keys); n == 0 || n > maxKeys {
			t.Errorf("a set of %d keys", n)
		}
		for _, k := range set.keys {
			if k.alg == "" && k.certificate == nil {
				t.Errorf("%+v counts", k)
			}
		}
		set.HasCertificate(data)
		set.Verify(token, allAlgs, []string{""})
	})
}

func BenchmarkPublicKeysVerify(b *testing.B) {
	const body = `{"iss":"agent","sub":"agent","aud":"https://consent.example.com","exp":1800000300,"iat":1800000000,"jti":"abcdefghijklmnopqrstuvwxyz012345"}`
	for _, p := range agentKeys() {
		set := publicKeys(b, p.jwk(b, "abcdefgh"))
		token := p.sign(b, head(p.alg, `,"kid":"abcdefgh","typ":"JWT"`), body)
		b.Run(p.alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := set.Verify(token, allAlgs, []string{"", "JWT"}); err != nil {
					b.Fatal(err)
				}
			}
		})
		r, err := receive(token, allAlgs)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("%s signature alone", p.alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !set.keys[0].verifies(r.signed, r.signature) {
					b.Fatal("wrong signature")
				}
			}
		})
	}
}
