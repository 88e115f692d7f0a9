// Command ringback asks people before agents act: an agent asks, a person's
// phone rings, the answer comes back as one token, and every step can be
// proven.
//
// This package is wiring: configuration (config*.go), commands (one file
// each), metrics. What happens is decided in the rooms that it connects.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // people's time zones, also in an image without files

	"ringback/config"
)

func main() { os.Exit(mainCode()) }

// mainCode runs the program for this process and returns its exit code. The
// first signal asks for an orderly end, a second one ends it at once.
func mainCode() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	a := &app{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		getenv: os.Getenv, now: time.Now, sleep: sleep,
	}
	return a.run(ctx, os.Args[1:])
}

// app is the program with everything that it takes from its surroundings.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	now            func() time.Time
	sleep          func(ctx context.Context, d time.Duration) error // returns early with ctx's error
}

// exit is an error with an exit code of its own; every other error exits 1.
type exit struct {
	code int
	err  error // nil: nothing is left to say
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// run finds the command, runs it and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	if len(args) == 0 {
		fmt.Fprint(a.stderr, usage())
		return 1
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		return a.help(args[1:])
	}
	c := find(args[0])
	if c == nil {
		fmt.Fprintf(a.stderr, "ringback: unknown command %q%s\nRun `ringback help` for all of them.\n", args[0], config.Suggest(args[0], names()))
		return 1
	}
	err := c.run(a, ctx, args[1:])
	var coded *exit
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(a.stdout, c.help())
		return 0
	case errors.As(err, &coded):
		if coded.err != nil {
			fmt.Fprintf(a.stderr, "ringback %s: %v\n", c.name, coded.err)
		}
		return coded.code
	}
	var wrong *usageError
	if errors.As(err, &wrong) {
		fmt.Fprintf(a.stderr, "ringback %s: %v\nRun `ringback %s --help` to see how it is used.\n", c.name, err, c.name)
		return 1
	}
	fmt.Fprintf(a.stderr, "ringback %s: %v\n", c.name, err)
	return 1
}

// help prints the text of one command, or of all.
func (a *app) help(args []string) int {
	if len(args) > 0 {
		if c := find(args[0]); c != nil {
			fmt.Fprint(a.stdout, c.help())
			return 0
		}
		fmt.Fprintf(a.stderr, "ringback: unknown command %q%s\n", args[0], config.Suggest(args[0], names()))
		return 1
	}
	fmt.Fprint(a.stdout, usage())
	return 0
}

// usageError is a command line that cannot be meant.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func misused(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// flags returns an empty set that prints nothing by itself.
func flags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs
}

// parse reads flags that may stand before and after the other words, and
// returns these.
func parse(fs *flag.FlagSet, args []string) (words []string, err error) {
	for {
		if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, err
		} else if err != nil {
			return nil, misused("%s", strings.Replace(err.Error(), "flag provided but not defined: -", "unknown flag --", 1))
		}
		if fs.NArg() == 0 {
			return words, nil
		}
		words = append(words, fs.Arg(0))
		args = fs.Args()[1:]
	}
}

// alone is parse for commands that take no other words.
func alone(fs *flag.FlagSet, args []string) error {
	words, err := parse(fs, args)
	if err == nil && len(words) > 0 {
		return misused("unexpected %q", words[0])
	}
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
