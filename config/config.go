// Package config is the configuration: file, environment and flags, read and
// checked as a whole, every mistake at once, each with its line and what to do.
//
// Start with [Load]. The tables of what each part of the file may have stand in
// the files of the parts. deploy/ringback.example.yaml shows and explains all.
package config

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"time"

	"go.yaml.in/yaml/v3"

	"ringback/channels"
	"ringback/ciba"
	"ringback/consent"
	"ringback/details"
	"ringback/keys"
)

// Where things are unless somebody says otherwise.
const (
	defaultListen  = "127.0.0.1:8663"
	DefaultManage  = "127.0.0.1:8664"
	defaultData    = "/var/lib/ringback"
	defaultRootKey = "/etc/ringback/root.key"
	exampleConfig  = "deploy/ringback.example.yaml"
)

// Config is what file, environment and flags say together, checked. A change of
// what has the tag restart, a key of the file, needs one.
type Config struct {
	File        string // the file's name; empty: none
	Dev         bool   // --dev: unsafe on purpose
	AllowRemote bool   `restart:"dev"` // a development run may listen on more than loopback

	Issuer         string         `restart:"issuer"` // public URL of the agents' routes, no slash at the end; in a development run empty until the listener is open
	Listen         string         `restart:"listen"` // address of the public listener
	Manage         string         `restart:"manage"` // address of the management listener, never public
	TLS            *TLS           `restart:"tls"`    // of the public listener; nil: plain HTTP, for a proxy that ends TLS
	MTLS           *MTLS          `restart:"mtls"`   // the listener that asks for client certificates; nil: none
	ClientCAs      *x509.CertPool // who vouches for the certificates of tls_client_auth; nil: nobody
	People         *Listener      `restart:"people_listener"` // the people's own listener; nil: they come to the public one
	TrustedProxies []netip.Prefix `restart:"trusted_proxies"` // whose X-Forwarded-For counts

	RootFile   string `restart:"root_key"`    // root key file; in a development run empty: root.key in Data
	RootText   string `restart:"root_key"`    // root key from the environment instead of a file
	Data       string `restart:"data"`        // data directory of the embedded store; in a development run empty: a temporary one
	NATS       *NATS  `restart:"nats"`        // external NATS server instead of the embedded one
	Witness    string `restart:"witness"`     // file that keeps the head of the store; empty: none
	AdminToken string `restart:"admin_token"` // bearer of the management API; empty: the one derived from the root key

	SMS      *channels.SMSConfig `restart:"channels"` // nil: none; a development run without one uses the fake provider
	Console  bool                `restart:"channels"` // print messages; development runs only
	Outbound Outbound            `restart:"outbound"` // what may be called besides the public Internet
	Types    []details.Type      `restart:"details"`  // authorization_details types beside the built-in ones
	Registry *details.Registry   // all of them

	Registration *ciba.Registration `restart:"registration"` // clients may register themselves; nil: they may not

	Policy     consent.Policy   // routes, limits, scopes, resources, lifetimes
	Clients    []consent.Client // read-only for the commands
	Approvers  []consent.Person // read-only for the commands
	Notes      []string         // what is allowed but deserves a look
	lines      map[string]int   // "client/ID", "person/ID" :: line in the file
	channelsAt int              // line of channels.sms
}

// TLS names the files of a certificate chain and its key, both PEM.
type TLS struct{ Cert, Key string }

// MTLS is the listener for clients with a certificate (RFC 8705). It asks for
// one and never judges it; people are never sent there.
type MTLS struct {
	Listen    string // address
	PublicURL string // how clients reach it, no slash at the end; in a development run empty until the listener is open
	TLS       *TLS   // never nil: nobody else can end TLS here
	ClientCA  string // file that ClientCAs were read from; empty: none
}

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

// ManagementToken is the configured bearer of the management API, else the one
// that follows from the root key, so that every process of a deployment has it and
// it lies nowhere.
func (c *Config) ManagementToken(root *keys.Root) string {
	if c.AdminToken != "" {
		return c.AdminToken
	}
	return base64.RawURLEncoding.EncodeToString(keys.NewVault(root).MAC("management token", "1"))
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

// Load reads and checks everything. Its error is a *Mistakes with every
// mistake there is.
func Load(src Sources) (*Config, error) {
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
	top := r.section("", root, "issuer", "listen", "manage", "tls", "mtls", "people_listener", "trusted_proxies",
		"root_key", "data", "nats", "witness", "admin_token", "channels", "outbound", "policy", "scopes", "resources",
		"details", "hint_issuers", "clients", "client_documents", "registration", "people", "dev")
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
	c.readHintIssuers(r, top)
	c.readClients(r, top)
	c.readDocuments(r, top)
	c.readRegistration(r, top)
	c.readPeople(r, top)
	if c.Dev {
		c.overlay()
	}
	c.readLast(r, top)
}
