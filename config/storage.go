package config

import (
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

var natsPrefix = regexp.MustCompile(`^[A-Za-z0-9-]{1,32}$`)

// readStorage reads where keys and facts are kept.
func (c *Config) readStorage(r *reader, top *section, src Sources) {
	ref := r.section("root_key", top.fields["root_key"], "file", "env")
	env := src.Getenv("RINGBACK_ROOT_KEY")
	switch {
	case src.Flags.RootKey != "":
		c.RootFile = src.Flags.RootKey
	case env != "":
		c.RootFile = env
	case ref.has("file"):
		c.RootFile = ref.text("file")
	case ref.has("env"):
		c.RootText = top.secret("root_key")
	case top.has("root_key"):
		top.wrong("root_key", "write {file: PATH} or {env: NAME}")
	case !c.Dev:
		c.RootFile = defaultRootKey
	}
	if top.has("nats") {
		s := r.section("nats", top.fields["nats"], "url", "creds", "prefix", "monitor", "assume_synced")
		c.NATS = &NATS{Creds: s.text("creds"), Monitor: strings.TrimRight(s.text("monitor"), "/"), AssumeSynced: s.yes("assume_synced", false)}
		if s.need("url", "nats://127.0.0.1:4222") {
			c.NATS.URL = s.text("url")
		}
		if c.NATS.Prefix = s.text("prefix"); c.NATS.Prefix != "" && !natsPrefix.MatchString(c.NATS.Prefix) {
			s.wrong("prefix", "%q is not a prefix: 1 to 32 letters, digits or hyphens", c.NATS.Prefix)
		}
		if c.NATS.Monitor == "" && !c.NATS.AssumeSynced {
			s.wrong("monitor", "missing: add the server's monitoring address (`monitor: http://127.0.0.1:8222`), where we see that it syncs every write; or `assume_synced: true` if you know that it does")
		}
		if c.NATS.AssumeSynced {
			c.Notes = append(c.Notes, "nats.assume_synced: nobody checks that the server has `sync_interval: always`; without it a power cut loses decisions")
		}
	}
	c.AdminToken = top.secret("admin_token")
	if c.AdminToken != "" && bits(c.AdminToken) < 128 {
		top.wrong("admin_token", "it has less than 128 bits: make one with `openssl rand -base64 32`")
	}
	data := src.Flags.Data
	if data == "" {
		data = src.Getenv("RINGBACK_DATA")
	}
	if data == "" {
		data = top.text("data")
	}
	switch {
	case c.NATS != nil && top.has("data"):
		top.wrong("data", "facts are kept in one place: remove either `data` or `nats`")
	case c.NATS == nil && data == "" && !c.Dev:
		data = defaultData
	}
	c.Data = data
	c.Witness = top.text("witness")
	switch {
	case c.Witness == "" && !c.Dev:
		c.Notes = append(c.Notes, "witness is missing: a store that is set back as a whole, to an older copy, is not noticed; name a file on another disk or machine")
	case c.Witness != "" && c.Data != "" && inside(c.Data, c.Witness):
		top.wrong("witness", "%s lies inside the data directory %s, with which it would be set back: keep it elsewhere, best on another disk", c.Witness, c.Data)
	}
	if c.RootFile != "" && c.Data != "" && !c.Dev && inside(c.Data, c.RootFile) {
		top.wrong("root_key", "%s lies inside the data directory %s: a copy of the data must not hold its key, so keep it elsewhere", c.RootFile, c.Data)
	}
}

// readOutbound reads the exceptions of the guarded HTTP client.
func (c *Config) readOutbound(r *reader, top *section) {
	s := r.section("outbound", top.fields["outbound"], "allow", "timeout")
	c.Outbound.Timeout = s.span("timeout", 5*time.Second, time.Second, time.Minute)
	for _, e := range s.list("allow") {
		v := e.node.Value
		if _, err := netip.ParsePrefix(v); err != nil {
			if host, port, err := net.SplitHostPort(v); err != nil || host == "" || !isPort(port) {
				r.wrong(e.node.Line, e.path, "%q is neither a range nor a host with port: write 10.1.0.0/16 or ping.internal:8443", v)
				continue
			}
		}
		c.Outbound.Allow = append(c.Outbound.Allow, v)
	}
}

// inside reports whether file lies below dir, as far as the names tell.
func inside(dir, file string) bool {
	d, err1 := filepath.Abs(dir)
	f, err2 := filepath.Abs(file)
	if err1 != nil || err2 != nil {
		return false
	}
	rel, err := filepath.Rel(d, f)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}
