package stage

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"ringback/deploy/faults/check"
	"ringback/deploy/faults/journal"
)

// Finals reads how every request stands that anybody outside knows of.
func (s *Stage) Finals(ctx context.Context) (map[journal.ID]check.Final, error) {
	seen := s.Journal.Book()
	known := map[journal.ID]bool{} // also those whose acknowledgement was cut off
	for id := range seen.Asked {
		known[id] = true
	}
	for _, m := range seen.Messages {
		known[m.ID] = true
	}
	todo := make(chan journal.ID, len(known))
	for id := range known {
		todo <- id
	}
	close(todo)
	out := map[journal.ID]check.Final{}
	var failed error
	var mu sync.Mutex
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for id := range todo {
				f, ok, err := s.Final(ctx, id)
				mu.Lock()
				if ok {
					out[id] = f
				}
				if err != nil {
					failed = err
				}
				mu.Unlock()
			}
		})
	}
	readers.Wait()
	return out, failed
}

// Export has the service export everything, reads it, and notes as broken what
// the program's own verification says.
func (s *Stage) Export(ctx context.Context) (*check.Export, error) {
	file, keys, err := s.exported(ctx)
	if err != nil {
		return nil, err
	}
	jwks, err := os.ReadFile(keys)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	export, err := check.ReadExport(f, jwks)
	if err != nil {
		return nil, err
	}
	if _, err := s.Program.Run(ctx, nil, "verify", file, "--keys", keys); err != nil {
		export.Broken = append(export.Broken, "ringback verify: "+err.Error())
	}
	return export, nil
}

// exported has the service write an export and its evidence keys to files.
func (s *Stage) exported(ctx context.Context) (file, keys string, err error) {
	token, err := s.bearer()
	if err != nil {
		return "", "", err
	}
	env := []string{"RINGBACK_ADMIN_URL=http://" + s.Manage, "RINGBACK_ADMIN_TOKEN=" + token}
	file, keys = filepath.Join(s.Dir, "export.jsonl"), filepath.Join(s.Dir, "evidence.jwks")
	if _, err := s.Program.Run(ctx, env, "export", "--out", file); err != nil {
		return "", "", err
	}
	jwks, err := s.Program.Run(ctx, env, "key", "evidence")
	if err != nil {
		return "", "", err
	}
	return file, keys, os.WriteFile(keys, jwks, 0o600)
}

// Exported is Export without reading it: the names of the files.
func (s *Stage) Exported(ctx context.Context) (file, keys string, err error) { return s.exported(ctx) }

// settleWithin bounds the wait for webhooks to be taken once nothing is wrong
// any more.
const settleWithin = 30 * time.Second

// Finish starts the service if it does not run, waits until everything that was
// cut off is through or overdue, and has every approval redeemed, twice.
func (s *Stage) Finish(ctx context.Context, rules check.Rules) error {
	if !s.Running() {
		if err := s.Start(ctx); err != nil {
			return err
		}
	}
	began := time.Now()
	s.later.Wait()
	settling, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	s.Provider.Settle(settling) // what it says of the rest is in the journal
	book := s.Journal.Book()
	approved := map[journal.ID]bool{}
	for id, a := range book.Asked {
		approved[id] = a.Said == journal.Approved
	}
	for _, a := range book.Answers {
		if a.Verb == journal.Approved {
			approved[a.ID] = true
		}
	}
	for id := range approved {
		if asked := book.Asked[id]; asked != nil && approved[id] {
			by := s.Agent
			if asked.Pinged {
				by = s.Pinged
			}
			by.Poll(ctx, asked.Handle, 0)
			by.Poll(ctx, asked.Handle, 0)
		}
	}
	select {
	case <-time.After(time.Until(began.Add(rules.Escalate + rules.Slack))): // whatever was cut off is due by then
	case <-ctx.Done():
	}
	return ctx.Err()
}

// Case gathers everything that is known in the end, and leaves it beside the log
// for whoever wants to know what led to what. The service runs.
func (s *Stage) Case(ctx context.Context, rules check.Rules) (*check.Case, error) {
	c := &check.Case{Seen: s.Journal.Book(), Looked: time.Now(), Rules: rules}
	var err error
	if c.Final, err = s.Finals(ctx); err != nil {
		return nil, fmt.Errorf("reading how requests stand: %w", err)
	}
	if c.Sealed, err = s.Export(ctx); err != nil {
		return nil, fmt.Errorf("reading the export: %w", err)
	}
	text, err := json.MarshalIndent(struct {
		Seen  journal.Book
		Final map[journal.ID]check.Final
	}{c.Seen, c.Final}, "", " ")
	if err != nil {
		return nil, err
	}
	return c, os.WriteFile(filepath.Join(s.Dir, "case.json"), text, 0o600)
}

// Judge is Finish, then what a checker says of everything that was seen.
func (s *Stage) Judge(ctx context.Context, rules check.Rules) (*check.Case, []check.Violation, error) {
	if err := s.Finish(ctx, rules); err != nil {
		return nil, nil, err
	}
	c, err := s.Case(ctx, rules)
	if err != nil {
		return nil, nil, err
	}
	return c, c.Judge(), nil
}
