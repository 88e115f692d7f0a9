package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"

	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"ringback/channels"
	"ringback/consent"
	"ringback/details"
	"ringback/keys"
)

// Where things are unless somebody says otherwise.
const (
	defaultListen  = "127.0.0.1:8663"
	defaultManage  = "127.0.0.1:8664"
	defaultData    = "/var/lib/ringback"
	defaultRootKey = "/etc/ringback/root.key"
	exampleConfig  = "deploy/ringback.example.yaml"
)

// Config is what file, environment and flags say together, checked.
type Config struct {
	File        string // the file's name; empty: none
	Dev         bool   // --dev: unsafe on purpose
	AllowRemote bool   // a development run may listen on more than loopback

	Issuer         string         // public URL of the agents' routes, no slash at the end; in a development run empty until the listener is open
	Listen         string         // address of the public listener
	Manage         string         // address of the management listener, never public
	TLS            *TLS           // of the public listener; nil: plain HTTP, for a proxy that ends TLS
	People         *Listener      // the people's own listener; nil: they come to the public one
	TrustedProxies []netip.Prefix // whose X-Forwarded-For counts

	RootFile   string // root key file; in a development run empty: root.key in Data
	RootText   string // root key from the environment instead of a file
	Data       string // data directory of the embedded store; in a development run empty: a temporary one
	NATS       *NATS  // external NATS server instead of the embedded one
	AdminToken string // bearer of the management API; empty: the one derived from the root key

	SMS        *channels.SMSConfig // nil: none; a development run without one uses the fake provider
	Console    bool                // print messages; development runs only
	Outbound   Outbound            // what may be called besides the public Internet
	Policy     consent.Policy      // routes, limits, scopes, resources, lifetimes
	Types      []details.Type      // authorization_details types beside the built-in ones
	Registry   *details.Registry   // all of them
	Clients    []consent.Client    // read-only for the commands
	Approvers  []consent.Person    // read-only for the commands
	Notes      []string            // what is allowed but deserves a look
	lines      map[string]int      // "client/ID", "person/ID" :: line in the file
	channelsAt int                 // line of channels.sms
}

// TLS names the files of a certificate chain and its key, both PEM.
type TLS struct{ Cert, Key string }

// Listener is a further public listener.
type Listener struct {
	Listen    string // address
	PublicURL string // how people reach it, no slash at the end
	TLS       *TLS   // nil: plain HTTP, for a proxy that ends TLS
}

// NATS is an external server; see store.Config.
type NATS struct {
	URL, Creds, Prefix, Monitor string
	AssumeSynced                bool
}

// Outbound is what the guarded HTTP client may call besides public https
// servers on port 443; see outbound.Config.
type Outbound struct {
	Allow   []string // address ranges ("10.1.0.0/16") and hosts ("ping.internal:8443")
	Timeout time.Duration
}

// PublicURL is where people and providers reach us.
func (c *Config) PublicURL() string {
	if c.People != nil {
		return c.People.PublicURL
	}
	return c.Issuer
}

// Where names the place of an entry of the file ("ringback.yaml:31"), "" for
// one that is not in it. kind is "client" or "person".
func (c *Config) Where(kind, id string) string {
	if line := c.lines[kind+"/"+id]; line > 0 {
		return fmt.Sprintf("%s:%d", c.File, line)
	}
	return ""
}

// ScopeWords is what each scope means, by language.
func (c *Config) ScopeWords() map[string]map[string]string {
	out := map[string]map[string]string{}
	for name, sc := range c.Policy.Scopes {
		out[name] = sc.Words
	}
	return out
}

// Root reads the root key.
func (c *Config) Root() (*keys.Root, error) {
	if c.RootText != "" {
		return keys.ParseRoot([]byte(c.RootText))
	}
	return keys.ReadRoot(c.RootFile)
}

