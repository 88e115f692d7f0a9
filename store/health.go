package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"ringback/consent"
)

const (
	// fullAt is how full the stream of facts may be for a new request; the
	// rest belongs to decisions and settlements.
	fullAt = 0.8
	// leastFree is the disk space that the embedded server must have left for
	// a new request, for the same reason.
	leastFree = 256 << 20
	// healthEvery is how often the server is looked at.
	healthEvery = 2 * time.Second
	// readyWait is how long a new request waits for the store to catch up.
	readyWait = 2 * time.Second
	// perFact is what a stored fact takes beside subject, header and payload.
	perFact = 64
)

// health is what is known of the server's ability to take facts.
type health struct {
	used    atomic.Int64 // bytes in the stream of facts when last asked
	grown   atomic.Int64 // written by this process since
	limit   int64        // bytes that the stream takes; 0: no limit
	cramped atomic.Bool  // the disk is nearly full
	suspect atomic.Bool  // look at the server as if for the first time
	trouble atomic.Pointer[error]
}

// frozen returns why nothing can be written, nil when something can.
func (h *health) frozen() error {
	if err := h.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// grew counts a stored fact until the server is asked again.
func (h *health) grew(bytes int) { h.grown.Add(int64(bytes) + perFact) }

// Fill returns how full the stream of facts is, from 0 to 1. From 0.8 on
// there are no new requests.
func (s *Store) Fill() float64 {
	h := &s.health
	if h.limit <= 0 {
		return 0
	}
	return float64(h.used.Load()+h.grown.Load()) / float64(h.limit)
}

// Healthy returns why the store takes no writes, nil when it does. An
// embedded server that has met a write error stays that way until a restart:
// exit, so that somebody looks at the disk.
func (s *Store) Healthy() error { return s.health.frozen() }

// room refuses a new request where there is no room for its answer.
func (s *Store) room(ctx context.Context) error {
	if err := s.awaitReady(ctx); err != nil {
		return err
	}
	switch {
	case s.Fill() >= fullAt:
		return fmt.Errorf("asking: the store is %.0f %% full; facts leave it after 96 hours, or initialise a larger one: %w", 100*s.Fill(), consent.ErrUnavailable)
	case s.health.cramped.Load():
		return fmt.Errorf("asking: less than %d MiB of disk are left for %s: %w", leastFree>>20, s.cfg.Dir, consent.ErrUnavailable)
	}
	return nil
}

// awaitReady gives a store that has just been opened a moment to catch up.
func (s *Store) awaitReady(ctx context.Context) error {
	if s.Ready() {
		return nil
	}
	wait := time.NewTimer(readyWait)
	defer wait.Stop()
	select {
	case <-s.ready:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("asking: %w", ctx.Err())
	case <-wait.C:
		return fmt.Errorf("asking: the store is still reading what is open: %w", consent.ErrUnavailable)
	}
}

// openHealth takes the first look.
func (s *Store) openHealth(ctx context.Context) error {
	stream, err := s.js.Stream(ctx, s.names.stream(streamConsent))
	if err != nil {
		return fmt.Errorf("opening %s: %w", s.names.stream(streamConsent), err)
	}
	s.health.limit = stream.CachedInfo().Config.MaxBytes
	s.health.used.Store(int64(stream.CachedInfo().State.Bytes))
	if s.shares != nil {
		s.lookAtUses(ctx)
	}
	return nil
}

// watchHealth looks at the server until ctx ends.
func (s *Store) watchHealth(ctx context.Context) {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.judge(ctx, s.look(ctx))
	}
}

// judge notes what look found.
func (s *Store) judge(ctx context.Context, err error) {
	before := s.health.frozen()
	switch {
	case ctx.Err() != nil:
	case err == nil && before != nil:
		s.health.trouble.Store(nil)
		for _, c := range s.committers() {
			c.fail(nil)
		}
		s.log.InfoContext(ctx, "store takes writes again")
	case err != nil && before == nil:
		err = fmt.Errorf("%w: %w", err, consent.ErrUnavailable)
		s.health.trouble.Store(&err)
		if s.srv != nil { // an external server may be back in time
			for _, c := range s.committers() {
				c.fail(err)
			}
		}
		s.log.ErrorContext(ctx, "store takes no writes", slog.Any("err", err))
	}
}

// notInTime is how the server reports that it did not get to look, within a
// millisecond, whether it listens. An embedded one never does, and on a busy
// machine says so although nothing is wrong.
const notInTime = "ready for connections"

// look returns what keeps the server from taking writes.
func (s *Store) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*healthEvery)
	defer cancel()
	if s.srv != nil {
		s.lookAtDisk()
		if h := s.srv.Healthz(&server.HealthzOptions{}); h.Error != "" && !strings.Contains(h.Error, notInTime) {
			return errors.New("embedded server: " + h.Error)
		}
	} else if err := s.lookOutside(ctx); err != nil {
		return err
	}
	s.lookAtSize(ctx)
	if s.shares != nil {
		s.lookAtUses(ctx)
	}
	return nil
}

// lookOutside looks at an external server.
func (s *Store) lookOutside(ctx context.Context) error {
	if !s.nc.IsConnected() || !s.wc.IsConnected() {
		s.health.suspect.Store(true)
		return fmt.Errorf("no connection to %s", s.cfg.where())
	}
	if s.health.suspect.Load() {
		// It may be another server, or have another configuration.
		err := s.checkServer(ctx)
		if err == nil {
			err = s.checkExternal(ctx)
		}
		if err == nil {
			err = s.names.createVolatile(ctx, s.js)
		}
		if err != nil {
			return err
		}
		s.health.suspect.Store(false)
	}
	if s.cfg.Monitor == "" {
		return nil
	}
	return s.askHealthz(ctx)
}

// askHealthz reads the external server's own word.
func (s *Store) askHealthz(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(s.cfg.Monitor, "/")+"/healthz", nil)
	if err != nil {
		return fmt.Errorf("reading the server's health: %w", err)
	}
	resp, err := s.monitor.Do(req)
	if err != nil {
		return nil // the monitor may be away; the connection is what counts
	}
	defer resp.Body.Close()
	var word struct {
		Error string `json:"error"`
	}
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	_ = json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&word) // the status says enough
	return fmt.Errorf("%s says status %d %s", s.cfg.where(), resp.StatusCode, word.Error)
}

// lookAtSize learns how full the stream of facts is. A server that is too
// busy to say so is asked again later; what was written meanwhile is counted.
func (s *Store) lookAtSize(ctx context.Context) {
	grown := s.health.grown.Load()
	stream, err := s.js.Stream(ctx, s.names.stream(streamConsent))
	if err != nil {
		return
	}
	s.health.grown.Add(-grown)
	s.health.used.Store(int64(stream.CachedInfo().State.Bytes))
}

// lookAtDisk learns how much space the embedded server has left.
func (s *Store) lookAtDisk() {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(s.cfg.Dir, &fs); err == nil {
		s.health.cramped.Store(uint64(fs.Bavail)*uint64(fs.Bsize) < leastFree)
	}
}
