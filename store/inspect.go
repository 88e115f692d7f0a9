package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"ringback/consent"
	"ringback/store/blocks"
)

// inspectMost is how much of each stream is read before the embedded server
// starts, the newest, when it was stopped in peace: then the server does not
// read its files either. The rest is read while it runs. After anything else
// the server rebuilds its state from all files, and throws away what does not
// fit, so that all of them are read before it does.
const inspectMost = 256 << 20

// Lines of the head that are no streams.
const (
	headClean = "@clean" // the digest of what the server noted when it was stopped
	headEpoch = "@epoch" // after which repair
)

// files is where the embedded server keeps a stream.
func (s *Store) files(stream string) string {
	return filepath.Join(s.cfg.Dir, dataDir, "jetstream", "$G", "streams", stream)
}

// blocksOf says how the files of a stream are read.
func (s *Store) blocksOf(stream string) blocks.Config {
	return blocks.Config{Dir: s.files(stream), Stream: stream, Root: s.cfg.Vault.JetStreamKey(), Valid: s.names.validSubject(stream)}
}

// validSubject returns what tells the subjects that a stream can have.
func (n names) validSubject(stream string) func([]byte) bool {
	label := n.label(stream)
	prefix, exact := n.subject(strings.ToLower(label))+".", ""
	if bucket, ok := strings.CutPrefix(label, "KV_"); ok {
		prefix = "$KV." + n.stream(bucket) + "."
	}
	if label == streamAudit {
		prefix, exact = "", n.subject("audit")
	}
	return func(subject []byte) bool {
		if exact != "" {
			return string(subject) == exact
		}
		rest, ok := strings.CutPrefix(string(subject), prefix)
		return ok && isGraphic(rest) && !strings.HasSuffix(rest, ".")
	}
}

// inspect reads the embedded server's files before it starts. What a kill may
// leave behind, and makes the server throw a stream away, is put in order.
func (s *Store) inspect(ctx context.Context, expected map[string][]mark, clean bool) error {
	most := int64(0)
	if clean {
		most = inspectMost
	}
	losses, stubs, err := s.inspectFiles(ctx, expected, most)
	if err == nil {
		err = s.removeStubs(ctx, stubs, len(expected) > 0)
	}
	if err != nil || len(losses) == 0 {
		return err
	}
	return s.namedOffline(ctx, losses)
}

// removeStubs removes what a kill left between making a block and its key, and with
// it what the server has noted of it, which would look like a loss. Where nothing
// else tells of one the notes stay.
func (s *Store) removeStubs(ctx context.Context, stubs []string, notes bool) error {
	for _, stub := range stubs {
		if err := os.Remove(stub); err != nil {
			return err
		}
		if index := filepath.Join(filepath.Dir(stub), "index.db"); notes {
			if err := os.Remove(index); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		s.log.LogAttrs(ctx, slog.LevelInfo, "a file that a kill left empty was removed", slog.String("step", filepath.Base(stub)))
	}
	return nil
}

// inspectFiles reads so many bytes of each stream, 0: all, and returns what is
// lost, and what the server must not find.
func (s *Store) inspectFiles(ctx context.Context, expected map[string][]mark, most int64) (losses []consent.Loss, stubs []string, err error) {
	for _, stream := range s.names.kept() {
		label := s.names.label(stream)
		if _, err := os.Stat(s.files(stream)); err != nil {
			continue // said once the server runs
		}
		var gaps gaps
		r, err := blocks.Check(s.blocksOf(stream), most, gaps.visit)
		if errors.Is(err, fs.ErrNotExist) {
			losses = append(losses, consent.Loss{Stream: label, Why: "its files are gone"})
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		stubs = append(stubs, r.Stubs...)
		s.readTo[label] = 0
		if r.Skipped > 0 {
			s.readTo[label] = r.First - min(1, r.First)
		}
		if _, once := writtenOnce[label]; once && len(r.Damage) == 0 {
			losses = append(losses, gaps.losses(label, s.declared)...)
		}
		if seq := furthest(expected[label]); seq > r.Highest && len(r.Damage) == 0 {
			losses = append(losses, consent.Loss{Stream: label, From: r.Highest + 1, To: seq, Why: "they were acknowledged and the files do not have them"})
		}
		for _, d := range r.Damage {
			if d.Torn && furthest(expected[label]) <= d.After {
				s.log.LogAttrs(ctx, slog.LevelInfo, "the end of a write that was cut off, and never acknowledged, goes", slog.String("step", label))
				continue
			}
			losses = append(losses, damageOf(label, d))
		}
	}
	return losses, stubs, nil
}

// namedOffline says of which requests facts are lost, before the server runs.
func (s *Store) namedOffline(ctx context.Context, losses []consent.Loss) error {
	named := newLostRequests(losses)
	_, err := blocks.Check(s.blocksOf(s.names.stream(streamAudit)), 0, func(_ uint64, _, data []byte) { named.add(data) })
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "the chain does not tell which requests are concerned", slog.Any("err", err))
	}
	return named.error(s.cfg.where(), losses)
}

// gaps are the sequences that are missing between messages.
type gaps struct {
	last uint64
	list [][2]uint64
}

func (g *gaps) visit(seq uint64, _, _ []byte) {
	if g.last > 0 && seq > g.last+1 {
		g.list = append(g.list, [2]uint64{g.last + 1, seq - 1})
	}
	g.last = max(g.last, seq)
}

func (g *gaps) losses(label string, known declared) (out []consent.Loss) {
	for _, gap := range g.list {
		if known.covers(label, gap[0], gap[1]) {
			continue
		}
		out = append(out, consent.Loss{Stream: label, From: gap[0], To: gap[1], Why: "the files do not have them"})
	}
	return out
}

// damageOf says what a damaged place of a file means for the stream.
func damageOf(label string, d blocks.Damage) consent.Loss {
	l := consent.Loss{Stream: label, Why: filepath.Base(d.Block) + " is damaged: " + d.What}
	if l.From = d.After + 1; d.Before > 0 {
		l.To = max(l.From, d.Before-1)
	} else {
		l.To = l.From
	}
	return l
}

// furthest is the highest sequence of several marks.
func furthest(marks []mark) (seq uint64) {
	for _, m := range marks {
		seq = max(seq, m.Seq)
	}
	return seq
}

// places are the directories of the embedded server's streams, as they were when
// it started.
type places map[string]os.FileInfo

func (s *Store) lookAtPlaces() (places, error) {
	out := places{}
	for _, stream := range s.names.kept() {
		fi, err := os.Stat(filepath.Join(s.files(stream), "msgs"))
		if err != nil {
			return nil, fmt.Errorf("looking at the data directory: %w", err)
		}
		out[stream] = fi
	}
	return out, nil
}

// stillThere loses what was removed under the running server, which goes on with
// what it has open.
func (s *Store) stillThere() error {
	for stream, was := range s.places {
		if is, err := os.Stat(filepath.Join(s.files(stream), "msgs")); err != nil || !os.SameFile(was, is) {
			return s.lose(consent.Loss{Stream: s.names.label(stream), Why: "its files were removed while they were in use"})
		}
	}
	return nil
}

// notes is a digest of what the server has noted of every stream's state. It
// changes with every stop, and tells that nobody was there in between.
func (s *Store) notes() string {
	sum := sha256.New()
	for _, stream := range s.names.kept() {
		f, err := os.Open(filepath.Join(s.files(stream), "msgs", "index.db"))
		if err != nil {
			return ""
		}
		_, err = io.Copy(sum, f)
		if f.Close(); err != nil {
			return ""
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}
