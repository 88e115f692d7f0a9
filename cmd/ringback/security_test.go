package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSecurityTable: every test and every fault that deploy/security.md names
// exists, and every attackers' test is named there.
func TestSecurityTable(t *testing.T) {
	t.Parallel()
	const root = "../.."
	doc, err := os.ReadFile(filepath.Join(root, "deploy", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]bool{} // "package.Test"
	attackers := map[string]string{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	files, err := filepath.Glob(filepath.Join(root, "*", "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	own, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, own...) {
		room := filepath.Base(filepath.Dir(file))
		if room == "." {
			room = "cmd/ringback"
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range function.FindAllStringSubmatch(string(text), -1) {
			declared[room+"."+m[1]] = true
			if strings.HasPrefix(filepath.Base(file), "attack_") {
				attackers[room+"."+m[1]] = file
			}
		}
	}
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("`([a-z/]+\\.(?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(string(doc), -1) {
		if named[m[1]] = true; !declared[m[1]] {
			t.Errorf("deploy/security.md names %s, which is nowhere", m[1])
		}
	}
	plan, err := os.ReadFile(filepath.Join(root, "deploy", "faults", "plan.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("`deploy/faults ([a-z]+)`").FindAllStringSubmatch(string(doc), -1) {
		if !strings.Contains(string(plan), `{"`+m[1]+`", `) {
			t.Errorf("deploy/security.md names the fault %s, which is nowhere", m[1])
		}
	}
	for name, file := range attackers {
		if !named[name] {
			t.Errorf("deploy/security.md does not name %s in %s", name, file)
		}
	}
	if len(named) < 100 || len(attackers) < 30 {
		t.Errorf("%d tests are named and %d are attackers'", len(named), len(attackers))
	}
}
