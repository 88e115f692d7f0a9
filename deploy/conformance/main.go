// Command conformance makes what an outside conformance suite and ringback need
// to know of each other: keys, certificates, the configuration of ringback and
// those of the suite's FAPI-CIBA plan. README.md says how they are used.
package main

import (
	"crypto/x509"
	_ "embed"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"text/template"
)

// setup is what the operator chooses.
type setup struct {
	Dir        string // where files go
	Host       string // host name in our URLs, and in our certificate
	Listen     string // address of the public listener
	MTLSListen string // address of the listener for client certificates
	Suite      string // URL of the suite, which is pinged
	Alias      string // of the suite's plan, part of where it is pinged
}

// URL is the issuer.
func (s *setup) URL() string { return "https://" + net.JoinHostPort(s.Host, port(s.Listen)) }

// MTLSURL is where client certificates are asked for.
func (s *setup) MTLSURL() string { return "https://" + net.JoinHostPort(s.Host, port(s.MTLSListen)) }

// Remote reports whether others on the network can reach the listener.
func (s *setup) Remote() bool {
	host, _, _ := net.SplitHostPort(s.Listen)
	return host != "localhost" && !net.ParseIP(host).IsLoopback()
}

// SuiteHost is the host of the suite.
func (s *setup) SuiteHost() string {
	u, err := url.Parse(s.Suite)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// SuiteAddress is the host of the suite with its port.
func (s *setup) SuiteAddress() string {
	p := "443"
	if u, err := url.Parse(s.Suite); err == nil && u.Port() != "" {
		p = u.Port()
	}
	return net.JoinHostPort(s.SuiteHost(), p)
}

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}

func main() {
	var s setup
	flag.StringVar(&s.Dir, "dir", "conformance", "directory to make")
	flag.StringVar(&s.Host, "host", "localhost", "host name by which the suite reaches ringback")
	flag.StringVar(&s.Listen, "listen", "127.0.0.1:8663", "address of the public listener")
	flag.StringVar(&s.MTLSListen, "mtls-listen", "127.0.0.1:8665", "address of the listener for client certificates")
	flag.StringVar(&s.Suite, "suite", "https://localhost.emobix.co.uk:8443", "base URL that the suite has in its configuration, without a slash at the end")
	flag.StringVar(&s.Alias, "alias", "ringback", "alias of the plan in the suite")
	flag.Parse()
	if err := s.make(); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
	fmt.Printf("made %s; start ringback with it:\n\n  SSL_CERT_FILE=%s/suite.crt ringback serve --dev --config %s/ringback.yaml\n", s.Dir, s.Dir, s.Dir)
}

//go:embed ringback.yaml.tmpl
var configuration string

// make writes everything. A directory that is there already is left alone: its
// keys may be registered somewhere.
func (s *setup) make() error {
	var err error
	if s.Dir, err = filepath.Abs(s.Dir); err != nil {
		return err
	}
	if err := os.Mkdir(s.Dir, 0o700); err != nil {
		return fmt.Errorf("%w: name a directory that does not exist yet", err)
	}
	for name, host := range map[string]string{"server": s.Host, "suite": s.SuiteHost()} {
		if err := s.server(name, host); err != nil {
			return err
		}
	}
	var clients [2]client
	for i := range clients {
		if clients[i], err = newClient(i + 1); err != nil {
			return err
		}
		if err := s.pem(fmt.Sprintf("client%d", i+1), clients[i].tls); err != nil {
			return err
		}
	}
	token, err := newToken()
	if err != nil {
		return err
	}
	if err := s.write("registration.token", []byte(token+"\n")); err != nil {
		return err
	}
	for _, v := range variants() {
		plan, err := json.MarshalIndent(s.plan(v, clients, token), "", "  ")
		if err != nil {
			return err
		}
		if err := s.write("plan-"+v.name()+".json", append(plan, '\n')); err != nil {
			return err
		}
	}
	t, err := template.New("").Parse(configuration)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(s.Dir, "ringback.yaml"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	entries, err := s.entries(clients)
	if err != nil {
		return err
	}
	if err := t.Execute(f, struct {
		*setup
		Clients []string
	}{s, entries}); err != nil {
		return err
	}
	return f.Close()
}

// server makes the certificate of a host that serves.
func (s *setup) server(name, host string) error {
	k, err := newRSA(name)
	if err != nil {
		return err
	}
	if err := k.certify(host, x509.ExtKeyUsageServerAuth); err != nil {
		return err
	}
	return s.pem(name, k)
}

// pem writes a certificate and its key.
func (s *setup) pem(name string, k *key) error {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return err
	}
	if err := s.write(name+".crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.certificate})); err != nil {
		return err
	}
	return s.write(name+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func (s *setup) write(name string, data []byte) error {
	return os.WriteFile(filepath.Join(s.Dir, name), data, 0o600)
}
