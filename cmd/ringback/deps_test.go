package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rooms says which of our packages each of our packages may import. It is the
// plan of the house as data: change it in a commit of its own, with the reason.
var rooms = map[string][]string{
	"details":          {},
	"consent":          {"details"},
	"store":            {"consent", "store/blocks"},
	"store/blocks":     {},
	"keys":             {},
	"outbound":         {},
	"audit":            {"consent", "keys"},
	"clients":          {"consent", "details", "keys", "outbound"},
	"ciba":             {"clients", "consent", "details", "keys", "outbound"},
	"approve":          {"consent", "details", "keys", "templates", "channels", "channels/content"},
	"admin":            {"consent", "details", "keys", "audit"},
	"channels":         {"outbound", "channels/content"},
	"channels/content": {},
	"channels/fakes":   {},
	"demo":             {"consent", "details", "keys", "channels/fakes"},
	"workers":          {"consent", "details", "channels", "templates", "keys", "audit"},
	"templates":        {"consent", "details", "channels/content"},
	"config":           {"consent", "details", "keys", "channels", "ciba", "admin", "templates"},
	"cmd/ringback": {
		"config", "details", "consent", "store", "keys", "outbound", "audit", "clients", "ciba", "approve", "admin",
		"channels", "channels/fakes", "demo", "workers", "templates",
	},

	// The fault driver stands outside and runs the program as a process. Of the
	// house it takes the fake provider and nothing else, so that whoever judges
	// (check) sees with other eyes than the house.
	"deploy/faults": {
		"channels/fakes", "deploy/faults/agent", "deploy/faults/check", "deploy/faults/flood", "deploy/faults/journal", "deploy/faults/natsd",
		"deploy/faults/program", "deploy/faults/provider", "deploy/faults/result", "deploy/faults/stage",
	},
	"deploy/faults/agent":    {"deploy/faults/journal"},
	"deploy/faults/check":    {"deploy/faults/journal"},
	"deploy/faults/flood":    {"deploy/faults/agent"},
	"deploy/faults/journal":  {},
	"deploy/faults/natsd":    {"deploy/faults/program"},
	"deploy/faults/program":  {},
	"deploy/faults/provider": {"channels/fakes", "deploy/faults/journal"},
	"deploy/faults/result":   {"deploy/faults/check"},
	"deploy/faults/stage": {
		"deploy/faults/agent", "deploy/faults/check", "deploy/faults/journal", "deploy/faults/program", "deploy/faults/provider",
	},
}

// vendor is code of others that only some rooms may hold.
type vendor struct {
	prefix string   // of the import path
	rooms  []string // that may import it
	file   string   // the one file that may; empty: any
	why    string
}

var vendors = []vendor{
	{"github.com/nats-io/", []string{"store"}, "", "facts, streams and their errors are known to the store alone"},
	{"github.com/go-jose/", []string{"keys"}, "", "whatever is signed or verified goes through keys"},
	{"github.com/santhosh-tekuri/jsonschema/", []string{"details"}, "", "only the registry of types knows schemas"},
	{"github.com/go-json-experiment/json", []string{"details"}, "", "what is hashed is made canonical in one place"},
	{"github.com/klauspost/compress/", []string{"audit", "store/blocks"}, "", "evidence is packed, and so are the server's files"},
	{"github.com/minio/highwayhash", []string{"store/blocks"}, "", "the sums in the server's files are read in one place"},
	{"github.com/twilio/twilio-go/", []string{"channels"}, "twilio.go", "a provider's SDK stays in its channel's file"},
	{"github.com/labstack/echo/", []string{"ciba", "approve", "admin", "demo", "cmd/ringback"}, "", "HTTP stays in the doors"},
	{"go.yaml.in/yaml/", []string{"config", "details"}, "", "only one room reads the configuration, and details its shipped types"},
	{"github.com/prometheus/", []string{"cmd/ringback"}, "", "rooms have counters, the program publishes them"},
}

