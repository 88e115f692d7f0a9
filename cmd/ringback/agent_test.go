package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"ringback/config/configtest"
)

// script answers an agent from a script, one reply a poll. The clock moves
// only when the agent sleeps, and while a poll is held.
type script struct {
	t       *testing.T
	clock   time.Time
	replies []scripted
	polls   []time.Duration // when each poll began, from the first
	slept   []time.Duration
	first   time.Time
}

// scripted is one answer to a poll.
type scripted struct {
	status int
	body   string
	retry  string
	held   time.Duration
}

const yes = `{"access_token":"a.eyJzdWIiOiJhbGljZSJ9.c","token_type":"Bearer","expires_in":300}`

func failing(code string) scripted {
	return scripted{status: 400, body: `{"error":"` + code + `","error_description":"because"}`}
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		base := "http://" + r.Host
		fmt.Fprintf(w, `{"issuer":%q,"token_endpoint":%q,"backchannel_authentication_endpoint":%q}`, base, base+"/token", base+"/bc-authorize")
	case "/bc-authorize":
		fmt.Fprint(w, `{"auth_req_id":"x","expires_in":300,"interval":5,"match_code":"4711"}`)
	case "/token":
		if len(s.polls) == 0 {
			s.first = s.clock
		}
		s.polls = append(s.polls, s.clock.Sub(s.first))
		if len(s.replies) == 0 {
			s.t.Error("one poll too many")
			w.WriteHeader(500)
			return
		}
		a := s.replies[0]
		s.replies = s.replies[1:]
		s.clock = s.clock.Add(a.held)
		if a.retry != "" {
			w.Header().Set("Retry-After", a.retry)
		}
		w.WriteHeader(a.status)
		fmt.Fprint(w, a.body)
	}
}

func (s *script) now() time.Time { return s.clock }

func (s *script) sleep(_ context.Context, d time.Duration) error {
	s.slept = append(s.slept, d)
	s.clock = s.clock.Add(d)
	return nil
}

// play lets an agent ask a server that answers polls with replies.
func play(t *testing.T, replies ...scripted) (*script, string, string, error) {
	t.Helper()
	s := &script{t: t, clock: time.Unix(1e9, 0), replies: replies}
	srv := httptest.NewServer(s)
	defer srv.Close()
	var out, said bytes.Buffer
	a := &app{stdout: &out, stderr: &said, now: s.now, sleep: s.sleep, getenv: configtest.Environ(
		"RINGBACK_ISSUER", srv.URL, "RINGBACK_CLIENT_ID", "agent", "RINGBACK_CLIENT_SECRET", "secret-canary")}
	err := a.ask(t.Context(), []string{"--login-hint", "alice", "--print", "claims"})
	if strings.Contains(said.String()+out.String(), "secret-canary") {
		t.Error("the secret is printed")
	}
	return s, out.String(), said.String(), err
}

func seconds(n ...int) []time.Duration {
	var out []time.Duration
	for _, v := range n {
		out = append(out, time.Duration(v)*time.Second)
	}
	return out
}

// TestPace polls as CIBA Core §11 wants it: never sooner than the interval after
// the last poll began, five seconds slower after each slow_down, and at once
// after a poll that was held for longer.
func TestPace(t *testing.T) {
	t.Parallel()
	pending, slow, ok := failing("authorization_pending"), failing("slow_down"), scripted{status: 200, body: yes}
	held := func(d time.Duration) scripted { p := pending; p.held = d; return p }
	for _, tt := range []struct {
		name    string
		replies []scripted
		want    []time.Duration
	}{
		{"at once", []scripted{ok}, seconds(0)},
		{"interval", []scripted{pending, pending, ok}, seconds(0, 5, 10)},
		{"held", []scripted{held(25 * time.Second), held(2 * time.Second), ok}, seconds(0, 25, 30)},
		{"slow down", []scripted{slow, pending, ok}, seconds(0, 10, 20)},
		{"slow down twice", []scripted{slow, slow, ok}, seconds(0, 10, 25)},
		{"slow down with Retry-After", []scripted{{status: 400, body: slow.body, retry: "30"}, ok}, seconds(0, 30)},
		{"overloaded", []scripted{{status: 503, retry: "7"}, {status: 503}, ok}, seconds(0, 7, 12)},
		{"a proxy's 429", []scripted{{status: 429, retry: "60"}, ok}, seconds(0, 60)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, out, _, err := play(t, tt.replies...)
			if err != nil || strings.TrimSpace(out) != `{"sub":"alice"}` {
				t.Fatalf("ask = %q, %v", out, err)
			}
			if !slices.Equal(s.polls, tt.want) {
				t.Errorf("polls at %v, want %v", s.polls, tt.want)
			}
		})
	}
}

