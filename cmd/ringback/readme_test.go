package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringback/deploy/faults/program"
)

// block is one fenced block of shell in a document.
type block struct {
	line       int
	background bool // ```sh background: runs until the next such block or the end
	text       string
}

var fence = regexp.MustCompile("^```(\\S*) ?(.*)$")

// shellBlocks returns the blocks that begin with ```sh.
func shellBlocks(t *testing.T, doc string) []block {
	t.Helper()
	var out []block
	var in *block
	open := false
	for i, line := range strings.Split(doc, "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case m == nil && in != nil:
			in.text += line + "\n"
		case m == nil:
		case open:
			if in != nil {
				out = append(out, *in)
			}
			in, open = nil, false
		default:
			open = true
			if m[1] == "sh" {
				if m[2] != "" && m[2] != "background" {
					t.Fatalf("line %d: unknown word %q after sh", i+1, m[2])
				}
				in = &block{line: i + 2, background: m[2] == "background"}
			}
		}
	}
	return out
}

// stand-ins for tools that a test cannot use as they are: what `go` builds is
// this test's own program, and docker-compose.yml has a test of its own.
const (
	standInGo = `#!/bin/sh
case "$*" in
"run ./cmd/ringback demo") exec ringback demo --auto ;;
"test ./...") ;; # it is what runs here
"build -o ringback ./cmd/ringback") ln -sf "$(command -v ringback)" ringback ;;
*) echo "the README's test does not know: go $*" >&2; exit 1 ;;
esac
`
	standInDocker = `#!/bin/sh
case "$*" in
"compose up --build --detach") test -f "$REPOSITORY/docker-compose.yml" ;;
*) echo "the README's test does not know: docker $*" >&2; exit 1 ;;
esac
`
)

// TestREADME runs every shell block of the README in order, in one shell, with
// the README's ports exchanged for free ones. Bob answers yes to whatever he
// is asked.
func TestREADME(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	public, manage := freeAddress(t), freeAddress(t)
	var script strings.Builder
	script.WriteString("set -eu\nserving=\nstop() { [ -z \"$serving\" ] || { kill $serving; wait $serving || true; }; serving=; }\ntrap stop EXIT\n")
	n := 0
	for _, b := range shellBlocks(t, string(doc)) {
		fmt.Fprintf(&script, "echo '--- README line %d' >&2\n", b.line)
		if !b.background {
			script.WriteString(b.text)
			continue
		}
		// The last line serves; what stands before it ends first.
		lines := strings.Split(strings.TrimSpace(b.text), "\n")
		last := len(lines) - 1
		fmt.Fprintf(&script, "stop\n%s\n%s &\nserving=$!\nawait\n", strings.Join(lines[:last], "\n"), lines[last])
		n++
	}
	if n == 0 {
		t.Fatal("the README starts no service")
	}
	text := strings.ReplaceAll(script.String(), "127.0.0.1:8663", public)

	bin := t.TempDir()
	tools := map[string]string{
		"go": standInGo, "docker": standInDocker,
		"await": "#!/bin/sh\nfor i in $(seq 400); do curl -s -o /dev/null --fail-with-body http://" + manage + "/readyz && exit 0; sleep 0.05; done; exit 1\n",
	}
	for name, content := range tools {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	go yesSayer(ctx, public, "bob")
	cmd := exec.CommandContext(ctx, "sh", "-c", text)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "REPOSITORY="+root,
		"RINGBACK_LISTEN="+public, "RINGBACK_MANAGE="+manage, "RINGBACK_ADMIN_URL=http://"+manage)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("the README's commands: %v\n%s", err, out.String())
	}
	for _, want := range []string{`"sub":"alice"`, `"auth_req_id"`, `"active": true`, `"creditorName": "ACME GmbH"`, "deploying", "client_secret", "export.jsonl holds", "ringback.yaml: no mistakes"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the README's commands never print %q:\n%s", want, out.String())
		}
	}
}

// TestREADMEFiles checks that every file that the guides link to is there.
func TestREADMEFiles(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	for _, doc := range []string{"../../README.md", "../../deploy/README.md"} {
		data, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(data), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(doc), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", doc, m[1], err)
			}
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	addr, err := program.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// yesSayer answers every message that asks a person of a development run.
func yesSayer(ctx context.Context, addr, person string) {
	base := "http://" + addr
	done := map[string]bool{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
		resp, err := http.Get(base + "/dev/outbox?person=" + person)
		if err != nil {
			continue
		}
		data, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		var box []struct{ Text string }
		if err != nil || json.Unmarshal(data, &box) != nil {
			continue
		}
		for _, e := range box {
			m := replyCode.FindStringSubmatch(e.Text)
			if m == nil || done[m[1]] {
				continue
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/dev/phone/reply?person="+person,
				strings.NewReader(url.Values{"text": {"YES " + m[1]}}.Encode()))
			if err != nil {
				return
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Origin", base)
			if resp, err := http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
				done[m[1]] = resp.StatusCode < 300
			}
		}
	}
}
