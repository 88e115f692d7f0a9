package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"slices"
	"strings"
	"testing"
)

var mutations = flag.Int("mutations", forgeries/100, "how many changed tokens of others are tried")

// mac signs head and body with a secret that everybody knows.
func mac(secret []byte, head, body string) string {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(encoding.EncodeToString([]byte(head)) + "." + encoding.EncodeToString([]byte(body))))
	return compact(head, body, h.Sum(nil))
}

// attacks are tokens with which others were fooled, against a set that has the
// key of the pair under the kid "k". None of them is made by that key, but for
// those whose header or payload says what must not be there.
func attacks(t testing.TB, p pair, body string) map[string]string {
	t.Helper()
	_, strange, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	attacker := pair{ES256, other}
	if p.alg == EdDSA {
		attacker = pair{EdDSA, strange}
	}
	der, err := x509.MarshalPKIXPublicKey(p.private.Public())
	if err != nil {
		t.Fatal(err)
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	good := p.sign(t, head(p.alg, `,"kid":"k","typ":"JWT"`), body)
	parts := strings.Split(good, ".")
	signature, _ := decodeExact(parts[2])
	evil := attacker.jwk(t, "k")
	own := func(members string) string { return p.sign(t, head(p.alg, `,"kid":"k","typ":"JWT"`+members), body) }
	foreign := func(members string) string {
		return attacker.sign(t, head(attacker.alg, `,"typ":"JWT"`+members), body)
	}
	says := func(payload string) string { return p.sign(t, head(p.alg, `,"kid":"k","typ":"JWT"`), payload) }
	rows := map[string]string{
		"nothing":               "",
		"dots":                  "..",
		"two parts":             parts[0] + "." + parts[1],
		"four parts":            good + "." + parts[2],
		"five parts, as a JWE":  good + "." + parts[1] + "." + parts[2],
		"JSON serialization":    `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`,
		"padding":               good + "==",
		"line end behind":       good + "\n",
		"line end in front":     "\n" + good,
		"line end in the head":  parts[0][:3] + "\r\n" + parts[0][3:] + "." + parts[1] + "." + parts[2],
		"line end in the body":  parts[0] + "." + parts[1][:2] + "\n" + parts[1][2:] + "." + parts[2],
		"line end in the end":   parts[0] + "." + parts[1] + "." + parts[2][:5] + "\n" + parts[2][5:],
		"space":                 " " + good,
		"NUL":                   good + "\x00",
		"standard base64":       parts[0] + "." + parts[1] + ".++++" + parts[2][4:],
		"another last digit":    good[:len(good)-1] + string(rune(good[len(good)-1])+1),
		"no signature":          parts[0] + "." + parts[1] + ".",
		"signature of zeros":    parts[0] + "." + parts[1] + "." + encoding.EncodeToString(make([]byte, len(signature))),
		"longer signature":      good + encoding.EncodeToString([]byte{0, 0, 0}),
		"shorter signature":     good[:len(good)-4],
		"none":                  compact(head("none", ``), body, nil),
		"none under the kid":    compact(head("none", `,"kid":"k","typ":"JWT"`), body, nil),
		"none with a signature": compact(head("none", `,"kid":"k","typ":"JWT"`), body, signature),
		"None":                  compact(head("None", `,"kid":"k"`), body, nil),
		"NONE":                  compact(head("NONE", `,"kid":"k"`), body, nil),
		"nOnE":                  compact(head("nOnE", `,"kid":"k"`), body, nil),
		"none and a space":      compact(head("none ", `,"kid":"k"`), body, nil),
		"empty alg":             compact(head("", `,"kid":"k"`), body, nil),
		"no alg":                compact(`{"kid":"k","typ":"JWT"}`, body, signature),
		"alg null":              compact(`{"alg":null,"kid":"k"}`, body, signature),
		"alg a list":            compact(`{"alg":["`+p.alg+`"],"kid":"k"}`, body, signature),
		"alg in lower case":     p.sign(t, head(strings.ToLower(p.alg), `,"kid":"k"`), body),
		"alg and a space":       p.sign(t, head(p.alg+" ", `,"kid":"k"`), body),
		"Alg":                   p.sign(t, `{"Alg":"`+p.alg+`","kid":"k"}`, body),
		"ALG beside alg":        p.sign(t, head(p.alg, `,"ALG":"none","kid":"k"`), body),
		"alg twice":             p.sign(t, `{"alg":"none","alg":"`+p.alg+`","kid":"k"}`, body),
		"alg twice, none last":  p.sign(t, head(p.alg, `,"alg":"none","kid":"k"`), body),
		"alg twice by escape":   p.sign(t, head(p.alg, `,"\u0061lg":"none","kid":"k"`), body),
		"HS256, PEM as secret":  mac(block, head("HS256", `,"kid":"k","typ":"JWT"`), body),
		"HS256, DER as secret":  mac(der, head("HS256", `,"kid":"k","typ":"JWT"`), body),
		"HS256, JWK as secret":  mac([]byte(p.jwk(t, "k")), head("HS256", `,"kid":"k","typ":"JWT"`), body),
		"HS256, no secret":      mac(nil, head("HS256", `,"kid":"k","typ":"JWT"`), body),
		"MAC as " + p.alg:       mac(der, head(p.alg, `,"kid":"k","typ":"JWT"`), body),
		"RS256":                 p.sign(t, head("RS256", `,"kid":"k","typ":"JWT"`), body),
		"ES384":                 p.sign(t, head("ES384", `,"kid":"k","typ":"JWT"`), body),
		"ES256K":                p.sign(t, head("ES256K", `,"kid":"k","typ":"JWT"`), body),
		"RSA-OAEP":              p.sign(t, head("RSA-OAEP", `,"kid":"k","typ":"JWT"`), body),
		"dir and p2c":           p.sign(t, head("dir", `,"kid":"k","p2c":2147483647`), body),
		"another's key":         foreign(``),
		"another's key, kid":    foreign(`,"kid":"k"`),
		"embedded jwk":          foreign(`,"jwk":` + evil),
		"embedded jwk, kid":     foreign(`,"kid":"k","jwk":` + evil),
		"own embedded jwk":      own(`,"jwk":` + p.jwk(t, "k")),
		"embedded jwk null":     own(`,"jwk":null`),
		"Jwk":                   own(`,"Jwk":` + evil),
		"jku":                   foreign(`,"kid":"k","jku":"https://attacker.example/jwks"`),
		"x5u":                   foreign(`,"kid":"k","x5u":"https://attacker.example/x"`),
		"x5c":                   foreign(`,"kid":"k","x5c":["` + encoding64(der) + `"]`),
		"crit":                  own(`,"crit":["exp"],"exp":1`),
		"crit empty":            own(`,"crit":[]`),
		"crit null":             own(`,"crit":null`),
		"Crit":                  own(`,"Crit":["b64"]`),
		"b64 false":             own(`,"b64":false`),
		"b64 false and crit":    own(`,"b64":false,"crit":["b64"]`),
		"zip":                   own(`,"zip":"DEF"`),
		"enc":                   own(`,"enc":"A256GCM"`),
		"kid of a file":         foreign(`,"kid":"../../../../dev/null"`),
		"kid with SQL":          foreign(`,"kid":"x' UNION SELECT 'k"`),
		"kid with a command":    foreign(`,"kid":"k|/bin/id"`),
		"kid and NUL":           p.sign(t, head(p.alg, `,"kid":"k\u0000","typ":"JWT"`), body),
		"kid twice":             p.sign(t, head(p.alg, `,"kid":"x","kid":"k","typ":"JWT"`), body),
		"kid and KID":           p.sign(t, head(p.alg, `,"KID":"x","kid":"k","typ":"JWT"`), body),
		"kid and Kelvin's":      p.sign(t, head(p.alg, `,"`+"\u212a"+`id":"x","kid":"k","typ":"JWT"`), body),
		"kid empty":             p.sign(t, head(p.alg, `,"kid":"","typ":"JWT"`), body),
		"kid null":              p.sign(t, head(p.alg, `,"kid":null,"typ":"JWT"`), body),
		"kid an object":         p.sign(t, head(p.alg, `,"kid":{"k":"k"},"typ":"JWT"`), body),
		"no typ":                p.sign(t, head(p.alg, `,"kid":"k"`), body),
		"typ empty":             p.sign(t, head(p.alg, `,"kid":"k","typ":""`), body),
		"typ null":              p.sign(t, head(p.alg, `,"kid":"k","typ":null`), body),
		"typ of access tokens":  p.sign(t, head(p.alg, `,"kid":"k","typ":"at+jwt"`), body),
		"typ and a space":       p.sign(t, head(p.alg, `,"kid":"k","typ":"JWT "`), body),
		"typ by escape, other":  p.sign(t, head(p.alg, `,"kid":"k","typ":"JWT\u0000"`), body),
		"header no object":      p.sign(t, `["`+p.alg+`"]`, body),
		"header a string":       p.sign(t, `"`+p.alg+`"`, body),
		"header empty":          p.sign(t, ``, body),
		"header and more":       p.sign(t, head(p.alg, `,"kid":"k","typ":"JWT"`)+`{}`, body),
		"header and space":      p.sign(t, head(p.alg, `,"kid":"k","typ":"JWT"`)+` `, body),
		"header cut":            p.sign(t, `{"alg":"`+p.alg+`"`, body),
		"header no UTF-8":       own(",\"x\":\"\xff\""),
		"header with a mark":    p.sign(t, "\ufeff"+head(p.alg, `,"kid":"k","typ":"JWT"`), body),
		"header deep":           own(`,"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40)),
		"huge header":           own(`,"x":"` + strings.Repeat("a", MaxToken) + `"`),
		"huge payload":          says(`{"x":"` + strings.Repeat("a", MaxToken) + `"}`),
		"very huge":             strings.Repeat("A", 10<<20),
		"payload empty":         says(``),
		"payload no object":     says(`[1]`),
		"payload a JWT":         says(good),
		"payload two objects":   says(body + body),
		"payload and space":     says(body + "\n"),
		"payload cut":           says(body[:len(body)-1]),
		"payload no UTF-8":      says("{\"sub\":\"\xff\"}"),
		"payload twice":         says(`{"scope":"read","scope":"admin"}`),
		"payload in two cases":  says(`{"scope":"read","SCOPE":"admin"}`),
		"payload by escape":     says(`{"scope":"read","\u0073cope":"admin"}`),
		"payload by folding":    says(`{"scope":"read","` + "\u017f" + `cope":"admin"}`),
		"payload deep inside":   says(`{"a":[{"b":{"c":1,"C":2}}]}`),
		"payload deep":          says(`{"a":` + strings.Repeat(`{"a":`, 40) + `1` + strings.Repeat("}", 40) + `}`),
		"another payload":       parts[0] + "." + encoding.EncodeToString([]byte(`{"sub":"root"}`)) + "." + parts[2],
		"another header":        encoding.EncodeToString([]byte(head(p.alg, `,"kid":"k","typ":"jwt"`))) + "." + parts[1] + "." + parts[2],
	}
	switch key := p.private.(type) {
	case *rsa.PrivateKey:
		digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
		pkcs1, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		rows["PKCS #1 v1.5 as PS256"] = parts[0] + "." + parts[1] + "." + encoding.EncodeToString(pkcs1)
		short, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: 8})
		if err != nil {
			t.Fatal(err)
		}
		rows["short salt"] = parts[0] + "." + parts[1] + "." + encoding.EncodeToString(short)
		long := sha512.Sum512([]byte(parts[0] + "." + parts[1]))
		ps512, err := rsa.SignPSS(rand.Reader, key, crypto.SHA512, long[:], &rsa.PSSOptions{SaltLength: 64})
		if err != nil {
			t.Fatal(err)
		}
		rows["PS512 as PS256"] = parts[0] + "." + parts[1] + "." + encoding.EncodeToString(ps512)
	case *ecdsa.PrivateKey:
		digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
		der, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		rows["ASN.1 signature"] = parts[0] + "." + parts[1] + "." + encoding.EncodeToString(der)
		n := make([]byte, 64)
		order.FillBytes(n[:32])
		order.FillBytes(n[32:])
		rows["r and s are the order"] = parts[0] + "." + parts[1] + "." + encoding.EncodeToString(n)
	case ed25519.PrivateKey:
		// s and s plus the order of the group are the same to a careless verifier.
		more := make([]byte, len(signature))
		copy(more, signature)
		group := []byte{0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 31: 0x10}
		carry := 0
		for i := range group {
			carry += int(more[32+i]) + int(group[i])
			more[32+i] = byte(carry)
			carry >>= 8
		}
		rows["s beyond the order"] = parts[0] + "." + parts[1] + "." + encoding.EncodeToString(more)
	}
	return rows
}

func TestPublicKeysAttacks(t *testing.T) {
	t.Parallel()
	const body = `{"iss":"agent","sub":"agent"}`
	for _, p := range agentKeys() {
		set := publicKeys(t, p.jwk(t, "k"))
		for name, token := range attacks(t, p, body) {
			got, err := set.Verify(token, allAlgs, []string{"JWT"})
			if !errors.Is(err, ErrToken) || got != nil {
				t.Errorf("%s: %s: Verify = %+v, %v, want ErrToken", p.alg, name, got, err)
				continue
			}
			for _, part := range strings.Split(token, ".") {
				if len(part) > 10 && strings.Contains(err.Error(), part[:10]) {
					t.Errorf("%s: %s: %q repeats the token", p.alg, name, err)
				}
			}
		}
		good := p.sign(t, head(p.alg, `,"kid":"k","typ":"JWT"`), body)
		if _, err := set.Verify(good, []string{p.alg}, []string{"JWT"}); err != nil {
			t.Errorf("%s: Verify of the genuine token = %v", p.alg, err)
		}
		// The caller's lists decide.
		for _, row := range []struct{ algs, types []string }{
			{nil, []string{"JWT"}}, {allAlgs, nil}, {allAlgs, []string{""}}, {[]string{"none", "HS256", strings.ToLower(p.alg)}, []string{"JWT"}},
			{[]string{""}, []string{"JWT"}}, {allAlgs, []string{"JW", "JWTT"}},
		} {
			if _, err := set.Verify(good, row.algs, row.types); !errors.Is(err, ErrToken) {
				t.Errorf("%s: Verify for %q, %q = %v, want ErrToken", p.alg, row.algs, row.types, err)
			}
		}
		// An algorithm that a careless caller lists has no key.
		for _, token := range []string{compact(head("none", `,"kid":"k","typ":"JWT"`), body, nil), mac(nil, head("HS256", `,"kid":"k","typ":"JWT"`), body)} {
			if _, err := set.Verify(token, []string{"none", "HS256", ""}, []string{"JWT"}); !errors.Is(err, ErrToken) {
				t.Errorf("%s: Verify for none and HS256 = %v, want ErrToken", p.alg, err)
			}
		}
	}
}

// TestPublicKeysErrors: what is wrong is said in words.
func TestPublicKeysErrors(t *testing.T) {
	t.Parallel()
	p := agentKeys()[0]
	set := publicKeys(t, p.jwk(t, "k"))
	good := p.sign(t, head(ES256, `,"kid":"k","typ":"JWT"`), `{}`)
	for want, token := range map[string]string{
		"alg is not one of PS256, ES256, EdDSA": compact(head("none", ``), `{}`, nil),
		"three parts":                           "a.b",
		"typ is not one of":                     p.sign(t, head(ES256, `,"kid":"k"`), `{}`),
		"no key of the set has its kid":         p.sign(t, head(ES256, `,"kid":"x","typ":"JWT"`), `{}`),
		"wrong signature":                       good[:len(good)-8] + "AAAAAAAA",
		"keys come from the registered set":     p.sign(t, head(ES256, `,"kid":"k","typ":"JWT","jwk":{}`), `{}`),
		`the member "crit" is not supported`:    p.sign(t, head(ES256, `,"crit":[]`), `{}`),
		`write "alg" in lower case`:             p.sign(t, `{"ALG":"ES256"}`, `{}`),
		"kid is not a string":                   p.sign(t, head(ES256, `,"kid":7`), `{}`),
		"a member is there twice":               p.sign(t, head(ES256, `,"typ":"JWT"`), `{"a":1,"a":2}`),
		"longer than 8192 bytes":                strings.Repeat("a", MaxToken+1),
	} {
		if _, err := set.Verify(token, allAlgs, []string{"JWT"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Verify = %v, want %q", err, want)
		}
	}
}

// mutate changes a token in one to four places.
func mutate(rnd interface{ IntN(int) int }, token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/\n"
	b := []byte(token)
	for range 1 + rnd.IntN(4) {
		i := rnd.IntN(len(b))
		switch c := alphabet[rnd.IntN(len(alphabet))]; rnd.IntN(6) {
		case 0:
			b = append(b[:i], b[i+1:]...)
		case 1:
			b = append(b[:i], append([]byte{c}, b[i:]...)...)
		case 2:
			b[i] = byte(rnd.IntN(256))
		case 3:
			b[i] ^= 1 << rnd.IntN(8)
		default:
			b[i] = c
		}
	}
	return string(b)
}

// TestPublicKeysMutations: no changed token passes.
func TestPublicKeysMutations(t *testing.T) {
	t.Parallel()
	for _, p := range agentKeys() {
		t.Run(p.alg, func(t *testing.T) {
			t.Parallel()
			set := publicKeys(t, p.jwk(t, ""))
			token := p.sign(t, head(p.alg, `,"typ":"JWT"`), `{"iss":"agent","aud":"https://consent.example.com"}`)
			rnd := source(11)
			for range *mutations / len(allAlgs) {
				bad := mutate(rnd, token)
				if _, err := set.Verify(bad, allAlgs, []string{"", "JWT"}); bad != token && !errors.Is(err, ErrToken) {
					t.Fatalf("%q passes for %q", bad, token)
				}
			}
		})
	}
}

// FuzzPublicKeysVerify: nothing passes but what the keys signed, which are the
// same in every process.
func FuzzPublicKeysVerify(f *testing.F) {
	seed := sha256.Sum256([]byte("fuzz"))
	ec, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	if err != nil {
		f.Fatal(err)
	}
	const body = `{"iss":"agent"}`
	var jwks []string
	for _, p := range []pair{{ES256, ec}, {EdDSA, ed25519.NewKeyFromSeed(seed[:])}} {
		jwks = append(jwks, p.jwk(f, "k"))
		f.Add(p.sign(f, head(p.alg, `,"kid":"k","typ":"JWT"`), body))
		for _, bad := range attacks(f, p, body) {
			if len(bad) < MaxToken {
				f.Add(bad)
			}
		}
	}
	set := publicKeys(f, jwks...)
	f.Fuzz(func(t *testing.T, token string) {
		got, err := set.Verify(token, allAlgs, []string{"JWT"})
		if err == nil && (string(got.Payload) != body || got.KID != "k" || got.Type != "JWT") {
			t.Errorf("%q passes as %+v", token, got)
		}
	})
}

// TestUnverified reads what nobody has vouched for: each member once, by its
// name as it is spelled, and nothing of what Verify would not read.
func TestUnverified(t *testing.T) {
	t.Parallel()
	token := func(payload string) string { return "e30." + encoding.EncodeToString([]byte(payload)) + ".AA" }
	claims, ok := Unverified(token(` {"sub":"a"}`))
	if ok {
		t.Errorf("Unverified = %s, of a payload with something before it", claims)
	}
	claims, ok = Unverified(token(`{"sub" : "a", "\u0069ss":["x", {"y":1}], "exp":1e3 ,"ISS2":null}`))
	if !ok {
		t.Fatal("Unverified reads no object")
	}
	var got []string
	each := func(name, value []byte) error {
		got = append(got, string(name)+"="+string(value))
		return nil
	}
	want := []string{`sub="a"`, `iss=["x", {"y":1}]`, `exp=1e3`, `ISS2=null`}
	if err := claims.Each(each); err != nil || !slices.Equal(got, want) {
		t.Errorf("Each gives %q, %v, want %q", got, err, want)
	}
	stop := errors.New("stop")
	n := 0
	if err := claims.Each(func(_, _ []byte) error { n++; return stop }); err != stop || n != 1 {
		t.Errorf("Each went on for %d members and returned %v, want the error of the first", n, err)
	}
	for _, bad := range []string{
		"", "e30", "e30.e30", token(`[]`), token(`{"a":1,"a":2}`), token(`{"a":1,"A":2}`), token("{\"a\":\"\xff\"}"), token(`{"a":1}x`),
		strings.Replace(token(`{}`), "e30.AA", "e30=.AA", 1), token(`{"a":"` + strings.Repeat("x", MaxToken) + `"}`),
		token(strings.Repeat(`{"a":`, maxDepth) + "{}" + strings.Repeat("}", maxDepth)),
	} {
		if claims, ok := Unverified(bad); ok {
			t.Errorf("Unverified(%.60q) = %.60s", bad, claims)
		}
	}
}