// Sources are what a Config is made of. Flags win over the environment, the
// environment over the file.
type Sources struct {
	File     string                       // path; empty: no file
	Dev      bool                         // --dev
	Flags    Settings                     // empty fields: flag not given
	Getenv   func(string) string          // required
	ReadFile func(string) ([]byte, error) // nil: os.ReadFile

	// StorageOnly reads only where keys and facts are kept: what init needs.
	StorageOnly bool
}

// Settings are what flags and environment may set.
type Settings struct{ Listen, Manage, Data, RootKey string }

// LoadConfig reads and checks everything. Its error is a *Mistakes with every
// mistake there is.
func LoadConfig(src Sources) (*Config, error) {
	if src.ReadFile == nil {
		src.ReadFile = os.ReadFile
	}
	r := &reader{getenv: src.Getenv, readFile: src.ReadFile}
	var root *yaml.Node
	if src.File != "" {
		data, err := src.ReadFile(src.File)
		if err != nil {
			return nil, &Mistakes{List: []Mistake{{What: fmt.Sprintf("reading the configuration: %v", err)}}}
		}
		root = r.document(data)
	}
	c := &Config{File: src.File, Dev: src.Dev, lines: map[string]int{}}
	if root != nil || len(r.mistakes) == 0 {
		c.read(r, root, src)
	}
	if len(r.mistakes) > 0 {
		return nil, &Mistakes{File: src.File, List: r.sorted()}
	}
	return c, nil
}

// read fills c. Later parts look at earlier ones.
func (c *Config) read(r *reader, root *yaml.Node, src Sources) {
	top := r.section("", root, "issuer", "listen", "manage", "tls", "people_listener", "trusted_proxies",
		"root_key", "data", "nats", "admin_token", "channels", "outbound", "policy", "scopes", "resources",
		"details", "clients", "people", "dev")
	c.AllowRemote = r.section("dev", top.fields["dev"], "allow_remote").yes("allow_remote", false)
	if top.has("dev") && !c.Dev {
		top.wrong("dev", "this stands for development runs only: remove it, or start with --dev")
	}
	c.readStorage(r, top, src)
	if src.StorageOnly {
		return
	}
	c.readListeners(r, top, src)
	c.readChannels(r, top)
	c.readOutbound(r, top)
	c.readDetails(r, top)
	c.readScopes(r, top)
	c.readResources(r, top)
	c.readPolicy(r, top)
	c.readClients(r, top)
	c.readPeople(r, top)
	if c.Dev {
		c.overlay()
	}
	c.readLast(r, top)
}

// readListeners reads where we listen and what we are called.
func (c *Config) readListeners(r *reader, top *section, src Sources) {
	c.Listen = c.address(r, top, "listen", src.Flags.Listen, src.Getenv("RINGBACK_LISTEN"), defaultListen)
	c.Manage = c.address(r, top, "manage", src.Flags.Manage, src.Getenv("RINGBACK_MANAGE"), defaultManage)
	if c.Listen == c.Manage && !strings.HasSuffix(c.Listen, ":0") {
		top.wrong("manage", "the same address as listen: management never shares the public listener")
	}
	c.TLS = readTLS(r, "tls", top.fields["tls"])
	if top.has("people_listener") {
		s := r.section("people_listener", top.fields["people_listener"], "listen", "public_url", "tls")
		c.People = &Listener{TLS: readTLS(r, "people_listener.tls", s.fields["tls"])}
		if s.need("listen", "0.0.0.0:8665") {
			c.People.Listen = c.address(r, s, "listen", "", "", "")
		}
		if s.need("public_url", "https://approve.example.com") {
			c.People.PublicURL = c.publicURL(s, "public_url")
		}
	}
	if top.has("issuer") {
		c.Issuer = c.publicURL(top, "issuer")
	} else if !c.Dev {
		top.need("issuer", "https://consent.example.com")
	}
	c.noteNetwork()
	for _, e := range top.list("trusted_proxies") {
		p, err := netip.ParsePrefix(e.node.Value)
		if a, aerr := netip.ParseAddr(e.node.Value); aerr == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			r.wrong(e.node.Line, e.path, "%q is not an address or range: write 10.0.0.7 or 10.0.0.0/24", e.node.Value)
			continue
		}
		c.TrustedProxies = append(c.TrustedProxies, p)
	}
}

