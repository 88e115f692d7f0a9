package stage

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ringback/deploy/faults/check"
	"ringback/deploy/faults/journal"
)

// operatorsAtOnce is how many operators call at a time. Room is made for some.
const operatorsAtOnce = 24

// operator talks to the management listener, over a connection of its own each
// time: the service may have died since.
var operator = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// bearer is the token of the management API, which a development run leaves in
// its data directory.
func (s *Stage) bearer() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == "" {
		text, err := os.ReadFile(filepath.Join(s.DataDir(), "admin.token"))
		if err != nil {
			return "", fmt.Errorf("reading the management token: %w", err)
		}
		s.token = strings.TrimSpace(string(text))
	}
	return s.token, nil
}

// manage calls the management API with a body of JSON or without, and returns its
// answer's status and body.
func (s *Stage) manage(ctx context.Context, method, path, body string) (int, []byte, error) {
	s.operators <- struct{}{}
	defer func() { <-s.operators }()
	token, err := s.bearer()
	if err != nil {
		return 0, nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+s.Manage+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := operator.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}

// Add adds something that operators keep: a person to "people", a client to
// "clients". What was acknowledged has to be there later, see Has.
func (s *Stage) Add(ctx context.Context, to, entry string) error {
	return s.change(ctx, "/admin/v1/"+to, entry)
}

// Rotate has new tokens and new evidence signed by new keys.
func (s *Stage) Rotate(ctx context.Context) error {
	if err := s.change(ctx, "/admin/v1/keys/rotate?purpose=token", ""); err != nil {
		return err
	}
	return s.change(ctx, "/admin/v1/keys/rotate?purpose=evidence", "")
}

func (s *Stage) change(ctx context.Context, path, body string) error {
	status, text, err := s.manage(ctx, http.MethodPost, path, body)
	if err == nil && status/100 != 2 {
		err = fmt.Errorf("posting to %s: status %d: %s", path, status, text)
	}
	return err
}

// Has reports whether something is there that operators have added.
func (s *Stage) Has(ctx context.Context, to, id string) (bool, error) {
	status, text, err := s.manage(ctx, http.MethodGet, "/admin/v1/"+to+"/"+id, "")
	if err == nil && status != http.StatusOK && status != http.StatusNotFound {
		err = fmt.Errorf("reading %s of %s: status %d: %s", id, to, status, text)
	}
	return status == http.StatusOK, err
}

// Final reads how a request stands; false where it is unknown.
func (s *Stage) Final(ctx context.Context, id journal.ID) (check.Final, bool, error) {
	status, body, err := s.manage(ctx, http.MethodGet, "/admin/v1/requests/"+string(id), "")
	if err != nil || status == http.StatusNotFound {
		return check.Final{}, false, err
	}
	var v struct {
		Status     string
		Asked      time.Time `json:"asked_at"`
		Expires    time.Time `json:"expires_at"`
		Deliveries []struct {
			N       int
			At      time.Time
			Outcome *struct{ Status string }
			Receipt *struct{ Delivered bool }
		}
		Decision struct {
			Verb string
			At   time.Time
		}
		Settlement struct{ Verb string }
		Notices    []struct{ At time.Time }
	}
	if err := json.Unmarshal(body, &v); err != nil || status != http.StatusOK {
		return check.Final{}, false, fmt.Errorf("reading request %s: status %d: %v", id, status, err)
	}
	f := check.Final{
		Status: v.Status, Verb: v.Decision.Verb, DecidedAt: v.Decision.At, Settled: v.Settlement.Verb, AskedAt: v.Asked, ExpiresAt: v.Expires,
	}
	for _, n := range v.Notices {
		f.Notices = append(f.Notices, n.At)
	}
	for _, d := range v.Deliveries {
		out := check.Delivery{N: d.N, At: d.At}
		if d.Outcome != nil {
			out.Outcome = d.Outcome.Status
		}
		if d.Receipt != nil {
			out.Reported, out.Delivered = true, d.Receipt.Delivered
		}
		f.Deliveries = append(f.Deliveries, out)
	}
	return f, true, nil
}

// Withdraw takes a request back and reports whether that was acknowledged.
func (s *Stage) Withdraw(ctx context.Context, id journal.ID) bool {
	status, _, err := s.manage(ctx, http.MethodPost, "/admin/v1/requests/"+string(id)+"/withdraw", "")
	return err == nil && status/100 == 2
}

// Ready asks /readyz, which asks for no token, and returns why it is red.
func (s *Stage) Ready(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Manage+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := operator.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s", strings.TrimSpace(string(text)))
	}
	return err
}

// Metrics reads every metric by its name, with its labels.
func (s *Stage) Metrics(ctx context.Context) (map[string]float64, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Manage+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := operator.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out := map[string]float64{}
	in := bufio.NewScanner(resp.Body)
	for in.Scan() {
		name, value, ok := strings.Cut(in.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil {
			out[name] = v
		}
	}
	return out, in.Err()
}
