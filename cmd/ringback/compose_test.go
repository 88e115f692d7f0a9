package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"go.yaml.in/yaml/v3"

	"ringback/config"
)

// composeFile is as much of a compose file as ours uses; other keys of a
// service are refused below, so that nothing goes unchecked.
type composeFile struct {
	Services map[string]composeService `yaml:"services"`
	Volumes  map[string]any            `yaml:"volumes"`
}

type composeService struct {
	Image string `yaml:"image"`
	Build struct {
		Context    string `yaml:"context"`
		Dockerfile string `yaml:"dockerfile"`
	} `yaml:"build"`
	Command         []string          `yaml:"command"`
	Environment     map[string]string `yaml:"environment"`
	Volumes         []string          `yaml:"volumes"`
	Ports           []string          `yaml:"ports"`
	DependsOn       yaml.Node         `yaml:"depends_on"`
	ReadOnly        bool              `yaml:"read_only"`
	CapDrop         []string          `yaml:"cap_drop"`
	SecurityOpt     []string          `yaml:"security_opt"`
	Restart         string            `yaml:"restart"`
	StopGracePeriod string            `yaml:"stop_grace_period"`
}

const top = "../../"

func readCompose(t *testing.T) (composeFile, string) {
	t.Helper()
	data, err := os.ReadFile(top + "docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var loose map[string]yaml.Node
	if err := yaml.Unmarshal(data, &loose); err != nil {
		t.Fatal(err)
	}
	for key := range loose {
		if !slices.Contains([]string{"name", "x-ringback", "services", "volumes"}, key) {
			t.Errorf("docker-compose.yml has a key that this test does not check: %s", key)
		}
	}
	var c composeFile
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&c); err != nil {
		t.Fatal(err)
	}
	return c, string(data)
}

// at returns the port of an address.
func at(t *testing.T, addr string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatalf("address %q: %v", addr, err)
	}
	return port
}

// checkCommand checks that words are a command of ours with flags that it has.
func checkCommand(t *testing.T, where string, words []string) {
	t.Helper()
	if len(words) == 0 {
		t.Errorf("%s: no command", where)
		return
	}
	c := find(words[0])
	if c == nil {
		t.Errorf("%s: ringback has no command %q", where, words[0])
		return
	}
	for _, w := range words[1:] {
		if strings.HasPrefix(w, "--") && !regexp.MustCompile(regexp.QuoteMeta(w)+`\b`).MatchString(c.usage) {
			t.Errorf("%s: ringback %s has no flag %s", where, c.name, w)
		}
	}
}

// flagOf returns the word after a flag.
func flagOf(words []string, name string) string {
	if i := slices.Index(words, name); i >= 0 && i+1 < len(words) {
		return words[i+1]
	}
	return ""
}

// loadCompose loads the configuration of the compose file with the
// environment of its service.
func loadCompose(t *testing.T, env map[string]string) *config.Config {
	t.Helper()
	c, err := config.Load(config.Sources{File: top + "deploy/ringback.compose.yaml", Getenv: func(k string) string { return env[k] }})
	if err != nil {
		t.Fatalf("deploy/ringback.compose.yaml with the environment of docker-compose.yml:\n%v", err)
	}
	return c
}

