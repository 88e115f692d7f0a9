package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

// publishEvery is how often the head is written to where others keep it.
const publishEvery = time.Second

// keyHead is the key of the head in the bucket of an external instance.
const keyHead = "head"

// publishedHead is the head as a witness and an external server keep it.
type publishedHead struct {
	V        int             `json:"v"`
	Instance string          `json:"instance"`
	Epoch    int             `json:"epoch,omitempty"`
	Release  string          `json:"release,omitempty"`
	At       time.Time       `json:"at"`
	Streams  map[string]mark `json:"streams"`
}

// expectations are the marks that all known heads of this instance say.
type expectations map[string][]mark

func (e expectations) add(marks map[string]mark) {
	for stream, m := range marks {
		e[stream] = append(e[stream], m)
	}
}

// highest are the marks that go furthest.
func (e expectations) highest() map[string]mark {
	out := map[string]mark{}
	for stream, marks := range e {
		for _, m := range marks {
			if m.Seq > out[stream].Seq || out[stream].Sum == "" && m.Seq == out[stream].Seq {
				out[stream] = m
			}
		}
	}
	return out
}

// take adds what a published head says. One of an earlier epoch was dealt with
// by a repair; one of a later epoch says that this store is an older copy.
func (e expectations) take(s *Store, h *publishedHead, from string) error {
	switch {
	case h.Instance != s.instance:
		return fmt.Errorf("opening %s: %s is the head of another instance (%s, this is %s): name another file as witness, or remove it", s.cfg.where(), from, h.Instance, s.instance)
	case h.Epoch > s.epoch && s.losing != nil:
		s.losing.later(h.Epoch)
		e.add(h.Streams)
	case h.Epoch > s.epoch:
		return &consent.LostError{Where: s.cfg.where(), Losses: []consent.Loss{{Stream: "all", Why: fmt.Sprintf("this is a copy from before repair %d", h.Epoch)}}}
	case h.Epoch == s.epoch:
		e.add(h.Streams)
	}
	return nil
}

// readWitness reads the file outside the store; nil when there is none yet.
func (c *Config) readWitness() (*publishedHead, error) {
	if c.Witness == "" {
		return nil, nil
	}
	data, err := os.ReadFile(c.Witness)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var h publishedHead
	if err == nil {
		err = json.Unmarshal(data, &h)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the witness %s: %w: restore it, or remove it and accept that a store set back as a whole is not noticed this once", c.Witness, err)
	}
	return &h, nil
}

// nothingThere is the error for a place without an instance. Where a witness
// knows of one it has gone.
func (c *Config) nothingThere() error {
	switch h, err := c.readWitness(); {
	case err != nil:
		return err
	case h != nil:
		return &consent.LostError{Where: c.where(), Losses: []consent.Loss{{Stream: "all", Why: fmt.Sprintf(
			"nothing is there, but the witness %s knows of an instance, last written to at %s (to begin anew, name another file as witness)", c.Witness, h.At.Format(time.RFC3339))}}}
	}
	return fmt.Errorf("opening %s: %w: run ringback init first", c.where(), ErrUninitialised)
}

// expect gathers what all heads of this instance say, and whether an embedded
// server was stopped in peace.
func (s *Store) expect() (e expectations, clean bool, err error) {
	e = expectations{}
	h, err := s.cfg.readWitness()
	if err == nil && h != nil {
		err = e.take(s, h, "the witness "+s.cfg.Witness)
	}
	if err != nil || s.cfg.URL != "" {
		return e, false, err
	}
	marks, err := readHead(s.cfg.Dir)
	if err != nil {
		return e, false, err
	}
	clean = marks[headClean].Sum != "" && marks[headClean].Sum == s.notes()
	epoch := int(marks[headEpoch].Seq)
	if s.losing != nil {
		s.losing.later(epoch)
	}
	if epoch == s.epoch || epoch > s.epoch && s.losing != nil {
		maps.DeleteFunc(marks, func(name string, _ mark) bool { return name[0] == '@' })
		e.add(marks)
	}
	if seq := s.snapshotSeq(); seq > 0 {
		e.add(map[string]mark{streamConsent: {Seq: seq}})
	}
	return e, clean, nil
}

