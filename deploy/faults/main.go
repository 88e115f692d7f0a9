// Command faults runs the real ringback as a process, does to it everything that
// can be done from outside, and has an independent reader judge by what agents,
// persons and the provider saw whether every acknowledgement was kept.
//
//	go run ./deploy/faults [flags] [FAULT[=COUNT] …]
//
// README.md says what the faults are. Start in plan.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"ringback/deploy/faults/result"
)

func main() { os.Exit(run()) }

func run() int {
	var (
		full   = flag.Bool("full", false, "the full form, as in deploy/reliability.md; it takes hours")
		out    = flag.String("out", "faults-results", "directory that results are added to")
		dir    = flag.String("dir", "", "directory for what the service keeps; default: a temporary one, removed unless something broke")
		only   = flag.Bool("table", false, "run nothing, print the tables of the results that are there")
		into   = flag.String("into", "", "document between whose marks the tables are put")
		seed   = flag.Uint64("seed", rand.Uint64(), "of what is chosen at random")
		atOnce = flag.Int("at-once", 1, "faults that are injected at the same time, each into services of its own")
	)
	flag.Usage = usage
	flag.Parse()
	chosen, err := choose(flag.Args(), *full)
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		return 2
	}
	held := true
	if !*only {
		if held, err = inject(chosen, *dir, *out, *seed, max(*atOnce, 1)); err != nil {
			fmt.Fprintln(os.Stderr, "faults:", err)
			return 1
		}
	}
	if err := show(*out, *into); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		return 1
	}
	if !held {
		return 1
	}
	return 0
}

// inject runs faults, so many at once, and reports whether all promises were
// kept. What broke is printed, and what the service kept stays to be looked at.
// The first signal ends what runs at its next step, and has it judged; a second
// one ends everything.
func inject(chosen []order, dir, out string, seed uint64, atOnce int) (held bool, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	if dir == "" {
		if dir, err = os.MkdirTemp("", "ringback-faults-"); err != nil {
			return false, err
		}
		defer func() {
			if held {
				os.RemoveAll(dir)
			} else {
				fmt.Fprintln(os.Stderr, "what the service kept is in", dir)
			}
		}()
	}
	d := newDriver(dir, seed)
	held = true
	for _, alone := range []bool{false, true} {
		of := slices.DeleteFunc(slices.Clone(chosen), func(o order) bool { return o.alone != alone })
		if alone {
			atOnce = 1
		}
		var mu sync.Mutex
		together(of, atOnce, func(o order) {
			if ctx.Err() != nil {
				return
			}
			ok, e := o.once(ctx, d.fork(), seed, out)
			mu.Lock()
			defer mu.Unlock()
			held = held && ok
			err = errors.Join(err, e)
		})
	}
	return held, err
}

// together does something with each of several, so many at once.
func together(all []order, atOnce int, do func(order)) {
	todo := make(chan order, len(all))
	for _, o := range all {
		todo <- o
	}
	close(todo)
	var running sync.WaitGroup
	for range atOnce {
		running.Go(func() {
			for o := range todo {
				do(o)
			}
		})
	}
	running.Wait()
}

// once runs a fault, and reports whether all promises were kept.
func (o order) once(ctx context.Context, d *driver, seed uint64, out string) (held bool, err error) {
	began := time.Now()
	fmt.Fprintf(os.Stderr, "%s=%d, -seed %d\n", o.name, o.count, seed)
	rows, err := o.run(ctx, d, o.count)
	if err == nil || len(rows) > 0 {
		err = errors.Join(err, o.note(rows, seed, began, out))
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", o.name, err)
	}
	return !slices.ContainsFunc(rows, func(r result.Row) bool { return !r.Held() }), nil
}

// note prints what broke, and keeps the rows.
func (o order) note(rows []result.Row, seed uint64, began time.Time, out string) error {
	took := time.Since(began)
	var b strings.Builder
	for i := range rows {
		r := &rows[i]
		r.Fault, r.Seed, r.Began, r.Took = o.name, seed, began, took
		for _, v := range r.Violations {
			fmt.Fprintf(&b, "  %s: %s: %s\n", r.Form, v.Kind, v.What)
		}
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n%s", o.name, took.Round(time.Second), b.String())
	return result.Save(out, o.name, rows)
}

// show prints the tables of every result there is, or puts them into a document.
func show(out, into string) error {
	rows, err := result.Load(out)
	if err != nil {
		return err
	}
	tables := result.Tables(rows, names())
	if into == "" {
		fmt.Print(tables)
		return nil
	}
	doc, err := os.ReadFile(into)
	if err != nil {
		return err
	}
	text, err := result.Into(string(doc), tables)
	if err != nil {
		return fmt.Errorf("%s: %w", into, err)
	}
	return os.WriteFile(into, []byte(text), 0o644)
}

func usage() {
	var b strings.Builder
	b.WriteString("Usage: go run ./deploy/faults [flags] [FAULT[=COUNT] …]\n\nWithout faults: all of the form. The counts are of the short form and the full one.\n\n")
	for _, f := range faults() {
		fmt.Fprintf(&b, "  %-12s %9d %9d  %s\n", f.name, f.short, f.full, f.does)
	}
	b.WriteString("\nFlags:\n")
	fmt.Fprint(os.Stderr, b.String())
	flag.PrintDefaults()
}

func names() (out []string) {
	for _, f := range faults() {
		out = append(out, f.name)
	}
	return slices.Clip(out)
}