// TestCompose checks every file, port, variable, host and command that
// docker-compose.yml names.
func TestCompose(t *testing.T) {
	t.Parallel()
	c, text := readCompose(t)
	cfg := loadCompose(t, c.Services["ringback"].Environment)
	nats, err := server.ProcessConfigFile(top + "deploy/nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	listening := map[string][]string{
		"ringback": {at(t, cfg.Listen), at(t, cfg.Manage)},
		"fakes":    {at(t, flagOf(c.Services["fakes"].Command, "--listen"))},
		"nats":     {fmt.Sprint(nats.Port), fmt.Sprint(nats.HTTPPort)},
	}
	for name, s := range c.Services {
		if s.Build.Context != "" {
			if _, err := os.Stat(filepath.Join(top, s.Build.Context, s.Build.Dockerfile)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			checkCommand(t, "docker-compose.yml: "+name, s.Command)
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if strings.HasPrefix(from, ".") {
				if _, err := os.Stat(filepath.Join(top, from)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			} else if _, ok := c.Volumes[from]; !ok {
				t.Errorf("%s: the volume %s is not declared", name, from)
			}
		}
		for _, p := range s.Ports {
			parts := strings.Split(p, ":")
			if len(parts) != 3 || parts[0] != "127.0.0.1" || !slices.Contains(listening[name], parts[2]) {
				t.Errorf("%s: port %s: publish on 127.0.0.1 what it listens on (%v)", name, p, listening[name])
			}
			if name == "ringback" && parts[2] == at(t, cfg.Manage) {
				t.Errorf("%s: the management listener is published", name)
			}
		}
		for i := 0; i < len(s.DependsOn.Content); i++ {
			on := s.DependsOn.Content[i].Value
			if s.DependsOn.Kind == yaml.MappingNode {
				i++
			}
			if _, ok := c.Services[on]; !ok {
				t.Errorf("%s depends on %q, which is no service", name, on)
			}
		}
	}
	for _, raw := range []string{cfg.NATS.URL, cfg.NATS.Monitor, cfg.SMS.BaseURL, "tcp://" + flagOf(c.Services["fakes"].Command, "--connect")} {
		u, err := url.Parse(raw)
		if err != nil || !slices.Contains(listening[u.Hostname()], u.Port()) {
			t.Errorf("%s leads to no service that listens there", raw)
		}
	}
	if want := cfg.PublicURL() + "/callbacks/twilio/sms"; flagOf(c.Services["fakes"].Command, "--webhook") != want {
		t.Errorf("the fake provider posts to %s, want %s", flagOf(c.Services["fakes"].Command, "--webhook"), want)
	}
	if !nats.SyncAlways {
		t.Error("deploy/nats.conf does not sync every write")
	}
	gomod, err := os.ReadFile(top + "go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if _, tag, _ := strings.Cut(c.Services["nats"].Image, ":"); !strings.Contains(string(gomod), "nats-server/v2 v"+tag+"\n") {
		t.Errorf("the image %s is not the version of nats-server in go.mod", c.Services["nats"].Image)
	}
	// The lines that the file tells one to type.
	env := c.Services["ringback"].Environment
	for _, want := range []string{
		"agent:" + env["AGENT_SECRET"] + " " + cfg.Issuer + "/bc-authorize",
		"localhost:" + listening["fakes"][0] + "/fakes/messages?to=%2B12025550101",
		"localhost:" + listening["fakes"][0] + "/fakes/reply",
		"exec ringback /ringback request list",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("docker-compose.yml does not say %q", want)
		}
	}
}

// TestDockerfile checks what the image is made from and what it runs.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(top + "deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, want := range []string{"CGO_ENABLED=0", "-trimpath", "./cmd/ringback", "USER 65532", "FROM scratch", "ca-certificates.crt"} {
		if !strings.Contains(text, want) {
			t.Errorf("deploy/Dockerfile lacks %s", want)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^COPY ([a-z][^-\n]*) \S+$`).FindAllStringSubmatch(text, -1) {
		for _, name := range strings.Fields(m[1]) {
			if _, err := os.Stat(filepath.Join(top, name)); err != nil {
				t.Errorf("deploy/Dockerfile copies %s: %v", name, err)
			}
		}
	}
	m := regexp.MustCompile(`(?m)^CMD (\[.*\])$`).FindStringSubmatch(text)
	var words []string
	if m == nil || json.Unmarshal([]byte(m[1]), &words) != nil {
		t.Fatal("deploy/Dockerfile has no CMD")
	}
	checkCommand(t, "deploy/Dockerfile", words)
	mod, err := os.ReadFile(top + "go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(string(mod))[1]
	if !strings.Contains(text, "FROM golang:"+version+" ") {
		t.Errorf("deploy/Dockerfile does not build with Go %s", version)
	}
}

// TestUnit checks the commands of the systemd unit.
func TestUnit(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(top + "deploy/ringback.service")
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile(`(?m)^(?:ExecStart=/usr/local/bin/|#   sudo -u ringback )ringback (.*)$`).FindAllStringSubmatch(string(data), -1)
	if len(commands) != 2 {
		t.Fatalf("%d commands, want init and serve", len(commands))
	}
	for _, m := range commands {
		checkCommand(t, "deploy/ringback.service", strings.Fields(m[1]))
	}
	if m := regexp.MustCompile(`TimeoutStopSec=(\d+)s`).FindStringSubmatch(string(data)); m == nil || m[1] != "20" {
		t.Errorf("TimeoutStopSec = %v, want longer than the grace of 15 s", m)
	}
}
