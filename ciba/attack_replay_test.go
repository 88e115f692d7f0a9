package ciba_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringback/ciba"
	"ringback/consent"
)

// TestReplays: what a client signs counts once: sent again, signed anew with
// the same jti, at another endpoint, or after its end (RFC 7523 §3, CIBA Core
// §7.1.1, RFC 9449 §11.1).
func TestReplays(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ES256", "k")
	h := open(t, keyed("keyed", s), client("signing", func(c *consent.Client) { c.JWKS = jwks(s) }))
	assertion := func(path, token string) *response {
		return h.direct(path, asking("token", "x", "client_assertion", token, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"))
	}
	request := func(token string) *response { return h.directAs("signing", "/bc-authorize", params("request", token)) }
	proof := func(token string) *response {
		return h.directAs("agent", "/revoke", params("token", "x"), "DPoP", token)
	}
	type used struct {
		claims claims
		header map[string]any
		token  string
		again  func(token string) *response
		want   func(*response) bool
	}
	var all []used
	use := func(c claims, header map[string]any, send func(string) *response, want func(*response) bool) {
		u := used{c, header, s.sign(header, c), send, want}
		if res := send(u.token); res.status != http.StatusOK {
			t.Fatalf("the first time: %d %s", res.status, res.raw)
		}
		all = append(all, u)
	}
	replay := func(when string) {
		for i, u := range all {
			for _, token := range []string{u.token, s.sign(u.header, u.claims)} {
				if res := u.again(token); !u.want(res) {
					t.Fatalf("%s: number %d, again: %d %s", when, i, res.status, res.raw)
				}
			}
		}
	}
	unauthorized, invalid, unproved := says(http.StatusUnauthorized, ciba.InvalidClient), says(http.StatusBadRequest, ciba.InvalidRequest), says(http.StatusBadRequest, ciba.InvalidDPoPProof)
	batch := func(n int) {
		all = all[:0]
		for i := range n {
			path := []string{"/introspect", "/bc-authorize", "/token", "/oauth/token"}[i%4]
			first := true
			use(h.asserted("keyed"), nil, func(token string) *response {
				if first {
					first = false
					return assertion("/revoke", token)
				}
				return assertion(path, token)
			}, unauthorized)
			use(h.signedRequest("signing"), nil, request, invalid)
			use(claims{"jti": consent.NewID().String(), "htm": "POST", "htu": h.url + "/revoke", "iat": h.now().Unix()},
				map[string]any{"typ": "dpop+jwt", "jwk": s.jwk(nil), "kid": nil}, proof, unproved)
		}
		replay("at once")
	}
	const size = 50 // a batch is over before its proofs are
	for done := 0; done < manyReplays; done += size {
		batch(size)
	}
	h.forward(30 * time.Second)
	replay("a while later")
	h.forward(time.Hour)
	replay("after the end")
}

// cut is a connection that ends after so many bytes of the answer.
type cut struct {
	net.Conn
	left atomic.Int64
}

func (c *cut) Write(b []byte) (int, error) {
	left := c.left.Add(-int64(len(b))) + int64(len(b))
	if left >= int64(len(b)) {
		return c.Conn.Write(b)
	}
	n, _ := c.Conn.Write(b[:max(left, 0)])
	c.Conn.Close()
	return n, io.ErrClosedPipe
}

// cutting is a listener whose connections end where it is told.
type cutting struct {
	net.Listener
	after atomic.Int64
}

func (l *cutting) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &cut{Conn: conn}
	c.left.Store(l.after.Load())
	return c, nil
}

// TestLostAnswers: a token that was lost on its way never comes a second time,
// and that it was issued stays visible. A caller that had gone before may find
// it still there, once.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	h := open(t)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := &cutting{Listener: inner}
	srv := &http.Server{Handler: h.echo}
	var serving sync.WaitGroup
	serving.Go(func() { srv.Serve(ln) })
	t.Cleanup(func() { srv.Close(); serving.Wait() })
	rnd := rand.New(rand.NewPCG(7, 0))
	for i := range manyLosses {
		handle := h.askedDirectly("agent")
		id := h.idOf(handle)
		h.decide(id, consent.Approved)
		gone := i%5 == 4 // hangs up before anything comes
		ln.after.Store(int64(rnd.IntN(1000)))
		conn, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		body := collecting(handle).Encode()
		fmt.Fprintf(conn, "POST /token HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
			basic("agent", secret), len(body), body)
		var got []byte
		if !gone {
			got, _ = io.ReadAll(conn)
		}
		conn.Close()
		if _, answer, _ := bytes.Cut(got, []byte("\r\n\r\n")); json.Valid(answer) {
			t.Fatalf("nothing was lost: %s", got)
		}
		tokens := 0
		for range 3 {
			switch res := h.directAs("agent", "/token", collecting(handle)); {
			case res.status == http.StatusOK && gone:
				tokens++
			case !says(http.StatusBadRequest, ciba.InvalidGrant)(res):
				t.Fatalf("after a loss: %d %s", res.status, res.raw)
			}
		}
		if tokens > 1 {
			t.Fatalf("one approval yielded %d tokens", tokens)
		}
		st := h.state(id)
		if st.Status() != consent.StatusRedeemed || st.Settled.JTI != id.String() {
			t.Fatalf("a lost token is not on record: %+v", st.Settled)
		}
	}
}

