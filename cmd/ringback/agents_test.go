//go:build e2e

package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// nodeTest runs a test file of testdata/agents, whose dependencies .ci/run
// has installed, against a fresh development run.
func nodeTest(t *testing.T, file string, env ...string) {
	t.Helper()
	people := "policy: {limits: off, dedupe: false, routes: [{channels: [sms]}]}\npeople:\n- {id: greta, locale: de, zoneinfo: Europe/Berlin, phone: '+12025600000'}\n"
	for i := range *scannedLinks {
		people += fmt.Sprintf("- {id: p%d, phone: '+1202%07d'}\n", i, 5610000+i)
	}
	config := filepath.Join(t.TempDir(), "ringback.yaml")
	if err := os.WriteFile(config, []byte(people), 0o600); err != nil {
		t.Fatal(err)
	}
	listen, manage := freeAddress(t), freeAddress(t)
	p := startProcess(t, nil, "serve", "--dev", "--config", config, "--listen", listen, "--manage", manage)
	p.untilServing(t, listen)
	runNode(t, p, file, append(env, "ISSUER=http://"+listen, "MANAGE=http://"+manage)...)
}

// runNode runs a test file of testdata/agents against a running program.
func runNode(t *testing.T, p *process, file string, env ...string) {
	t.Helper()
	dir := filepath.Join("testdata", "agents")
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		t.Fatalf("the clients are not installed: run `npm ci` in cmd/ringback/%s", dir)
	}
	cmd := exec.CommandContext(t.Context(), "node", "--test", "--test-reporter=spec", file)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("%s: %v; the program says:\n%s", file, err, p.complaints())
	}
}

// TestStrictClients needs TLS, and the management API to register keys.
func TestStrictClients(t *testing.T) {
	h := newHost(t)
	m := regexp.MustCompile(`RINGBACK_ADMIN_URL=(\S+) RINGBACK_ADMIN_TOKEN=(\S+)`).FindStringSubmatch(h.program.Output())
	if m == nil {
		t.Fatalf("the program does not say how it is managed: %s", h.program.Output())
	}
	runNode(t, h.program, "strict.test.mjs", "ISSUER="+h.issuer, "MANAGE="+m[1], "ADMIN_TOKEN="+m[2], "NODE_EXTRA_CA_CERTS="+filepath.Join(h.dir, "server.crt"))
}

func TestOpenIDClient(t *testing.T) { nodeTest(t, "openid-client.test.mjs") }

var scannedLinks = flag.Int("links", 1000, "how many links the scanner is given")

// TestScanner and TestPages need people of their own, reached by a message
// that has a link.
func TestScanner(t *testing.T) {
	nodeTest(t, "scanner.test.mjs", fmt.Sprint("LINKS=", *scannedLinks))
}

func TestPages(t *testing.T) { nodeTest(t, "page.test.mjs") }
