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
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"ringback/consent"
)

const (
	// lookEvery is how often the server is looked at.
	lookEvery = time.Second
	// lookFor is how long it may take to answer.
	lookFor = 1500 * time.Millisecond
	// checkFor is how long it may take after a reconnection, when it is looked at
	// as for the first time.
	checkFor = 30 * time.Second
)

// errStopped is that of an embedded server which takes no writes until it is
// started again.
var errStopped = errors.New("the embedded server has stopped")

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
	tick := time.NewTicker(lookEvery)
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
	before := s.health.trouble.Load()
	switch {
	case ctx.Err() != nil:
	case err == nil && before != nil:
		s.health.trouble.Store(nil)
		s.log.InfoContext(ctx, "store takes writes again")
	case err != nil:
		if !errors.Is(err, consent.ErrUnavailable) {
			err = fmt.Errorf("%w: %w", err, consent.ErrUnavailable)
		}
		if errors.Is(err, errStopped) || errors.Is(err, consent.ErrLost) {
			for _, c := range s.committers() { // an external server may be back in time
				c.fail(err)
			}
		}
		s.health.trouble.Store(&err)
		if before == nil || (*before).Error() != err.Error() {
			s.log.ErrorContext(ctx, "store takes no writes", slog.Any("err", err))
		}
	}
}

// notInTime is how the server reports that it did not get to look, within a
// millisecond, whether it listens. An embedded one never does, and on a busy
// machine says so although nothing is wrong.
const notInTime = "ready for connections"

// look returns what keeps the server from taking writes.
func (s *Store) look(ctx context.Context) error {
	if err := s.health.gone(); err != nil {
		return err
	}
	if s.srv != nil {
		if err := s.stillThere(); err != nil {
			return err
		}
		s.lookAtDisk()
		if h := s.srv.Healthz(&server.HealthzOptions{}); h.Error != "" && !strings.Contains(h.Error, notInTime) {
			return fmt.Errorf("%w: %s", errStopped, h.Error)
		}
	} else if err := s.lookOutside(ctx); err != nil {
		return err
	}
	now := time.Now()
	for _, c := range s.committers() {
		if err := c.fate.trouble(now); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	if err := s.lookAtSize(ctx); err != nil && !s.commit.fate.storedSince(now.Add(-lookFor)) { // a busy one answers late
		return fmt.Errorf("%s does not answer: %w", s.cfg.where(), err)
	}
	if s.srv != nil {
		return nil
	}
	s.lookAtUses(ctx)
	return s.askHealthz(ctx)
}

// lookOutside looks at an external server.
func (s *Store) lookOutside(ctx context.Context) error {
	if !s.nc.IsConnected() || !s.wc.IsConnected() {
		s.health.suspect.Store(true)
		return fmt.Errorf("no connection to %s", s.cfg.where())
	}
	if s.health.suspect.Load() {
		if err := s.checkAgain(ctx); err != nil {
			return err
		}
		s.health.suspect.Store(false)
	}
	return nil
}

// checkAgain looks, after a reconnection, at the server as if for the first time:
// it may be another, have another configuration, or have less than it had.
func (s *Store) checkAgain(ctx context.Context) error {
	// First what takes no time: a server that fell silent is waited for no longer
	// than one that is not suspect.
	asking, enough := context.WithTimeout(ctx, lookFor)
	defer enough()
	if err := s.checkServer(asking); err != nil {
		return err
	}
	kv, in, err := s.checkExternal(asking)
	if err != nil {
		return err
	}
	if in.ID != s.instance || in.Epoch != s.epoch {
		return s.lose(consent.Loss{Stream: "all", Why: "another instance is there now, or this one after a repair (then start again)"})
	}
	expected := expectations{}
	if err := s.expectOutside(asking, kv, expected); err != nil {
		return err
	}
	expected.add(s.head.all())
	// The rest may take its time, but not unnoticed.
	slow := time.AfterFunc(lookFor, func() {
		s.judge(ctx, fmt.Errorf("%s is still being looked at after a reconnection", s.cfg.where()))
	})
	defer slow.Stop()
	checking, cancel := context.WithTimeout(ctx, checkFor)
	defer cancel()
	if err := s.compareStreams(checking, expected); err != nil {
		return err
	}
	if err := s.scrub(checking, ctx); err != nil {
		return err
	}
	return s.names.createVolatile(checking, s.js)
}

// askHealthz reads the external server's own word.
func (s *Store) askHealthz(ctx context.Context) error {
	if s.cfg.Monitor == "" {
		return nil
	}
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

// lookAtSize learns how full the stream of facts is. What is written meanwhile is
// counted.
func (s *Store) lookAtSize(ctx context.Context) error {
	grown := s.health.grown.Load()
	stream, err := s.js.Stream(ctx, s.names.stream(streamConsent))
	if err != nil {
		return err
	}
	there := stream.CachedInfo().State
	if l, holes := holesIn(streamConsent, there, s.gone()); holes {
		return s.lose(l)
	}
	s.health.grown.Add(-grown)
	s.health.used.Store(int64(there.Bytes))
	return nil
}

// lookAtDisk learns how much space the embedded server has left.
func (s *Store) lookAtDisk() {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(s.cfg.Dir, &fs); err == nil {
		s.health.cramped.Store(uint64(fs.Bavail)*uint64(fs.Bsize) < leastFree)
	}
}
