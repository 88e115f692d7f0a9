package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

// What was acknowledged has a head: of each stream the sequence and a digest of
// the newest message. The server cannot be asked for it, since a stream that has
// lost its end looks like a shorter one, and gives the same sequences out again.
// So it is written down elsewhere: with every acknowledgement into a file beside
// the embedded store (which a kill leaves as it is, and a power cut sets back by
// little), each second into a bucket of an external server, and each second to
// where the operator keeps a witness, see witness.go.

// headFile is the head of an embedded store, below Config.Dir.
const headFile = "head"

// mark is the newest message of a stream that was acknowledged.
type mark struct {
	Seq uint64 `json:"seq"`
	Sum string `json:"sha256"` // the first eight bytes of its data's, hexadecimal; empty: not known
	// Entries is how many keys a bucket had that only gets more, a moment before.
	Entries uint64 `json:"entries,omitempty"`
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// head is what this process knows to be acknowledged.
type head struct {
	mu      sync.Mutex
	marks   map[string]mark // by the stream's name without prefix
	file    *os.File        // nil: none
	places  map[string]int  // of streams in the file
	changed bool            // since it was last published
	lose    func(...consent.Loss) error
	health  *health
}

// acked takes the acknowledgement of messages, first to last; data is that of the
// last one, known what was acknowledged when they were sent. Where a sequence was
// given out again the stream has lost its end under us.
func (h *head) acked(stream string, known, first, last uint64, data []byte) error {
	if first <= known {
		return h.lose(consent.Loss{Stream: stream, From: first, To: known, Why: "the server gave out this sequence again"})
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if m := h.marks[stream]; last > m.Seq {
		h.put(stream, mark{last, sumOf(data), m.Entries})
	}
	return nil
}

// counted takes how many keys a bucket has.
func (h *head) counted(stream string, entries uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if m := h.marks[stream]; entries > m.Entries {
		m.Entries = entries
		h.put(stream, m)
	}
}

// publish writes a message to a stream that is kept in files and has no
// committer.
func (s *Store) publish(ctx context.Context, stream string, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if err := s.health.gone(); err != nil {
		return nil, err
	}
	known := s.head.known(stream)
	ack, err := s.js.PublishMsg(ctx, m, opts...)
	if err != nil {
		return nil, away(err)
	}
	return ack, s.head.acked(stream, known, ack.Sequence, ack.Sequence, m.Data)
}

// Written is the sequence of the newest fact that is known to be stored.
func (s *Store) Written() uint64 { return s.head.known(streamConsent) }

// known is the highest sequence of a stream that was acknowledged.
func (h *head) known(stream string) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.marks[stream].Seq
}

// put writes a mark down. h.mu is held.
func (h *head) put(stream string, m mark) {
	h.marks[stream], h.changed = m, true
	if h.file == nil {
		return
	}
	at, ok := h.places[stream]
	if !ok {
		at = len(h.places)
		h.places[stream] = at
	}
	line := headLine(stream, m)
	// What cannot be written is noticed when the head is published.
	_, _ = h.file.WriteAt([]byte(line), int64(at*len(line)))
}

// headLine is one stream's line, all of one length.
func headLine(stream string, m mark) string {
	text := fmt.Sprintf("%-16s %020d %020d %-16s", stream, m.Seq, m.Entries, m.Sum)
	return fmt.Sprintf("%s %08x\n", text, crc32.ChecksumIEEE([]byte(text)))
}

// parseHeadLine is its inverse. A damaged line says nothing: losing the head
// loses no fact.
func parseHeadLine(line string) (stream string, m mark, ok bool) {
	parts := strings.Fields(line)
	if len(parts) < 4 || fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(line[:len(line)-9]))) != parts[len(parts)-1] {
		return "", m, false
	}
	var err, other error
	m.Seq, err = strconv.ParseUint(parts[1], 10, 64)
	m.Entries, other = strconv.ParseUint(parts[2], 10, 64)
	if len(parts) > 4 {
		m.Sum = parts[3]
	}
	return parts[0], m, err == nil && other == nil
}

// readHead reads the head beside an embedded store; none is an empty one.
func readHead(dir string) (map[string]mark, error) {
	data, err := os.ReadFile(filepath.Join(dir, headFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the head: %w", err)
	}
	marks := map[string]mark{}
	for line := range strings.Lines(string(data)) {
		if stream, m, ok := parseHeadLine(strings.TrimSuffix(line, "\n")); ok {
			marks[stream] = m
		}
	}
	return marks, nil
}

// newHead begins with what is known; dir is where it is kept with every
// acknowledgement, empty: nowhere.
func newHead(dir string, marks map[string]mark, lose func(...consent.Loss) error, over *health) (*head, error) {
	h := &head{marks: map[string]mark{}, places: map[string]int{}, lose: lose, health: over}
	if dir == "" {
		maps.Copy(h.marks, marks)
		return h, nil
	}
	var err error
	if h.file, err = os.CreateTemp(dir, ".head-*"); err != nil {
		return nil, fmt.Errorf("opening the head: %w", err)
	}
	for stream, m := range marks {
		h.put(stream, m)
	}
	if err := os.Rename(h.file.Name(), filepath.Join(dir, headFile)); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the head: %w", err), h.file.Close(), os.Remove(h.file.Name()))
	}
	return h, nil
}

// saw takes a message that another process wrote.
func (h *head) saw(stream string, seq uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if m := h.marks[stream]; seq > m.Seq {
		h.put(stream, mark{Seq: seq, Entries: m.Entries})
	}
}

// openHead begins with what was acknowledged before.
func (s *Store) openHead() (err error) {
	dir := ""
	if s.losing != nil { // a repair writes the head when all is done
		s.head, err = newHead("", nil, s.lose, &s.health)
		return err
	}
	if s.srv != nil {
		dir = s.cfg.Dir
		s.expected[headEpoch] = mark{Seq: uint64(s.epoch)}
	}
	s.head, err = newHead(dir, s.expected, s.lose, &s.health)
	return err
}

// closeHead notes, once an embedded server has stopped, that nobody was there
// since.
func (s *Store) closeHead() {
	if s.head == nil || s.head.file == nil {
		return
	}
	s.head.mu.Lock()
	defer s.head.mu.Unlock()
	s.head.put(headClean, mark{Sum: s.notes()})
	if err := errors.Join(s.head.file.Sync(), s.head.file.Close()); err != nil {
		s.log.LogAttrs(context.Background(), slog.LevelWarn, "head of the store not written, the next start reads everything", slog.Any("err", err))
	}
	s.head.file = nil
}

// news returns the marks when they changed since it was last called.
func (h *head) news() (map[string]mark, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.changed {
		return nil, false
	}
	h.changed = false
	return maps.Clone(h.marks), true
}

// again says that the marks have still to be published.
func (h *head) again() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changed = true
}

// all returns the marks.
func (h *head) all() map[string]mark {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.marks)
}