// noteNetwork notes listeners that others on the network can read or reach.
func (c *Config) noteNetwork() {
	if host, _, err := net.SplitHostPort(c.Manage); err == nil && !isLoopback(host) {
		c.Notes = append(c.Notes, fmt.Sprintf("manage listens on %s: let nobody but operators reach it", host))
	}
	if host, _, err := net.SplitHostPort(c.Listen); err == nil && !isLoopback(host) && c.TLS == nil {
		c.Notes = append(c.Notes, fmt.Sprintf("listen is %s without TLS: let a proxy that ends TLS stand before it", c.Listen))
	}
}

// address returns the first of flag, variable, file and fallback.
func (c *Config) address(r *reader, s *section, key, flag, env, fallback string) string {
	v, line, where := flag, 0, "--"+key
	if v == "" {
		v, where = env, "RINGBACK_"+strings.ToUpper(key)
	}
	if v == "" {
		v, line, where = s.text(key), s.at(key), join(s.path, key)
	}
	if v == "" {
		return fallback
	}
	host, port, err := net.SplitHostPort(v)
	if err != nil || !isPort(port) {
		r.wrong(line, where, "%q is not an address: write HOST:PORT, such as 127.0.0.1:8663", v)
		return fallback
	}
	if c.Dev && key == "listen" && !c.AllowRemote && !isLoopback(host) {
		r.wrong(line, where, "a development run lets anybody decide, so it listens on loopback only: use 127.0.0.1:%s, or `dev: {allow_remote: true}` in a file on a network that you trust", port)
	}
	return v
}

// publicURL reads a URL under which others reach us, "" if it is none.
func (c *Config) publicURL(s *section, key string) string {
	v := s.text(key)
	u, err := url.Parse(v)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		s.wrong(key, "%q is not a URL without query and fragment: write https://consent.example.com", v)
	case u.Path != "" && (strings.HasSuffix(u.Path, "/") || u.Path != filepath.Clean(u.Path)):
		s.wrong(key, "%q must not end in a slash: write %s", v, strings.TrimRight(v, "/"))
	case u.Scheme == "http" && isLoopback(u.Hostname()):
		if !c.Dev {
			c.Notes = append(c.Notes, fmt.Sprintf("%s is plain http: for a trial on this machine only", join(s.path, key)))
		}
		return v
	case u.Scheme == "https":
		return v
	default:
		s.wrong(key, "%q must begin with https://; http is for loopback addresses only", v)
	}
	return ""
}

// readTLS reads the files of a certificate.
func readTLS(r *reader, path string, n *yaml.Node) *TLS {
	if n == nil || n.Tag == "!!null" {
		return nil
	}
	s := r.section(path, n, "cert", "key")
	if !s.need("cert", "/etc/ringback/tls.crt") || !s.need("key", "/etc/ringback/tls.key") {
		return nil
	}
	t := &TLS{Cert: s.text("cert"), Key: s.text("key")}
	cert, err1 := r.readFile(t.Cert)
	if err1 != nil {
		s.wrong("cert", "%v", err1)
	}
	key, err2 := r.readFile(t.Key)
	if err2 != nil {
		s.wrong("key", "%v", err2)
	}
	if err1 == nil && err2 == nil {
		if _, err := tls.X509KeyPair(cert, key); err != nil {
			r.wrong(s.line, path, "these are no certificate and its key: %v", err)
		}
	}
	return t
}

func isPort(s string) bool {
	n := 0
	for _, d := range s {
		if d < '0' || d > '9' || len(s) > 5 {
			return false
		}
		n = n*10 + int(d-'0')
	}
	return s != "" && n < 1<<16
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
