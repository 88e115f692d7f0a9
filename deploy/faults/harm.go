package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// way is a way to damage what is stored.
type way struct {
	name    string
	place   string // where alone: "embedded" or "external"; empty: anywhere
	witness bool   // nobody can know without a witness
	under   bool   // it happens while the service runs
	aged    bool   // it starts when all facts are of days ago, and needed no more
	outcome outcome
	harm    func(v *victim) error
}

// outcome is what may follow.
type outcome int

const (
	either outcome = iota // it depends on what was hit
	serves                // nothing is lost by it, and it stops nothing
	refuse                // something is gone for certain
)

// ways are tried in turn.
var ways = []way{
	{"a bit of the facts is another", "", false, false, false, either, func(v *victim) error { return v.flip(v.file("ringback_CONSENT", "*.blk")) }},
	{"a stream is of before", "", false, false, false, refuse, func(v *victim) error { return v.setBack(v.moved()) }},
	{"index files are gone", "", false, false, false, serves, (*victim).forgetIndexes},
	{"everything is of before", "", true, false, false, refuse, (*victim).setAllBack},
	{"a block is gone", "", false, false, false, either, func(v *victim) error { return v.remove(v.file("*", "*.blk")) }},
	{"the end of a block is cut off", "", false, false, false, either, func(v *victim) error { return v.cut(v.file("*", "*.blk")) }},
	{"a directory is gone", "", false, false, false, refuse, (*victim).removeDirectory},
	{"files go while it runs", "embedded", false, true, false, refuse, (*victim).removeDirectory},
	{"the server comes back with less", "external", false, true, false, refuse, func(v *victim) error { return v.setBack(v.moved()) }},
	{"everything is gone", "", true, false, false, refuse, (*victim).removeAll},
	{"index files are damaged", "", false, false, false, serves, (*victim).damageIndexes},
	{"a bit anywhere is another", "", false, false, false, either, func(v *victim) error { return v.flip(v.file("*", "*.blk")) }},
	{"a write was cut off", "embedded", false, false, false, serves, (*victim).tear},
	{"the server comes back with a bit that is another", "external", false, true, false, either, func(v *victim) error { return v.flip(v.file("*", "*.blk")) }},
	{"five days go by", "embedded", false, false, true, serves, func(v *victim) error { v.note("nothing"); return nil }},
	{"a bit of facts of five days ago is another", "embedded", false, false, true, either, func(v *victim) error { return v.flip(v.file("ringback_CONSENT", "*.blk")) }},
	{"a bit of a key is another", "embedded", false, false, false, either, func(v *victim) error { return v.flip(v.file("*", "*.key")) }},
	{"a key of a block is gone", "embedded", false, false, false, either, func(v *victim) error { return v.remove(v.file("*", "*.key")) }},
	{"the facts and all that tells of them are of before", "embedded", false, false, false, refuse, func(v *victim) error {
		return errors.Join(v.setBack("ringback_CONSENT"), os.RemoveAll(filepath.Join(v.data, "head")), os.RemoveAll(filepath.Join(v.data, "index.snapshot")))
	}},
	{"the server comes back with all of before", "external", false, true, false, refuse, (*victim).setAllBack},
	{"the description of a stream is gone", "", false, false, false, either, func(v *victim) error {
		return v.remove(filepath.Join(v.streams(v.data), v.stream(), pick(v.rand, "meta.inf", "meta.sum")))
	}},
	{"a directory is empty", "", false, false, false, refuse, (*victim).emptyDirectory},
	{"the end of the facts is cut off", "", false, false, false, either, func(v *victim) error { return v.cut(v.file("ringback_CONSENT", "*.blk")) }},
	{"the facts' block is gone", "", false, false, false, refuse, func(v *victim) error { return v.remove(v.file("ringback_CONSENT", "*.blk")) }},
}

// victim is data that is damaged.
type victim struct {
	data    string // directory of the embedded store, or of the server
	earlier string // the same, some while ago
	outside bool   // it is a server's
	witness bool   // there is one
	rand    *rand.Rand
	did     []string // what was done
}

// movedStreams have something in every scene that they did not have in the one
// before.
var movedStreams = []string{
	"ringback_CONSENT", "ringback_AUDIT", "ringback_EVIDENCE", "ringback_SEEN", "ringback_DEK", "KV_ringback_PEOPLE", "KV_ringback_CLIENTS", "KV_ringback_KEYS",
}

// note keeps what was done, for whoever has to understand what came of it.
func (v *victim) note(format string, args ...any) {
	v.did = append(v.did, strings.ReplaceAll(fmt.Sprintf(format, args...), v.data+"/", ""))
}

// streams is the directory of all streams.
func (v *victim) streams(data string) string {
	if !v.outside {
		data = filepath.Join(data, "nats")
	}
	return filepath.Join(data, "jetstream", "$G", "streams")
}

