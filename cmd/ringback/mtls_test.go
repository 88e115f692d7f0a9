package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringback/config"
	"ringback/config/configtest"
)

// startDev runs a development service with the file, beside which lie tls.crt,
// tls.key and ca.pem, until the test ends.
func startDev(t *testing.T, text string) *service {
	t.Helper()
	return start(t, text, true)
}

// start is startDev for any kind of run, with something changed before it.
func start(t *testing.T, text string, dev bool, change ...func(*service)) *service {
	t.Helper()
	dir := t.TempDir()
	for name, data := range map[string][]byte{"tls.crt": configtest.PEMs().Cert, "tls.key": configtest.PEMs().Key, "ca.pem": configtest.PEMs().CA} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "ringback.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	said := new(spoken)
	a := &app{stdout: said, stderr: said, now: time.Now, getenv: configtest.Environ("T", configtest.Strong)}
	if !dev {
		if code := a.run(t.Context(), []string{"init", "--config", file}); code != 0 {
			t.Fatalf("init = %d:\n%s", code, said)
		}
	}
	s := a.newService(config.Sources{File: file, Dev: dev, Getenv: a.getenv})
	up, ended := make(chan struct{}), make(chan error, 1)
	s.up = func() { close(up) }
	for _, f := range change {
		f(s)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	go func() { ended <- s.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
	select {
	case <-up:
	case err := <-ended:
		ended <- nil
		t.Fatalf("serve: %v\n%s", err, said.String())
	}
	return s
}

// spoken is what a service said, which several parts of it do at once.
type spoken struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *spoken) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(b)
}

func (s *spoken) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

const tlsDev = `listen: 127.0.0.1:0
manage: 127.0.0.1:0
tls: {cert: DIR/tls.crt, key: DIR/tls.key}
mtls: {listen: "127.0.0.1:0", client_ca: DIR/ca.pem}
`

// TestMTLSListener: the listener for certificates asks for one and takes any or
// none; it has the agents' routes and nothing of people's. The public one never
// asks.
func TestMTLSListener(t *testing.T) {
	t.Parallel()
	s := startDev(t, tlsDev+`clients:
  - {client_id: strict, profile: fapi-ciba, token_endpoint_auth_method: self_signed_tls_client_auth, jwks_uri: "https://strict.example/jwks"}
`)
	if !s.house.policy.Load().FAPI {
		t.Error("the policy does not know that a client has the profile")
	}
	own, err := tls.X509KeyPair(configtest.PEMs().Cert, configtest.PEMs().Key)
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	get := func(url string, cert *tls.Certificate) (int, string) {
		t.Helper()
		transport := &http.Transport{TLSClientConfig: &tls.Config{
			InsecureSkipVerify: true, // whose certificate it is does not matter here
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if asked.Add(1); cert != nil {
					return cert, nil
				}
				return &tls.Certificate{}, nil
			},
		}}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	mtls := s.cfg.MTLS.PublicURL
	if !strings.HasPrefix(mtls, "https://127.0.0.1:") || strings.HasSuffix(mtls, ":0") || mtls == s.cfg.Issuer {
		t.Errorf("public URLs are %s and %s", mtls, s.cfg.Issuer)
	}
	for _, base := range []string{mtls, s.cfg.Issuer} {
		for _, cert := range []*tls.Certificate{nil, &own} {
			asked.Store(0)
			for path, want := range map[string]int{"/jwks": 200, "/.well-known/openid-configuration": 200, "/dev/resource": 401} {
				if status, body := get(base+path, cert); status != want {
					t.Errorf("%s%s = %d %s, want %d", base, path, status, body, want)
				}
			}
			if got := asked.Load() > 0; got != (base == mtls) {
				t.Errorf("%s asks for a certificate: %v", base, got)
			}
		}
	}
	for _, path := range []string{"/dev/phone", "/dev/outbox", "/a/x", "/me", "/callbacks/twilio/inbound", "/healthz", "/metrics", "/admin/v1/clients"} {
		if status, body := get(mtls+path, &own); status != 404 {
			t.Errorf("%s on the listener for certificates = %d %s, want 404", path, status, body)
		}
	}
}

// TestTLS: TLS 1.2 with the suites that FAPI allows and TLS 1.3, nothing else,
// on each listener.
func TestTLS(t *testing.T) {
	t.Parallel()
	s := startDev(t, tlsDev+"people_listener: {listen: '127.0.0.1:0', public_url: 'https://127.0.0.1:1', tls: {cert: DIR/tls.crt, key: DIR/tls.key}}\n")
	allowed := map[uint16]bool{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: true, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: true}
	for _, l := range []*listener{s.public, s.mtls, s.people} {
		try := func(config *tls.Config) error {
			config.InsecureSkipVerify = true
			conn, err := tls.Dial("tcp", l.ln.Addr().String(), config)
			if err != nil {
				return err
			}
			defer conn.Close()
			if v := conn.ConnectionState().Version; v < tls.VersionTLS12 || v == tls.VersionTLS12 && !allowed[conn.ConnectionState().CipherSuite] {
				return fmt.Errorf("negotiated version %x with suite %x", v, conn.ConnectionState().CipherSuite)
			}
			return nil
		}
		if err := try(&tls.Config{MinVersion: tls.VersionTLS13}); err != nil {
			t.Errorf("%s: TLS 1.3: %v", l.name, err)
		}
		for _, v := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
			if try(&tls.Config{MinVersion: v, MaxVersion: v}) == nil {
				t.Errorf("%s: TLS version %x is spoken", l.name, v)
			}
		}
		for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
			err := try(&tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite.ID}})
			if (err == nil) != allowed[suite.ID] && suite.SupportedVersions[0] != tls.VersionTLS13 {
				t.Errorf("%s: %s: %v", l.name, suite.Name, err)
			}
		}
		if err := try(&tls.Config{}); errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", l.name, err)
		}
	}
}