// TestAnswers maps the answer to an exit code.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		reply scripted
		code  int
		say   string
	}{
		{"denied", failing("access_denied"), exitDenied, "denied: access_denied: because"},
		{"expired", failing("expired_token"), exitExpired, "expired: expired_token: because"},
		{"gone", failing("invalid_grant"), 1, "invalid_grant"},
		{"wrong secret", scripted{status: 401, body: `{"error":"invalid_client"}`}, 1, "invalid_client"},
		{"broken", scripted{status: 500, body: "<html>"}, 1, "the service answered 500"},
		{"no token", scripted{status: 200, body: "{}"}, 1, "no access_token"},
		{"no JWT", scripted{status: 200, body: `{"access_token":"opaque"}`}, 1, "the access token is not a JWT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, out, _, err := play(t, tt.reply)
			code := 1
			var e *exit
			if errors.As(err, &e) {
				code = e.code
			}
			if err == nil || code != tt.code || !strings.Contains(err.Error(), tt.say) || out != "" {
				t.Errorf("ask = %q, %v (exit %d), want exit %d with %q", out, err, code, tt.code, tt.say)
			}
		})
	}
}

// TestProgress shows the number and nothing that opens anything.
func TestProgress(t *testing.T) {
	t.Parallel()
	_, _, said, err := play(t, scripted{status: 200, body: yes})
	if err != nil || !strings.Contains(said, "4711") || strings.Contains(said, "auth_req_id") || strings.Contains(said, "a.eyJ") {
		t.Errorf("progress = %q, %v", said, err)
	}
}

// TestInterrupted takes the question back when nobody waits any more.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	withdrawn := ""
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		base := "http://" + r.Host
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer":%q,"token_endpoint":%q,"backchannel_authentication_endpoint":%q,"revocation_endpoint":%q}`, base, base+"/token", base+"/bc", base+"/revoke")
		case "/bc":
			fmt.Fprint(w, `{"auth_req_id":"x","expires_in":300}`)
		case "/token":
			cancel()
			w.WriteHeader(400)
			fmt.Fprint(w, `{"error":"authorization_pending"}`)
		case "/revoke":
			withdrawn = r.FormValue("token")
		}
	}))
	defer srv.Close()
	g := &agent{issuer: srv.URL, id: "agent", secret: "secret", stderr: &bytes.Buffer{}, now: time.Now, sleep: sleep}
	_, err := g.ask(ctx, question{hint: "alice", scope: "openid"})
	if err == nil || err.Error() != "interrupted; the request is withdrawn" || withdrawn != "x" {
		t.Errorf("ask = %v, withdrew %q, want the request withdrawn", err, withdrawn)
	}
}

// TestIssuers refuses issuers that are not what they were said to be.
func TestIssuers(t *testing.T) {
	t.Parallel()
	for name, meta := range map[string]string{
		"says that it is": `{"issuer":"https://other.example","token_endpoint":"https://other.example/t","backchannel_authentication_endpoint":"https://other.example/b"}`,
		"plain http":      `{"issuer":"ISSUER","token_endpoint":"http://evil.example/t","backchannel_authentication_endpoint":"ISSUER/b"}`,
		"does not offer":  `{"issuer":"ISSUER","token_endpoint":"ISSUER/t"}`,
		"is no issuer":    `<html>`,
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/.well-known/openid-configuration" {
				t.Errorf("%s: a request reached %s", name, r.URL.Path)
			}
			fmt.Fprint(w, strings.ReplaceAll(meta, "ISSUER", "http://"+r.Host))
		}))
		g := &agent{issuer: srv.URL, id: "agent", secret: "secret", stderr: &bytes.Buffer{}, now: time.Now, sleep: sleep}
		if _, err := g.ask(t.Context(), question{hint: "alice", scope: "openid"}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("ask = %v, want %q", err, name)
		}
		srv.Close()
	}
}