// moved is a stream that holds something since the earlier scene.
func (v *victim) moved() string { return pick(v.rand, movedStreams...) }

// stream is any.
func (v *victim) stream() string {
	entries, err := os.ReadDir(v.streams(v.data))
	if err != nil || len(entries) == 0 {
		return "none"
	}
	return entries[v.rand.IntN(len(entries))].Name()
}

// file is a file of messages of a stream, both by a pattern, that is not empty.
func (v *victim) file(stream, name string) string {
	list, err := filepath.Glob(filepath.Join(strings.ReplaceAll(v.streams(v.data), "$", "[$]"), stream, "msgs", name))
	list = slices.DeleteFunc(list, func(file string) bool {
		fi, err := os.Stat(file)
		return err != nil || fi.Size() == 0
	})
	if err != nil || len(list) == 0 {
		return filepath.Join(v.data, "no", stream, name) // whoever opens it says so
	}
	return pick(v.rand, list...)
}

func (v *victim) flip(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	at, bit := v.rand.IntN(len(data)), v.rand.IntN(8)
	data[at] ^= 1 << bit
	v.note("bit %d of byte %d of %d of %s", bit, at, len(data), file)
	return os.WriteFile(file, data, 0o600)
}

func (v *victim) cut(file string) error {
	fi, err := os.Stat(file)
	if err != nil {
		return err
	}
	to := v.rand.Int64N(fi.Size())
	if v.rand.IntN(2) == 0 { // near the end
		to = max(0, fi.Size()-1-v.rand.Int64N(300))
	}
	v.note("%s cut from %d to %d bytes", file, fi.Size(), to)
	return os.Truncate(file, to)
}

func (v *victim) remove(path string) error {
	v.note("%s removed", path)
	if _, err := os.Stat(path); err != nil {
		return err
	}
	return os.RemoveAll(path)
}

func (v *victim) setBack(stream string) error {
	to := filepath.Join(v.streams(v.data), stream)
	v.note("%s set back", to)
	return errors.Join(os.RemoveAll(to), copyTree(to, filepath.Join(v.streams(v.earlier), stream)))
}

func (v *victim) setAllBack() error {
	v.note("%s set back", v.data)
	return errors.Join(v.clear(), copyTree(v.data, v.earlier))
}

func (v *victim) removeAll() error { v.note("everything removed"); return v.clear() }

// clear removes everything but what a store does not hold: its root key, and what
// gets an operator in.
func (v *victim) clear() error {
	entries, err := os.ReadDir(v.data)
	for _, e := range entries {
		if n := e.Name(); n != "root.key" && n != "admin.token" {
			err = errors.Join(err, os.RemoveAll(filepath.Join(v.data, n)))
		}
	}
	return err
}

// directory is one in which something is: of a stream, of its messages, or of all
// streams.
func (v *victim) directory() string {
	of := filepath.Join(v.streams(v.data), v.moved())
	if v.rand.IntN(4) == 0 && (v.witness || !v.outside) { // else nobody can know that a server had something
		return v.streams(v.data)
	}
	return pick(v.rand, of, filepath.Join(of, "msgs"))
}

func (v *victim) removeDirectory() error { return v.remove(v.directory()) }

func (v *victim) emptyDirectory() error {
	dir := v.directory()
	return errors.Join(v.remove(dir), os.Mkdir(dir, 0o700))
}

// indexes are files that hold no fact, and can be made anew of those that do.
func (v *victim) indexes() []string {
	list, _ := filepath.Glob(filepath.Join(strings.ReplaceAll(v.streams(v.data), "$", "[$]"), "*", "msgs", "index.db"))
	if !v.outside {
		list = append(list, filepath.Join(v.data, "index.snapshot"), filepath.Join(v.data, "head"))
	}
	return slices.DeleteFunc(list, func(file string) bool {
		fi, err := os.Stat(file)
		return err != nil || fi.Size() == 0
	})
}

func (v *victim) forgetIndexes() error {
	var err error
	for _, file := range v.indexes() {
		if v.rand.IntN(2) == 0 {
			err = errors.Join(err, v.remove(file))
		}
	}
	return err
}

func (v *victim) damageIndexes() error {
	var err error
	for _, file := range v.indexes() {
		switch v.rand.IntN(3) {
		case 0:
			err = errors.Join(err, v.flip(file))
		case 1:
			err = errors.Join(err, v.cut(file))
		}
	}
	return err
}

// tear leaves what a kill in the middle of a write can leave.
func (v *victim) tear() error {
	file := v.file("ringback_CONSENT", "*.blk")
	if v.rand.IntN(2) == 0 {
		v.note("an empty block after %s", file)
		return os.WriteFile(filepath.Join(filepath.Dir(file), "1000.blk"), nil, 0o600)
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	v.note("half a record after %s", file)
	_, err = f.WriteString("half a record")
	return errors.Join(err, f.Close())
}

// pick is one of several.
func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }
