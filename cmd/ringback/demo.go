package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	"ringback/channels/fakes"
	"ringback/config"
	"ringback/demo"
)

const demoUsage = `Usage: ringback demo [--auto] [--listen ADDR] [--manage ADDR]

  --auto          answer by itself, the same way a person would, and end: exit
                  code 0 with the token's claims as the last line
  --listen ADDR   default 127.0.0.1:8663; with --auto any free port
  --manage ADDR   default 127.0.0.1:8664; with --auto any free port

Starts the service with fake providers on this machine, lets a sample agent ask
for a payment and shows a phone on a page. Nothing leaves the machine.
`

// demoAutoTime bounds a demo that answers by itself.
const demoAutoTime = 15 * time.Second

// demoPayment is what the sample agent asks for.
const demoPayment = `[{"type":"payment_initiation","instructedAmount":{"currency":"EUR","amount":"50.00"},"creditorName":"ACME GmbH","creditorAccount":{"iban":"DE89370400440532013000"},"remittanceInformationUnstructured":"Hotel deposit"}]`

// demo runs everything on this machine, with an agent that asks.
func (a *app) demo(ctx context.Context, args []string) error {
	fs := flags("demo")
	auto := fs.Bool("auto", false, "")
	src := config.Sources{Dev: true, Getenv: func(string) string { return "" }}
	fs.StringVar(&src.Flags.Listen, "listen", "", "")
	fs.StringVar(&src.Flags.Manage, "manage", "", "")
	if err := alone(fs, args); err != nil {
		return err
	}
	if *auto {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, demoAutoTime)
		defer cancel()
		for _, addr := range []*string{&src.Flags.Listen, &src.Flags.Manage} {
			if *addr == "" {
				*addr = "127.0.0.1:0"
			}
		}
	}
	s := a.newService(src)
	s.log = slog.New(slog.NewJSONHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s.say = func(string, ...any) {}
	up, ended := make(chan struct{}), make(chan error, 1)
	s.up = func() { close(up) }
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go func() { ended <- s.run(serving) }()
	select {
	case err := <-ended:
		return mistaken(a, err)
	case <-up:
	}
	err := a.playDemo(ctx, s, *auto)
	if err == nil && !*auto {
		fmt.Fprintf(a.stderr, "\nThe service keeps running until Ctrl-C. Ask again:\n\n  curl -u demo-agent:demo-secret-0000 %s/bc-authorize -d scope=openid -d login_hint=alice\n\n", s.cfg.Issuer)
		select {
		case <-ctx.Done():
		case err = <-ended:
			return err
		}
	}
	stop()
	return errors.Join(err, <-ended)
}

// playDemo lets the agent ask, and with auto the person answer. It prints the
// claims of the token.
func (a *app) playDemo(ctx context.Context, s *service, auto bool) error {
	fmt.Fprintf(a.stderr, "\nOpen the phone, read the message and answer it:\n\n  %s/dev/phone?person=alice\n\n", s.cfg.Issuer)
	told := s.house.demo.Agent()
	told.Add(demo.AgentEvent{At: a.now(), What: "ask", Text: "POST /bc-authorize: may I?", Body: pretty([]byte(demoPayment))})
	g := &agent{
		issuer: s.cfg.Issuer, id: "demo-agent", secret: config.DemoSecret, now: a.now, sleep: a.sleep,
		stderr: io.MultiWriter(a.stderr, teller{told, a.now}),
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1)
	var answering sync.WaitGroup
	if auto {
		answering.Go(func() {
			if err := answerDemo(ctx, s.phones); err != nil {
				failed <- err
				cancel()
			}
		})
	}
	t, err := g.ask(ctx, question{hint: "alice", scope: "openid", details: demoPayment, message: "Hotel deposit"})
	if err == nil {
		answering.Wait() // its last word may come after the token
	}
	if err != nil {
		select {
		case err = <-failed:
		default:
		}
		told.Add(demo.AgentEvent{At: a.now(), What: "refused", Text: err.Error()})
		if !auto {
			fmt.Fprintln(a.stderr, err)
			return nil
		}
		return err
	}
	claims, err := t.claims()
	if err != nil {
		return err
	}
	told.Add(demo.AgentEvent{At: a.now(), What: "token", Text: "One token, with exactly what was allowed:", Body: pretty(claims)})
	fmt.Fprintf(a.stdout, "%s\n", claims)
	return nil
}

var demoYes = regexp.MustCompile(`YES \d{6}`)

// answerDemo is the person: it reads the message that arrived and answers it.
func answerDemo(ctx context.Context, phones *fakes.Twilio) error {
	const alice = "+12025550101"
	msg, err := phones.Inbox.Wait(ctx, func(e fakes.Entry) bool { return e.To == alice && demoYes.MatchString(e.Text) })
	if err != nil {
		return fmt.Errorf("waiting for the message: %w", err)
	}
	if _, err := phones.Reply(ctx, alice, demoYes.FindString(msg.Text)); err != nil {
		return fmt.Errorf("answering the message: %w", err)
	}
	return nil
}

// teller shows the agent's progress beside the phone.
type teller struct {
	log *demo.AgentLog
	now func() time.Time
}

// Write implements io.Writer; a call is a line.
func (t teller) Write(p []byte) (int, error) {
	t.log.Add(demo.AgentEvent{At: t.now(), What: "wait", Text: strings.TrimSpace(string(p))})
	return len(p), nil
}

func pretty(raw []byte) string {
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return string(raw)
	}
	return b.String()
}
