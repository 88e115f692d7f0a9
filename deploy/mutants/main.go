package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func main() {
	pattern := flag.String("run", "", "only changes whose name or file matches this regular expression")
	n := flag.Int("sample", 0, "only so many, other ones for every commit")
	names := flag.Bool("list", false, "list the changes and end")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ok, err := run(ctx, *pattern, *n, *names)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// run tries the changes that are chosen, and reports whether all were noticed.
func run(ctx context.Context, pattern string, n int, names bool) (bool, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return false, err
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return false, fmt.Errorf("-run: %w", err)
	}
	all, err := read(filepath.Join(root, "deploy", "mutants", "list"))
	if err != nil {
		return false, err
	}
	ok := true
	var chosen []mutant
	for _, m := range all {
		if _, err := m.apply(root); err != nil { // also of those that are not tried
			fmt.Printf("MOVED     %s: %v\n", m.Name, err)
			ok = false
		} else if re.MatchString(m.Name) || re.MatchString(m.File) {
			chosen = append(chosen, m)
		}
	}
	if n > 0 {
		commit, err := commit(ctx)
		if err != nil {
			return false, err
		}
		chosen = sample(chosen, n, commit)
	}
	if names {
		for _, m := range chosen {
			fmt.Printf("%s: %s (%s)\n", m.File, m.Name, strings.Join(m.Packages, " "))
		}
		return ok, nil
	}
	began := time.Now()
	t := tester{root: root, sound: map[string]error{}}
	counts := map[verdict]int{}
	for i := range chosen {
		r := t.try(ctx, &chosen[i])
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		fmt.Printf("%-9s %s: %s %s(%.0f s)\n", r.verdict, chosen[i].File, chosen[i].Name, r.why, r.took.Seconds())
		counts[r.verdict]++
	}
	fmt.Printf("%d changes in %.0f s: %d noticed, %d survive, %d broken\n", len(chosen), time.Since(began).Seconds(), counts[noticed], counts[survives], counts[broken])
	return ok && counts[noticed] == len(chosen), nil
}

// sample returns n of all, spread over the list. What commit is a number of
// decides where it begins.
func sample(all []mutant, n int, commit uint64) []mutant {
	if n >= len(all) {
		return all
	}
	begin := int(commit % uint64(len(all)))
	var some []mutant
	for i := range n {
		some = append(some, all[(begin+i*len(all)/n)%len(all)])
	}
	return some
}

// commit is a number that stands for the commit that is checked out.
func commit(ctx context.Context) (uint64, error) {
	out, err := exec.CommandContext(ctx, "git", "rev-parse", "HEAD").Output()
	if err != nil || len(out) < 16 {
		return 0, fmt.Errorf("asking git for the commit: %w: run it in a checkout, or without -sample", err)
	}
	return strconv.ParseUint(string(out[:16]), 16, 64)
}

// moduleRoot is the directory with the go.mod.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("looking for go.mod: %w: run it within the repository", err)
	}
	return strings.TrimSpace(string(out)), nil
}
