package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	defaultTimeout = 5 * time.Second
	defaultMaxBody = 64 << 10
	maxHeader      = 16 << 10
	maxIdle        = 64
	maxIdlePerHost = 4
	idleTimeout    = 15 * time.Second
)

// ErrTooLong is wrapped when a body is longer than Config.MaxBody.
var ErrTooLong = errors.New("the answer is too long")

// Config says what a Client may do.
type Config struct {
	// Allow are the exceptions: networks ("10.1.0.0/16") whose addresses may
	// be dialled on any port, also as literals, and "host:port" pairs that
	// may lead anywhere. Default none.
	Allow []string
	// AllowHTTP permits plain http, but only to what Allow names. For
	// development.
	AllowHTTP bool
	// RootCAs verify servers; nil: the system's.
	RootCAs *x509.CertPool
	// Timeout is for the whole exchange, the body included; default 5 s.
	Timeout time.Duration
	// MaxBody is the longest body that is read, in bytes; default 64 KiB.
	MaxBody int64
	// Resolver looks up names; nil: the system's.
	Resolver *net.Resolver
}

// Client sends requests to addresses that somebody else chose. Its methods may
// be called concurrently.
type Client struct {
	rules   rules
	timeout time.Duration
	maxBody int64
	dialer  net.Dialer
	https   *http.Transport
	http    *http.Transport
}

// Response is an answer, read completely.
type Response struct {
	Status int
	Header http.Header
	Body   []byte // as sent: never decompressed
}

// New returns a Client, or every mistake in cfg.Allow.
func New(cfg Config) (*Client, error) {
	r, err := newRules(cfg)
	if err != nil {
		return nil, err
	}
	c := &Client{rules: r, timeout: cfg.Timeout, maxBody: cfg.MaxBody, dialer: net.Dialer{Resolver: cfg.Resolver}}
	if c.timeout == 0 {
		c.timeout = defaultTimeout
	}
	if c.maxBody == 0 {
		c.maxBody = defaultMaxBody
	}
	c.https = c.transport("https", cfg.RootCAs)
	c.http = c.transport("http", nil)
	return c, nil
}

// transport returns a transport for one scheme, so that a connection is never
// judged by another scheme's rule.
func (c *Client) transport(scheme string, roots *x509.CertPool) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy: nil, // not even from the environment: it would dial for us, unchecked
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return c.dial(ctx, scheme, network, address)
		},
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    c.timeout,
		DisableCompression:     true,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdlePerHost,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeader,
		Protocols:              protocols,
	}
}

// dial connects to one address of a target. The check runs after the name is
// resolved and before the socket connects, for each address tried.
func (c *Client) dial(ctx context.Context, scheme, network, address string) (net.Conn, error) {
	t, err := c.rules.check(&url.URL{Scheme: scheme, Host: address})
	if err != nil {
		return nil, err
	}
	host := t.host
	if !t.literal && !t.exempt && strings.Contains(host, ".") {
		host += "." // absolute: a search domain must not complete a stranger's name
	}
	d := c.dialer
	d.Control = func(_, dialled string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(dialled)
		if err != nil {
			return &RefusedError{RuleAddress}
		}
		return c.rules.permit(t, at.Addr())
	}
	return d.DialContext(ctx, network, net.JoinHostPort(host, t.port))
}

// Check reports whether a URL may be asked for, as far as can be told without
// resolving its name: nil or a *RefusedError. For use at registration.
func (c *Client) Check(u *url.URL) error {
	_, err := c.rules.check(u)
	return err
}

// Do sends req once and reads the answer. Redirects are answers like others.
// An error is a *RefusedError when a rule forbids the request; when the status
// line had arrived before the error, the Response beside it has Status and
// Header and no Body.
func (c *Client) Do(ctx context.Context, req *http.Request) (*Response, error) {
	return c.do(ctx, req, c.maxBody)
}

// do is Do with a bound for the body.
func (c *Client) do(ctx context.Context, req *http.Request, most int64) (*Response, error) {
	t, err := c.rules.check(req.URL)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	if req.Host != "" && req.Host != req.URL.Host {
		closeBody(req)
		return nil, &RefusedError{RuleHost}
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	transport := c.https
	if t.scheme == "http" {
		transport = c.http
	}
	res, err := transport.RoundTrip(req.Clone(ctx))
	if err != nil {
		var refused *RefusedError
		if errors.As(err, &refused) {
			return nil, refused
		}
		return nil, &exchangeError{connected: connected.Load(), err: err}
	}
	defer res.Body.Close()
	out := &Response{Status: res.StatusCode, Header: res.Header}
	if res.ContentLength > most {
		return out, fmt.Errorf("reading the answer: %w (%d bytes, at most %d)", ErrTooLong, res.ContentLength, most)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	if err == nil {
		err = ctx.Err() // hanging up may look like the body's end to both sides
	}
	if err != nil {
		return out, &exchangeError{connected: true, err: fmt.Errorf("reading the answer: %w", err)}
	}
	if int64(len(body)) > most {
		return out, fmt.Errorf("reading the answer: %w (at most %d bytes)", ErrTooLong, most)
	}
	out.Body = body
	return out, nil
}

// closeBody keeps the promise of http.RoundTripper when nothing is sent.
func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// exchangeError is a failure of the network.
type exchangeError struct {
	connected bool // a connection was there, so something may have been sent
	err       error
}

func (e *exchangeError) Error() string { return "asking another server: " + e.err.Error() }

func (e *exchangeError) Unwrap() error { return e.err }

// IsConnect reports whether err means that no connection came about (name not
// found, refused, unreachable, TLS failed, too slow): nothing of the request
// was sent, and trying again may help.
func IsConnect(err error) bool {
	var e *exchangeError
	return errors.As(err, &e) && !e.connected
}