// expectOutside adds what an external server keeps.
func (s *Store) expectOutside(ctx context.Context, kv jetstream.KeyValue, e expectations) error {
	entry, err := kv.Get(ctx, keyHead)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil
	}
	var h publishedHead
	if err == nil {
		err = json.Unmarshal(entry.Value(), &h)
	}
	if err != nil {
		return fmt.Errorf("reading the head: %w", err)
	}
	return e.take(s, &h, "what the server keeps")
}

// keepHead publishes the head each second until ctx ends, and then once more.
func (s *Store) keepHead(ctx context.Context) {
	tick := time.NewTicker(publishEvery)
	defer tick.Stop()
	failing := false
	counted := map[string]uint64{}
	for last := false; !last; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			last = true
		}
		marks, changed := s.head.news()
		if !changed {
			continue
		}
		publishing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*publishEvery)
		err := s.countEntries(publishing, marks, counted)
		if err == nil {
			err = s.publishHead(publishing, marks)
		}
		cancel()
		if err != nil {
			s.head.again()
		}
		if err != nil && !failing {
			s.log.WarnContext(ctx, "head of the store not written, a loss may go unnoticed", slog.Any("err", err))
		}
		failing = err != nil
	}
}

// countEntries adds to the marks how many entries there are in what was written
// to since it was last counted.
func (s *Store) countEntries(ctx context.Context, marks map[string]mark, counted map[string]uint64) error {
	for label := range onlyMore {
		m, written := marks[label]
		if !written || m.Seq == counted[label] {
			continue
		}
		stream, err := s.js.Stream(ctx, s.names.full(label))
		if err != nil {
			return fmt.Errorf("counting entries: %w", err)
		}
		s.head.counted(label, stream.CachedInfo().State.NumSubjects)
		m.Entries, counted[label] = max(m.Entries, stream.CachedInfo().State.NumSubjects), m.Seq
		marks[label] = m
	}
	return nil
}

// publishHead writes the head to where others keep it.
func (s *Store) publishHead(ctx context.Context, marks map[string]mark) error {
	maps.DeleteFunc(marks, func(name string, _ mark) bool { return name[0] == '@' })
	data, err := json.Marshal(publishedHead{V: 1, Instance: s.instance, Epoch: s.epoch, Release: s.cfg.Release, At: s.cfg.Now().UTC(), Streams: marks})
	if err != nil {
		return fmt.Errorf("encoding the head: %w", err)
	}
	if s.head.file != nil {
		if err := s.head.file.Sync(); err != nil {
			return fmt.Errorf("writing the head: %w", err)
		}
	} else if err := s.publishOutside(ctx, data, marks); err != nil {
		return err
	}
	if s.cfg.Witness == "" {
		return nil
	}
	if err := writeWhole(s.cfg.Witness, data); err != nil {
		return fmt.Errorf("writing the witness: %w", err)
	}
	return nil
}

// publishOutside keeps the head on the external server, unless another process
// is further.
func (s *Store) publishOutside(ctx context.Context, data []byte, marks map[string]mark) error {
	kv, err := s.js.KeyValue(ctx, s.names.stream(bucketInstance))
	if err != nil {
		return fmt.Errorf("writing the head: %w", err)
	}
	in, _, err := s.fetchInstance(ctx, kv)
	if err != nil || in == nil || in.ID != s.instance {
		return errors.Join(err, errors.New("writing the head: the server has another instance"))
	}
	entry, err := kv.Get(ctx, keyHead)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		_, err = kv.Create(ctx, keyHead, data)
	case err == nil:
		var there publishedHead
		if json.Unmarshal(entry.Value(), &there) == nil && there.Epoch >= s.epoch && furtherEverywhere(there.Streams, marks) {
			return nil
		}
		_, err = kv.Update(ctx, keyHead, data, entry.Revision())
	}
	if err != nil {
		return fmt.Errorf("writing the head: %w", err)
	}
	return nil
}

// furtherEverywhere reports whether every mark of b is reached by a.
func furtherEverywhere(a, b map[string]mark) bool {
	for stream, m := range b {
		if a[stream].Seq < m.Seq {
			return false
		}
	}
	return true
}

// writeWhole writes a file so that a crash leaves the old or the new one.
func writeWhole(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(append(data, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