// TestLateDecisions: a second after a request's end nobody decides it, by
// whatever means, and its client is told that it is over.
func TestLateDecisions(t *testing.T) {
	t.Parallel()
	h := open(t)
	answers := []consent.Evidence{
		{Verb: consent.Approved, By: "alice", Means: consent.ByDev, ACR: consent.ACRMatch},
		{Verb: consent.Approved, By: "alice", Means: consent.ByReply, ACR: consent.ACRTap, Presentation: &consent.Presentation{}},
		{Verb: consent.Denied, By: "alice", Means: consent.ByReply},
		{Verb: consent.Denied, By: "alice", Means: consent.ByDev, NotMe: true},
		{Verb: consent.Withdrawn, By: "agent", Means: consent.ByClient},
		{Verb: consent.Withdrawn, By: "operator", Means: consent.ByAdmin},
	}
	handles := make([]string, manyLate)
	for i := range handles {
		handles[i] = h.askedDirectly("agent", "requested_expiry", "3600")
	}
	h.forward(time.Hour + time.Second)
	for i, handle := range handles {
		id := h.idOf(handle)
		ev := answers[i%len(answers)]
		ev.Nonce = "n"
		late := func(want error) {
			t.Helper()
			if d, err := consent.Decide(h.state(id), ev, h.reg, h.now()); err == nil || ev.Verb == d.Verb {
				t.Fatalf("a second late, %s by %s: %+v, %v, want %v", ev.Verb, ev.Means, d, err, want)
			}
		}
		late(consent.ErrEnded)
		if i%2 == 0 { // whoever takes it back comes too late as well
			h.directAs("agent", "/revoke", params("token", handle))
		}
		for range 2 {
			if res := h.directAs("agent", "/token", collecting(handle)); !says(http.StatusBadRequest, ciba.ExpiredToken)(res) {
				t.Fatalf("a second late: %d %s", res.status, res.raw)
			}
			late(consent.ErrDecided)
		}
		if got := h.state(id).Status(); got != consent.StatusExpired {
			t.Fatalf("a second late: %s", got)
		}
	}
}

// TestOneTokenInside: 64 polls at a time get one token, without a network that
// would keep them apart.
func TestOneTokenInside(t *testing.T) {
	t.Parallel()
	h := open(t)
	for range manyRaces {
		handle := h.askedDirectly("agent")
		h.decide(h.idOf(handle), consent.Approved)
		var tokens atomic.Int32
		var all sync.WaitGroup
		for range 64 {
			r := h.request("/token", collecting(handle), "Authorization", basic("agent", secret))
			all.Go(func() {
				switch res := h.arrive(r); {
				case res.status == http.StatusOK:
					tokens.Add(1)
				case !says(http.StatusBadRequest, ciba.InvalidGrant)(res):
					t.Errorf("a losing poll: %d %s", res.status, res.raw)
				}
			})
		}
		all.Wait()
		if got := tokens.Load(); got != 1 {
			t.Fatalf("%d tokens for one approval", got)
		}
	}
	if strings.Contains(h.logged(), "panic") {
		t.Error("something panicked")
	}
}
