package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"ringback/config"
)

const askUsage = `Usage: ringback ask --login-hint PERSON [FLAGS] [-- COMMAND…]

  --login-hint PERSON    whom to ask: id, phone number or address
  --scope "A B"          default: openid
  --details JSON|@FILE   authorization_details, a JSON array
  --binding-message M    short text that is shown to the person as yours
  --mode MODE            poll; others need an endpoint of your own
  --print WHAT           access_token (default), claims or json, on standard output
  --issuer URL           RINGBACK_ISSUER
  --client-id ID         RINGBACK_CLIENT_ID

The secret comes from RINGBACK_CLIENT_SECRET; there is no flag for it. Progress,
and the number that the person may have to key, are shown on standard error.
With -- COMMAND it runs the command only on yes, with the token in
RINGBACK_ACCESS_TOKEN, and prints nothing unless --print is given.

Exit code 0 approved (and the command succeeded), 3 denied, 4 expired, 1 anything
else.
`

// Exit codes of ask that mean an answer.
const (
	exitDenied  = 3
	exitExpired = 4
)

// prints are the values of --print.
var prints = []string{"access_token", "claims", "json"}

// ask is an agent on the command line.
func (a *app) ask(ctx context.Context, args []string) error {
	var command []string
	if i := slices.Index(args, "--"); i >= 0 {
		args, command = args[:i], args[i+1:]
		if len(command) == 0 {
			return misused("no command after --")
		}
	}
	fs := flags("ask")
	var q question
	fs.StringVar(&q.hint, "login-hint", "", "")
	fs.StringVar(&q.scope, "scope", "openid", "")
	fs.StringVar(&q.details, "details", "", "")
	fs.StringVar(&q.message, "binding-message", "", "")
	mode := fs.String("mode", "poll", "")
	what := fs.String("print", "", "")
	g := &agent{stderr: a.stderr, now: a.now, sleep: a.sleep, secret: a.getenv("RINGBACK_CLIENT_SECRET")}
	fs.StringVar(&g.issuer, "issuer", a.getenv("RINGBACK_ISSUER"), "")
	fs.StringVar(&g.id, "client-id", a.getenv("RINGBACK_CLIENT_ID"), "")
	if err := alone(fs, args); err != nil {
		return err
	}
	switch {
	case q.hint == "":
		return misused("whom? Give --login-hint")
	case *mode != "poll":
		return misused("--mode %s is not offered on the command line: use poll, which needs no endpoint", *mode)
	case *what != "" && !slices.Contains(prints, *what):
		return misused("unknown value %q of --print%s", *what, config.Suggest(*what, prints))
	case g.issuer == "" || g.id == "":
		return misused("set RINGBACK_ISSUER and RINGBACK_CLIENT_ID, or give --issuer and --client-id")
	case g.secret == "":
		return errors.New("set RINGBACK_CLIENT_SECRET to the client's secret")
	}
	if name, ok := strings.CutPrefix(q.details, "@"); ok {
		data, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("reading the details: %w", err)
		}
		q.details = string(data)
	}
	if q.details != "" && !json.Valid([]byte(q.details)) {
		return misused("--details is not JSON: give an array such as '[{\"type\": \"payment_initiation\", …}]'")
	}
	answer, err := g.ask(ctx, q)
	if err != nil {
		return err
	}
	if *what == "" && command == nil {
		*what = "access_token"
	}
	if *what != "" {
		if err := a.printAnswer(answer, *what); err != nil {
			return err
		}
	}
	if command == nil {
		return nil
	}
	return a.runApproved(ctx, command, answer.token())
}

// printAnswer writes what was asked for on standard output.
func (a *app) printAnswer(t *tokens, what string) error {
	switch what {
	case "claims":
		claims, err := t.claims()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "%s\n", claims)
		return err
	case "json":
		_, err := fmt.Fprintf(a.stdout, "%s\n", t.raw)
		return err
	default:
		_, err := fmt.Fprintln(a.stdout, t.token())
		return err
	}
}

// runApproved runs the command that the person allowed. It gets the token and
// not the client's secret.
func (a *app) runApproved(ctx context.Context, command []string, token string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stdout, a.stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "RINGBACK_CLIENT_SECRET=") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, "RINGBACK_ACCESS_TOKEN="+token)
	if err := cmd.Run(); err != nil {
		return &exit{1, fmt.Errorf("approved, but running %s: %w", command[0], err)}
	}
	return nil
}
