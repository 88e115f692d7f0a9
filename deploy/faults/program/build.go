// Package program builds the real ringback, and what stands beside it, and runs
// it as a process: from outside, as an operator does.
//
//	p, err := program.Build(ctx, dir, program.Ringback)
//	run, err := p.Start(program.Options{Args: []string{"serve", "--dev"}, Log: file})
//
// Start with [Build]. A build may differ from the sources in a few places, see
// [Change]; the sources stay as they are.
package program

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// What can be built.
const (
	Ringback = "ringback/cmd/ringback"
	NATS     = "github.com/nats-io/nats-server/v2" // in the version that this module asks for
)

// Program is a program that was built.
type Program struct {
	File string // its path
}

// Change is a difference between what is built and a source file.
type Change struct {
	File string // below the module's root, or with "std/" before it below that of the standard library
	Old  string // what stands there, once
	New  string // what is built instead
}

// Build builds a package's command into dir. It can be called anywhere below
// the module's root.
func Build(ctx context.Context, dir, pkg string, changes ...Change) (Program, error) {
	p := Program{File: filepath.Join(dir, strings.TrimSuffix(path.Base(pkg), "/v2"))}
	if pkg == NATS {
		p.File = filepath.Join(dir, "nats-server")
	}
	args := []string{"build", "-o", p.File}
	if len(changes) > 0 {
		file, err := Overlay(ctx, dir, changes)
		if err != nil {
			return p, err
		}
		args = append(args, "-overlay", file)
	}
	_, err := run(ctx, "go", append(args, pkg)...)
	return p, err
}

// Overlay writes the changed files and the list of them that go build reads.
func Overlay(ctx context.Context, dir string, changes []Change) (string, error) {
	out, err := run(ctx, "go", "env", "GOMOD", "GOROOT")
	if err != nil {
		return "", err
	}
	mod, root, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	replace := map[string]string{}
	for _, c := range changes {
		source := filepath.Join(filepath.Dir(mod), c.File)
		if name, std := strings.CutPrefix(c.File, "std/"); std {
			source = filepath.Join(root, "src", name)
		}
		now := source
		if before, ok := replace[source]; ok {
			now = before
		}
		text, err := os.ReadFile(now)
		if err != nil {
			return "", fmt.Errorf("changing %s: %w", c.File, err)
		}
		changed, err := c.apply(string(text))
		if err != nil {
			return "", err
		}
		if now == source {
			replace[source] = filepath.Join(dir, fmt.Sprintf("overlay%d.go", len(replace)))
		}
		if err := os.WriteFile(replace[source], []byte(changed), 0o600); err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, list, 0o600)
}

// apply makes the change in a file's text.
func (c Change) apply(text string) (string, error) {
	if n := strings.Count(text, c.Old); n != 1 {
		return "", fmt.Errorf("changing %s: %q stands there %d times, want once: adapt the change to the sources as they are now", c.File, c.Old, n)
	}
	return strings.Replace(text, c.Old, c.New, 1), nil
}

// run runs a command to its good end and returns what it printed.
func run(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, out, &stderr)
	}
	return out, nil
}