// banned must not be imported by anybody.
var banned = map[string]string{
	"github.com/twilio/twilio-go": "compiling the module's root takes minutes; import its client and rest/api/v2010",
	"math/rand":                   "not for secrets, and math/rand/v2 is there for the rest",
	"log":                         "log/slog is what we log with",
	"io/ioutil":                   "os and io have it",
}

// testOnly are modules for tests.
var testOnly = []string{"github.com/google/go-cmp", "github.com/rogpeppe/go-internal", "testing"}

// TestImports holds every import of the repository against the tables above.
func TestImports(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	seen := map[string]bool{}
	err := filepath.WalkDir(root, func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			if n := e.Name(); n == "testdata" || n == "node_modules" || n == "data" || len(n) > 2 && n[0] == '.' {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(file) != ".go" {
			return nil
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		seen[path.Dir(rel)] = true
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if why := whyNot(rel, name); why != "" {
				t.Errorf("%s imports %q: %s", rel, name, why)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for room := range rooms {
		if info, err := os.Stat(filepath.Join(root, room)); err != nil || !info.IsDir() {
			t.Errorf("the table has a room %q that the house does not have", room)
		}
	}
}

// whyNot says why file (a slash path from the root) may not import name, or "".
func whyNot(file, name string) string {
	room := path.Dir(file)
	test := strings.HasSuffix(file, "_test.go") || isTestHouse(room)
	if why, ok := banned[name]; ok {
		return why
	}
	if ours, ok := strings.CutPrefix(name, "ringback/"); ok {
		switch {
		case test:
			return ""
		case isTestHouse(ours):
			return "only tests may import a test house"
		}
		may, known := rooms[room]
		if !known {
			return fmt.Sprintf("the table of imports has no room %q; a new package needs a new dependency direction or a second importer", room)
		}
		if !slices.Contains(may, ours) {
			return fmt.Sprintf("%s may only import %v", room, may)
		}
		return ""
	}
	if test {
		return ""
	}
	for _, only := range testOnly {
		if name == only || strings.HasPrefix(name, only+"/") {
			return "it is for tests"
		}
	}
	for _, v := range vendors {
		if !strings.HasPrefix(name, v.prefix) {
			continue
		}
		if !slices.Contains(v.rooms, room) {
			return fmt.Sprintf("only %s may: %s", strings.Join(v.rooms, ", "), v.why)
		}
		if v.file != "" && path.Base(file) != v.file {
			return fmt.Sprintf("only %s may: %s", v.file, v.why)
		}
	}
	return ""
}

// isTestHouse tells a package that exists for tests (storetest, channeltest).
func isTestHouse(room string) bool {
	return room == "e2e" || strings.HasPrefix(room, "e2e/") || strings.HasSuffix(path.Base(room), "test")
}

// TestWhyNot keeps the table's reader honest.
func TestWhyNot(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		file, name string
		want       bool
	}{
		{"consent/request.go", "ringback/details", false},
		{"consent/request.go", "ringback/store", true},
		{"consent/request_test.go", "ringback/store", false},
		{"workers/engine.go", "github.com/nats-io/nats.go/jetstream", true},
		{"store/stream.go", "github.com/nats-io/nats.go/jetstream", false},
		{"channels/sms.go", "github.com/twilio/twilio-go/client", true},
		{"channels/twilio.go", "github.com/twilio/twilio-go/client", false},
		{"channels/twilio.go", "github.com/twilio/twilio-go", true},
		{"channels/twilio_test.go", "github.com/twilio/twilio-go", true},
		{"store/store.go", "ringback/store/storetest", true},
		{"store/store_test.go", "ringback/store/storetest", false},
		{"ciba/server.go", "github.com/labstack/echo/v4", false},
		{"consent/state.go", "github.com/labstack/echo/v4", true},
		{"consent/state.go", "github.com/google/go-cmp/cmp", true},
		{"shared/x.go", "ringback/consent", true},
		{"consent/state.go", "encoding/json", false},
	} {
		if got := whyNot(tt.file, tt.name); (got != "") != tt.want {
			t.Errorf("whyNot(%q, %q) = %q, want refused: %v", tt.file, tt.name, got, tt.want)
		}
	}
}
