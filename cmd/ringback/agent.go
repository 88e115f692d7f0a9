package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ringback/config"
	"ringback/consent"
)

// agent is the client side of CIBA Core in poll mode, for `ringback ask`.
type agent struct {
	issuer, id, secret string
	stderr             io.Writer
	now                func() time.Time
	sleep              func(context.Context, time.Duration) error
	http               *http.Client
	// Endpoints, from discovery; revokeAt may be empty.
	requestAt, tokenAt, revokeAt string
}

// question is what is asked.
type question struct{ hint, scope, details, message string }

// tokens is the answer to an approved request.
type tokens struct {
	raw    []byte
	access string
}

func (t *tokens) token() string { return t.access }

// claims are the claims of the access token (RFC 9068), as JSON.
func (t *tokens) claims() ([]byte, error) {
	parts := strings.Split(t.access, ".")
	if len(parts) != 3 {
		return nil, errors.New("the access token is not a JWT: use --print access_token")
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || !json.Valid(data) {
		return nil, errors.New("the access token's claims cannot be read: use --print access_token")
	}
	return data, nil
}

// longPoll is how many seconds the service is asked to hold a poll open.
const longPoll = 25

// ask asks and waits. A refusal by the person is an *exit.
func (g *agent) ask(ctx context.Context, q question) (*tokens, error) {
	g.http = &http.Client{
		Timeout:       (longPoll + 15) * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if err := g.discover(ctx); err != nil {
		return nil, err
	}
	form := url.Values{"scope": {q.scope}, "login_hint": {q.hint}}
	if q.details != "" {
		form.Set("authorization_details", q.details)
	}
	if q.message != "" {
		form.Set("binding_message", q.message)
	}
	status, body, err := g.post(ctx, g.requestAt, form)
	if err != nil {
		return nil, fmt.Errorf("asking: %w", err)
	}
	if status.code != http.StatusOK {
		return nil, fmt.Errorf("asking: %w", oauthError(status.code, body))
	}
	var ack struct {
		ID        string `json:"auth_req_id"`
		ExpiresIn int    `json:"expires_in"`
		Interval  int    `json:"interval"`
		MatchCode string `json:"match_code"`
	}
	if err := json.Unmarshal(body, &ack); err != nil || ack.ID == "" || ack.ExpiresIn <= 0 {
		return nil, errors.New("asking: the answer is not an acknowledgement of CIBA Core §7.3: is --issuer right?")
	}
	fmt.Fprintf(g.stderr, "asked %s; waiting for the answer, at most %s\n", q.hint, time.Duration(ack.ExpiresIn)*time.Second)
	if ack.MatchCode != "" {
		fmt.Fprintf(g.stderr, "number to key on the phone, if it asks: %s\n", ack.MatchCode)
	}
	interval := time.Duration(ack.Interval) * time.Second
	if interval <= 0 {
		interval = 5 * time.Second // CIBA Core §7.3
	}
	return g.wait(ctx, ack.ID, interval, g.now().Add(time.Duration(ack.ExpiresIn)*time.Second+time.Minute))
}

// wait polls until there is an answer; until is when it gives up on a service
// that cannot be reached.
func (g *agent) wait(ctx context.Context, id string, interval time.Duration, until time.Time) (*tokens, error) {
	form := url.Values{"grant_type": {consent.GrantTypeCIBA}, "auth_req_id": {id}}
	for {
		sent := g.now()
		status, body, err := g.post(ctx, g.tokenAt, form)
		if ctx.Err() != nil {
			return nil, g.withdraw(ctx, id)
		}
		pause := interval - g.now().Sub(sent) // CIBA Core §7.3: from request to request
		switch {
		case err != nil:
			pause = interval
			fmt.Fprintf(g.stderr, "polling: %v; trying again\n", err)
		case status.code == http.StatusOK:
			t := &tokens{raw: bytes.TrimSpace(body)}
			var in struct {
				Access string `json:"access_token"`
			}
			if err := json.Unmarshal(body, &in); err != nil || in.Access == "" {
				return nil, errors.New("approved, but the answer has no access_token")
			}
			t.access = in.Access
			fmt.Fprintln(g.stderr, "approved")
			return t, nil
		case status.code == http.StatusServiceUnavailable || status.code == http.StatusTooManyRequests:
			pause = max(interval, status.retryAfter)
		default:
			refusal := oauthError(status.code, body)
			switch refusal.code {
			case "authorization_pending":
			case "slow_down":
				interval += 5 * time.Second // CIBA Core §11
				pause = max(pause+5*time.Second, status.retryAfter)
			case "access_denied":
				return nil, &exit{exitDenied, fmt.Errorf("denied: %w", refusal)}
			case "expired_token":
				return nil, &exit{exitExpired, fmt.Errorf("expired: %w", refusal)}
			default:
				return nil, fmt.Errorf("polling: %w", refusal)
			}
		}
		if g.now().After(until) {
			return nil, errors.New("polling: the service gave no answer before the request ended")
		}
		if pause > 0 {
			if err := g.sleep(ctx, pause); err != nil {
				return nil, g.withdraw(ctx, id)
			}
		}
	}
}

// withdraw takes the question back when nobody waits for the answer any more,
// so that the person is not asked in vain. It returns why there is no answer.
func (g *agent) withdraw(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if g.revokeAt != "" {
		status, _, err := g.post(ctx, g.revokeAt, url.Values{"token": {id}})
		if err == nil && status.code == http.StatusOK {
			return errors.New("interrupted; the request is withdrawn")
		}
	}
	return errors.New("interrupted; the request stays open until it is answered or ends")
}

// discover reads the endpoints (OpenID Connect Discovery 1.0).
func (g *agent) discover(ctx context.Context) error {
	g.issuer = strings.TrimRight(g.issuer, "/")
	if err := private(g.issuer); err != nil {
		return fmt.Errorf("--issuer: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.issuer+"/.well-known/openid-configuration", nil)
	if err != nil {
		return err
	}
	status, body, err := g.do(req)
	if err != nil {
		return fmt.Errorf("reading what %s offers: %w", g.issuer, err)
	}
	var meta struct {
		Issuer   string `json:"issuer"`
		Token    string `json:"token_endpoint"`
		Backward string `json:"backchannel_authentication_endpoint"`
		Revoke   string `json:"revocation_endpoint"`
	}
	if status.code != http.StatusOK || json.Unmarshal(body, &meta) != nil {
		return fmt.Errorf("%s is no issuer: it answers %d at /.well-known/openid-configuration", g.issuer, status.code)
	}
	if strings.TrimRight(meta.Issuer, "/") != g.issuer {
		return fmt.Errorf("%s says that it is %q: use that as --issuer", g.issuer, meta.Issuer)
	}
	if meta.Backward == "" || meta.Token == "" {
		return fmt.Errorf("%s does not offer backchannel authentication", g.issuer)
	}
	g.requestAt, g.tokenAt = meta.Backward, meta.Token
	if private(meta.Revoke) == nil {
		g.revokeAt = meta.Revoke
	}
	return errors.Join(private(g.requestAt), private(g.tokenAt))
}

// private refuses to send a secret over a network in the clear.
func private(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("%q is not a URL: write https://consent.example.com", raw)
	case u.Scheme == "http" && !config.IsLoopback(u.Hostname()):
		return fmt.Errorf("%s is plain http, which would show the secret to the network: use https", raw)
	}
	return nil
}

// answerStatus is what a response says beside its body.
type answerStatus struct {
	code       int
	retryAfter time.Duration
}

// post sends a form as this client (client_secret_basic, RFC 6749 §2.3.1).
func (g *agent) post(ctx context.Context, to string, form url.Values) (answerStatus, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		return answerStatus{}, nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Prefer", "wait="+strconv.Itoa(longPoll))
	req.SetBasicAuth(url.QueryEscape(g.id), url.QueryEscape(g.secret))
	return g.do(req)
}

func (g *agent) do(req *http.Request) (answerStatus, []byte, error) {
	resp, err := g.http.Do(req)
	if err != nil {
		var uerr *url.Error
		if errors.As(err, &uerr) {
			err = uerr.Err
		}
		return answerStatus{}, nil, err
	}
	defer resp.Body.Close()
	st := answerStatus{code: resp.StatusCode}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 && n < 3600 {
		st.retryAfter = time.Duration(n) * time.Second
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return st, body, err
}

// refused is an OAuth error response (RFC 6749 §5.2).
type refused struct {
	status      int
	code        string
	description string
}

func (e *refused) Error() string {
	switch {
	case e.code == "":
		return fmt.Sprintf("the service answered %d", e.status)
	case e.description == "":
		return e.code
	}
	return e.code + ": " + e.description
}

func oauthError(status int, body []byte) *refused {
	var in struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	_ = json.Unmarshal(body, &in) // a body that is no JSON has no code
	return &refused{status, in.Code, in.Description}
}
