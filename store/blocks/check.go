package blocks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Report is what [Check] found in one stream.
type Report struct {
	Stream  string
	Blocks  int    // that were read
	Skipped int    // older ones that were not
	Records int    // that are whole
	Bytes   int64  // that were read
	First   uint64 // sequence of the first record that was read, 0: none
	Last    uint64 // highest one
	Highest uint64 // the same, with those of which only a note of their removal is left
	Damage  []Damage
	Stubs   []string // files of blocks that were begun and hold nothing: to be removed
}

// Damage is a place in a block where no record can be read.
type Damage struct {
	Block  string // its file
	After  uint64 // sequence of the last record before it, 0: none was read
	Before uint64 // of the first one behind it, 0: none
	What   string
	// Torn: nothing follows in the newest block. A write that was cut off looks
	// like that, and was never acknowledged; so does a record that was changed.
	Torn bool
}

// String says what cannot be read.
func (d Damage) String() string {
	return fmt.Sprintf("%s: %s (between the messages %d and %d)", d.Block, d.What, d.After, d.Before)
}

// Check reads the newest blocks of a stream, at most so many bytes (0: all), but
// for the newest, which is read in any case. visit is called for every whole
// record of a message in order, but for what was erased; nil: for none. The error
// is about reading alone.
func Check(c Config, most int64, visit func(seq uint64, subject, data []byte)) (*Report, error) {
	r := &Report{Stream: c.Stream}
	list, err := files(c.Dir)
	if err != nil {
		return r, err
	}
	from := len(list)
	for size := int64(0); from > 0; from-- {
		fi, err := os.Stat(list[from-1].path)
		if err != nil {
			return r, err
		}
		if size += fi.Size(); most > 0 && size > most && from < len(list) {
			break
		}
	}
	r.Skipped = from
	for i, f := range list[from:] {
		if err := r.check(&c, f, from+i == len(list)-1, visit); err != nil {
			return r, err
		}
	}
	return r, nil
}

// file is a block's file.
type file struct {
	path  string
	index int
}

// files lists the blocks of a stream, the oldest first.
func files(dir string) ([]file, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "msgs"))
	if err != nil {
		return nil, err
	}
	var out []file
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".blk")
		if index, err := strconv.Atoi(name); ok && err == nil {
			out = append(out, file{filepath.Join(dir, "msgs", e.Name()), index})
		}
	}
	slices.SortFunc(out, func(a, b file) int { return a.index - b.index })
	return out, nil
}

// check reads one block.
func (r *Report) check(of *Config, f file, newest bool, visit func(seq uint64, subject, data []byte)) error {
	r.Blocks++
	fi, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	b, err := of.open(f.index)
	switch {
	case errors.Is(err, errKey) && fi.Size() == 0 && newest:
		r.Stubs = append(r.Stubs, f.path) // killed between making the block and its key
		return nil
	case errors.Is(err, errKey):
		r.Damage = append(r.Damage, Damage{Block: f.path, After: r.Last, What: errKey.Error()})
		return nil
	case err != nil:
		return err
	}
	buf, err := b.plain()
	if errors.Is(err, errCompressed) {
		r.Damage = append(r.Damage, Damage{Block: f.path, After: r.Last, What: errCompressed.Error()})
		return nil
	}
	if err != nil {
		return err
	}
	r.Bytes += fi.Size()
	c, err := b.checker()
	if err != nil {
		return err
	}
	r.walk(c, buf, f.path, newest, func(rec record) {
		if visit != nil && !rec.erased && !rec.tomb {
			visit(rec.seq, rec.subject, rec.data)
		}
	})
	return nil
}

// walk goes through the records of a block and notes what cannot be read. Behind
// a place that cannot it looks for the next record that can.
func (r *Report) walk(c *checker, buf []byte, path string, newest bool, each func(record)) {
	for at := 0; at < len(buf); {
		rec, ok := c.read(buf[at:])
		if ok {
			r.Records++
			r.Highest = max(r.Highest, rec.seq)
			if !rec.tomb {
				r.note(rec.seq)
			}
			each(rec)
			at += len(rec.raw)
			continue
		}
		next := at + 1
		for ; next < len(buf); next++ {
			if rec, ok = c.read(buf[next:]); ok {
				break
			}
		}
		r.Damage = append(r.Damage, Damage{
			Block: path, After: r.Last, What: strconv.Itoa(next-at) + " bytes are no record", Torn: newest && next == len(buf),
		})
		at = next
	}
}

// note takes a sequence, and what it says about damage before it.
func (r *Report) note(seq uint64) {
	for i := len(r.Damage) - 1; i >= 0 && r.Damage[i].Before == 0; i-- {
		r.Damage[i].Before = seq
	}
	if r.First == 0 {
		r.First = seq
	}
	r.Last = max(r.Last, seq)
}
