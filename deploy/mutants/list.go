package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mutant is one change of the code, and the tests that are to notice it.
type mutant struct {
	Name     string // unique
	File     string // below the module's root, with slashes
	Packages []string
	Run      string // pattern of tests; empty: all of the packages
	Old, New string
}

// read reads the lists in a directory, in the order of their names.
func read(dir string) ([]mutant, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	var all []mutant
	named := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		list, err := parse(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, m := range list {
			if other, ok := named[m.Name]; ok {
				return nil, fmt.Errorf("%s: %q is in %s as well: give it another name", file, m.Name, other)
			}
			named[m.Name] = file
		}
		all = append(all, list...)
	}
	return all, nil
}

const (
	markName = "=== "
	markOld  = "--- old"
	markNew  = "--- new"
)

// parse reads one list.
func parse(text string) ([]mutant, error) {
	var list []mutant
	var into *[]string // the text that lines belong to
	var before, after []string
	finish := func() error {
		if len(list) == 0 {
			return nil
		}
		m := &list[len(list)-1]
		m.Old, m.New = join(before), join(after)
		before, after, into = nil, nil, nil
		return m.check()
	}
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		name, isName := strings.CutPrefix(line, markName)
		switch {
		case isName:
			if err := finish(); err != nil {
				return nil, err
			}
			list = append(list, mutant{Name: name})
		case len(list) > 0 && line == markOld:
			into = &before
		case len(list) > 0 && line == markNew:
			into = &after
		case into != nil:
			*into = append(*into, line)
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
		case len(list) == 0:
			return nil, fmt.Errorf("line %d: begin a change with %q", i+1, markName+"what is changed")
		default:
			if err := list[len(list)-1].set(line); err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
		}
	}
	return list, finish()
}

// join puts the lines of a text together. Empty ones at its end part it from the
// next change.
func join(lines []string) string {
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return strings.Join(lines, "\n")
}

// set reads a line before the texts.
func (m *mutant) set(line string) error {
	key, value, _ := strings.Cut(line, " ")
	switch value = strings.TrimSpace(value); key {
	case "file":
		m.File = value
	case "test":
		m.Packages = strings.Fields(value)
	case "run":
		m.Run = value
	default:
		return fmt.Errorf("%q is neither file, test nor run", key)
	}
	return nil
}

func (m *mutant) check() error {
	switch {
	case m.File == "" || strings.HasSuffix(m.File, "_test.go") || !filepath.IsLocal(m.File):
		return fmt.Errorf("%s: name a file that is no test", m.Name)
	case len(m.Packages) == 0 || slices.ContainsFunc(m.Packages, func(p string) bool { return !strings.HasPrefix(p, "./") || strings.Contains(p, "...") }):
		return fmt.Errorf("%s: name the packages whose tests are to notice, as in ./consent", m.Name)
	case m.Old == "" || m.Old == m.New:
		return fmt.Errorf("%s: the two texts must differ, and the old one must not be empty", m.Name)
	}
	return nil
}

// errMoved says that the code is no longer what a change was made for.
var errMoved = errors.New("it no longer applies: look at what the code says now, and change the list")

// apply returns the changed file.
func (m *mutant) apply(root string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(m.File)))
	if err != nil {
		return nil, err
	}
	if n := strings.Count(string(text), m.Old); n != 1 {
		return nil, fmt.Errorf("%s has the old text %d times, and must have it once; %w", m.File, n, errMoved)
	}
	return []byte(strings.Replace(string(text), m.Old, m.New, 1)), nil
}
