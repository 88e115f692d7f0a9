package store

import (
	"bufio"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

// The index is derived from the facts of a day. Reading them again at every
// start costs seconds for each hundred thousand, so the embedded store keeps
// a copy of the index beside them. The copy may be missing, old or damaged:
// what it lacks is read from the facts.

const (
	// snapshotFile is the copy, below Config.Dir.
	snapshotFile = "index.snapshot"
	// snapshotVersion changes with the format; another one is not read.
	snapshotVersion = 3
	// snapshotLeast is the number of facts after which a copy is made; with
	// many requests it takes half as many facts as requests.
	snapshotLeast = 20_000
	// snapshotChunk is the number of entries sealed together.
	snapshotChunk = 4096
	// snapshotMax bounds one sealed chunk.
	snapshotMax = 16 << 20
)

// snapshotHead is the first chunk. What follows are chunks of entries, then
// chunks of what is past; an empty chunk ends each row.
type snapshotHead struct {
	V        int         `json:"v"`
	Instance string      `json:"instance"`
	Seq      uint64      `json:"seq"`    // every fact up to here is in the copy
	Askers   [][2]string `json:"askers"` // client id and group
}

// snapshotAEAD seals the copy: what JetStream encrypts at rest must not lie
// beside it in the clear.
func (s *Store) snapshotAEAD() (cipher.AEAD, error) {
	block, err := aes.NewCipher(s.cfg.Vault.MAC("snapshot", s.instance))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// saveSnapshot writes the copy. Only the follower calls it, so that nothing
// is removed meanwhile; facts that are added later than seq do no harm.
func (s *Store) saveSnapshot(seq uint64) (err error) {
	aead, err := s.snapshotAEAD()
	if err != nil {
		return fmt.Errorf("saving the index: %w", err)
	}
	f, err := os.CreateTemp(s.cfg.Dir, ".snapshot-*")
	if err != nil {
		return fmt.Errorf("saving the index: %w", err)
	}
	defer os.Remove(f.Name()) // gone already when all went well
	w := &chunkWriter{w: bufio.NewWriterSize(f, 1<<20), aead: aead}
	s.index.write(w, s.instance, seq)
	if w.err == nil {
		w.err = w.w.Flush()
	}
	if e := f.Close(); w.err == nil {
		w.err = e
	}
	if w.err == nil {
		w.err = os.Rename(f.Name(), filepath.Join(s.cfg.Dir, snapshotFile))
	}
	if w.err != nil {
		return fmt.Errorf("saving the index: %w", w.err)
	}
	return nil
}

// loadSnapshot fills an empty index and returns the sequence that it is good
// for; 0 when there is no copy to use.
func (s *Store) loadSnapshot(ctx context.Context) uint64 {
	path := filepath.Join(s.cfg.Dir, snapshotFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	var seq uint64
	if err == nil {
		seq, err = s.readSnapshot(f)
		f.Close()
	}
	if err != nil {
		s.index.reset()
		s.log.WarnContext(ctx, "copy of the index not used, reading the facts instead", slog.Any("err", err))
		os.Remove(path)
		return 0
	}
	return seq
}

func (s *Store) readSnapshot(f io.Reader) (uint64, error) {
	r, head, err := s.openSnapshot(f)
	if err != nil {
		return 0, err
	}
	return head.Seq, s.index.read(r, head.Askers)
}

// openSnapshot reads the head of a copy, and returns what reads the rest.
func (s *Store) openSnapshot(f io.Reader) (r *chunkReader, head snapshotHead, err error) {
	aead, err := s.snapshotAEAD()
	if err != nil {
		return nil, head, err
	}
	r = &chunkReader{r: bufio.NewReaderSize(f, 1<<20), aead: aead}
	text, err := r.next()
	if err == nil {
		err = json.Unmarshal(text, &head)
	}
	if err == nil && (head.V != snapshotVersion || head.Instance != s.instance) {
		err = errors.New("another version or another instance")
	}
	return r, head, err
}

// snapshotSeq is up to where a copy says that there are facts; 0 for none that
// can be read.
func (s *Store) snapshotSeq() uint64 {
	f, err := os.Open(filepath.Join(s.cfg.Dir, snapshotFile))
	if err != nil {
		return 0
	}
	defer f.Close()
	_, head, err := s.openSnapshot(f)
	if err != nil {
		return 0
	}
	return head.Seq
}

// write puts the index out in chunks.
func (x *index) write(w *chunkWriter, instance string, seq uint64) {
	x.mu.RLock()
	head := snapshotHead{V: snapshotVersion, Instance: instance, Seq: seq}
	places := make(map[number]uint64, len(x.byName)) // in the head
	for a, n := range x.byName {
		places[n] = uint64(len(head.Askers))
		head.Askers = append(head.Askers, [2]string{a.client, a.group})
	}
	x.mu.RUnlock()
	text, err := json.Marshal(head)
	if err != nil {
		w.err = err
		return
	}
	w.chunk(text)

	var b []byte
	n := 0
	breathe := func() { // and put out what has been gathered
		if n++; n%snapshotChunk == 0 {
			x.mu.RUnlock()
			w.chunk(b)
			b = b[:0]
			x.mu.RLock()
		}
	}
	end := func() {
		x.mu.RUnlock()
		if len(b) > 0 {
			w.chunk(b)
		}
		w.chunk(nil)
		b = b[:0]
	}
	x.mu.RLock()
	for e := x.entries.at(x.all.first); e != nil && e.seq <= seq; e = x.entries.at(e.all.next) {
		if asker, ok := places[e.asker]; ok {
			b = e.append(b, asker)
			breathe()
		}
	}
	end()
	x.mu.RLock()
	for who, first := range x.past {
		for p := x.pasts.at(first); p != nil; p = x.pasts.at(p.next) {
			if asker, ok := places[p.asker]; ok {
				b = p.append(b, who, asker)
				breathe()
			}
		}
	}
	end()
}

// read fills an empty index from chunks.
func (x *index) read(r *chunkReader, askers [][2]string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	list := make([]number, len(askers))
	for i, a := range askers {
		list[i] = x.known(identity{client: a[0], group: a[1]})
	}
	err := r.each(func(b *fields) {
		e := readEntry(b, list)
		if b.err == nil && x.byID[e.id] == 0 {
			x.link(e)
		}
	})
	if err != nil {
		return err
	}
	err = r.each(func(b *fields) {
		who, p := readPast(b, list)
		if b.err == nil {
			x.keep(who, p)
		}
	})
	for name, n := range x.byName {
		if x.askers.at(n).users == 0 {
			delete(x.byName, name)
			x.askers.remove(n)
		}
	}
	return err
}

// append writes an entry.
func (e *entry) append(b []byte, asker uint64) []byte {
	b = append(b, e.id[:]...)
	b = append(b, e.who[:]...)
	b = append(b, e.same[:]...)
	b = append(b, e.binding[:]...)
	b = append(b, e.digest[:]...)
	for _, v := range []uint64{
		asker, e.seq, uint64(e.asked), uint64(e.expires), uint64(e.tried), uint64(e.ended),
		uint64(e.attempts), uint64(e.outcomes), uint64(e.interval), uint64(e.decided), uint64(e.settled), btoi(e.revoked) | btoi(e.owed)<<1 | uint64(e.mode)<<2,
	} {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

func readEntry(b *fields, askers []number) (e entry) {
	b.bytes(e.id[:])
	b.bytes(e.who[:])
	b.bytes(e.same[:])
	b.bytes(e.binding[:])
	b.bytes(e.digest[:])
	e.asker = b.asker(askers)
	e.seq = b.uint(1<<64 - 1)
	e.asked, e.expires, e.tried, e.ended = b.time(), b.time(), b.time(), b.time()
	e.attempts, e.outcomes, e.interval = uint16(b.uint(1<<16-1)), uint16(b.uint(1<<16-1)), uint16(b.uint(1<<16-1))
	e.decided, e.settled = verb(b.uint(uint64(len(verbs)-1))), verb(b.uint(uint64(len(verbs)-1)))
	flags := b.uint(uint64(len(modes))<<2 - 1)
	e.revoked, e.owed, e.mode = flags&1 != 0, flags&2 != 0, mode(flags>>2)
	return e
}

// append writes what is past.
func (p past) append(b []byte, w who, asker uint64) []byte {
	b = append(b, w[:]...)
	b = append(b, p.id[:]...)
	for _, v := range []uint64{asker, uint64(p.asked), uint64(p.ended), uint64(p.verb)} {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

func readPast(b *fields, askers []number) (w who, p past) {
	b.bytes(w[:])
	b.bytes(p.id[:])
	p.asker = b.asker(askers)
	p.asked, p.ended = b.time(), b.time()
	p.verb = verb(b.uint(uint64(len(verbs) - 1)))
	return w, p
}

func btoi(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// fields reads one chunk. After an error it returns zeros.
type fields struct {
	rest []byte
	err  error
}

var errFields = errors.New("a damaged copy")

func (b *fields) bytes(into []byte) {
	if len(b.rest) < len(into) {
		b.err, b.rest = errFields, nil
		return
	}
	copy(into, b.rest)
	b.rest = b.rest[len(into):]
}

func (b *fields) uint(limit uint64) uint64 {
	v, n := binary.Uvarint(b.rest)
	if n <= 0 || v > limit {
		b.err, b.rest = errFields, nil
		return 0
	}
	b.rest = b.rest[n:]
	return v
}

func (b *fields) time() int64 { return int64(b.uint(1<<64 - 1)) }

func (b *fields) asker(askers []number) number {
	i := b.uint(1<<64 - 1)
	if i >= uint64(len(askers)) {
		b.err, b.rest = errFields, nil
		return 0
	}
	return askers[i]
}

// chunkWriter seals chunks, each bound to its number.
type chunkWriter struct {
	w    *bufio.Writer
	aead cipher.AEAD
	n    uint64
	err  error
}

func (w *chunkWriter) chunk(plain []byte) {
	if w.err != nil {
		return
	}
	sealed := w.aead.Seal(nil, nil, plain, binary.BigEndian.AppendUint64(nil, w.n))
	w.n++
	if _, w.err = w.w.Write(binary.BigEndian.AppendUint32(nil, uint32(len(sealed)))); w.err == nil {
		_, w.err = w.w.Write(sealed)
	}
}

// chunkReader is the inverse of chunkWriter.
type chunkReader struct {
	r    *bufio.Reader
	aead cipher.AEAD
	n    uint64
}

func (r *chunkReader) next() ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r.r, size[:]); err != nil {
		return nil, errFields
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > snapshotMax {
		return nil, errFields
	}
	sealed := make([]byte, n)
	if _, err := io.ReadFull(r.r, sealed); err != nil {
		return nil, errFields
	}
	plain, err := r.aead.Open(nil, nil, sealed, binary.BigEndian.AppendUint64(nil, r.n))
	if err != nil {
		return nil, errFields
	}
	r.n++
	return plain, nil
}

// each reads one row of chunks.
func (r *chunkReader) each(read func(*fields)) error {
	for {
		plain, err := r.next()
		if err != nil || len(plain) == 0 {
			return err
		}
		b := fields{rest: plain}
		for len(b.rest) > 0 {
			read(&b)
		}
		if b.err != nil {
			return b.err
		}
	}
}
