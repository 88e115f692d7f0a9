// Package stage has a service with everything around it: its configuration and
// data, the provider and the persons behind it, agents, and the journal of what
// all of them saw. The service may die and be started again; the rest stays.
//
// Start with [Open]. [Stage.Load] has agents ask and persons answer, and
// [Stage.Judge] has everything checked that was acknowledged.
package stage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"ringback/deploy/faults/agent"
	"ringback/deploy/faults/journal"
	"ringback/deploy/faults/program"
	"ringback/deploy/faults/provider"
)

// Config says what is on a stage.
type Config struct {
	Program  program.Program
	Dir      string            // for configuration and logs; required, and not shared
	Data     string            // where the directory of the data is made; default Dir
	People   int               // "p0", "p1", … with telephone numbers
	Alone    bool              // without provider and telephones: nobody is reached, and anybody may decide
	Policy   map[string]string // members of the policy beside routes; default: limits and dedupe off
	Escalate time.Duration     // of the one route; default 30 s
	Sections string            // further sections of the configuration
	RootKey  string            // file; default: one is made with the data
	Clients  []Client          // further clients, each with agent.DemoSecret, who may name anybody
	Env      []string          // further environment
	Files    int               // see program.Options
	Core     bool              // see program.Options
	Receipts bool              // the provider reports what it delivered
	Counts   bool              // what happens is counted and not noted: there is no journal
}

// Client is a client of the configuration.
type Client struct {
	ID    string
	Pings string // where it is pinged; empty: it polls
}

// Stage is one service and what is around it.
type Stage struct {
	Config
	Listen, Manage string           // addresses
	Journal        *journal.Journal // nil with Counts
	Provider       *provider.Provider
	Agent          *agent.Agent // polls
	Pinged         *agent.Agent // is pinged
	Endpoint       *agent.Endpoint
	Process        *program.Process // of the last Start

	operators chan struct{} // the calls of operators that are under way

	ctx   context.Context // until Close
	stop  context.CancelFunc
	later sync.WaitGroup // answers that outlive a load

	mu    sync.Mutex
	token string // of the management API
}

// pingedClient is the client that is pinged.
const pingedClient = "fault-pinged"

// Open makes a stage. The service does not run yet.
func Open(cfg Config) (*Stage, error) {
	if cfg.Data == "" {
		cfg.Data = cfg.Dir
	}
	if cfg.Escalate == 0 {
		cfg.Escalate = 30 * time.Second
	}
	if cfg.Policy == nil {
		cfg.Policy = map[string]string{"limits": "off", "dedupe": "false"}
	}
	s := &Stage{Config: cfg, operators: make(chan struct{}, operatorsAtOnce)}
	if !cfg.Counts {
		s.Journal = journal.New()
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	if err := s.open(); err != nil {
		s.Close()
		return nil, fmt.Errorf("setting the stage: %w", err)
	}
	return s, nil
}

func (s *Stage) open() (err error) {
	if s.Listen, err = program.FreeAddr(); err != nil {
		return err
	}
	if s.Manage, err = program.FreeAddr(); err != nil {
		return err
	}
	if s.Provider, err = provider.Start(provider.Config{Journal: s.Journal, Service: s.URL(), Receipts: s.Receipts}); err != nil {
		return err
	}
	if s.Endpoint, err = agent.Listen(s.Journal); err != nil {
		return err
	}
	s.Agent = agent.New(s.URL(), s.Journal)
	s.Pinged = s.As(Client{pingedClient, s.Endpoint.URL})
	return os.WriteFile(s.File(), []byte(s.configuration()), 0o600)
}

// As returns an agent for another client of the configuration.
func (s *Stage) As(client Client) *agent.Agent {
	a := *s.Agent
	a.ID, a.Pings = client.ID, client.Pings != ""
	return &a
}

// URL is the service's.
func (s *Stage) URL() string { return "http://" + s.Listen }

// File is the configuration.
func (s *Stage) File() string { return filepath.Join(s.Dir, "ringback.yaml") }

// Log is the file with everything that the service printed.
func (s *Stage) Log() string { return filepath.Join(s.Dir, "ringback.log") }

// DataDir is the data directory.
func (s *Stage) DataDir() string { return filepath.Join(s.Data, "data") }

// configuration is the text of the file.
func (s *Stage) configuration() string {
	var b strings.Builder
	if !s.Alone {
		fmt.Fprintf(&b, "channels: {sms: {provider: twilio, account_sid: %s, auth_token: {env: FAULT_TOKEN}, from: '%s', base_url: '%s'}}\n", provider.SID, provider.From, s.Provider.URL())
	}
	fmt.Fprintf(&b, "policy: {routes: [{channels: [{sms: {reply: true}}], escalate_after: %v}]", s.Escalate)
	for member, value := range s.Policy {
		fmt.Fprintf(&b, ", %s: %s", member, value)
	}
	b.WriteString("}\n" + s.Sections)
	b.WriteString("clients:\n")
	for _, c := range append([]Client{{pingedClient, s.Endpoint.URL}}, s.Clients...) {
		mode := "backchannel_token_delivery_mode: poll"
		if c.Pings != "" {
			mode = fmt.Sprintf("backchannel_token_delivery_mode: ping, backchannel_client_notification_endpoint: '%s'", c.Pings)
		}
		fmt.Fprintf(&b, "- {client_id: %s, client_secret: {env: FAULT_SECRET}, people: any, default_resource: 'https://api.example', %s}\n", c.ID, mode)
	}
	b.WriteString("people:\n")
	for i := range s.People {
		if s.Alone {
			fmt.Fprintf(&b, "- {id: %s}\n", Person(i))
		} else {
			fmt.Fprintf(&b, "- {id: %s, phone: '%s'}\n", Person(i), provider.Number(i))
		}
	}
	return b.String()
}

// Person is the login_hint of the n-th person.
func Person(n int) string { return fmt.Sprintf("p%d", n) }

// patience is how long the service may take to start.
const patience = time.Minute

// Start starts the service and waits until it serves.
func (s *Stage) Start(ctx context.Context) error {
	if err := s.Launch(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.Process.UntilServing(ctx, s.Listen)
}

// Launch starts the service and does not wait.
func (s *Stage) Launch() (err error) {
	args := []string{"serve", "--dev", "--config", s.File(), "--data", s.DataDir(), "--listen", s.Listen, "--manage", s.Manage}
	if s.RootKey != "" {
		args = append(args, "--root-key", s.RootKey)
	}
	s.Process, err = s.Program.Start(program.Options{
		Args:  args,
		Env:   append([]string{"FAULT_TOKEN=" + provider.Token, "FAULT_SECRET=" + agent.DemoSecret}, s.Env...),
		Files: s.Files, Core: s.Core, Log: s.Log(),
	})
	return err
}

// Running reports whether the service runs.
func (s *Stage) Running() bool { return s.Process != nil && s.Process.Running() }

// Stop ends the service as an operator does, within the time that it promises.
func (s *Stage) Stop() error {
	code, took, err := s.Process.Stop(2 * Grace)
	if err == nil && (code != 0 || took > Grace) {
		err = fmt.Errorf("the service ended %v after SIGTERM with code %d", took.Round(time.Millisecond), code)
	}
	return err
}

// Grace is how long the service promises to take to its end.
const Grace = 15 * time.Second

// Close ends everything.
func (s *Stage) Close() {
	s.stop()
	if s.Running() {
		s.Process.Kill()
	}
	if s.Provider != nil {
		s.Provider.Close()
	}
	if s.Endpoint != nil {
		s.Endpoint.Close()
	}
	s.later.Wait()
}
