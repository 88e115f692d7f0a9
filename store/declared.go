package store

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"

	"ringback/consent"
)

// declared are losses that repairs have dealt with, and have the chain say: what
// they name is not missed again.
type declared []consent.Loss

// covers reports whether every sequence of a range is declared.
func (d declared) covers(label string, from, to uint64) bool {
	return from > to || d.count(label, from, to) == to-from+1
}

// count is how many sequences of a range are declared.
func (d declared) count(label string, from, to uint64) (n uint64) {
	ranges := slices.DeleteFunc(slices.Clone(d), func(l consent.Loss) bool { return l.Stream != label || l.From == 0 })
	slices.SortFunc(ranges, func(a, b consent.Loss) int {
		if a.From < b.From {
			return -1
		}
		return 1
	})
	for _, l := range ranges {
		first, last := max(from, l.From), min(to, l.To)
		if first > last {
			continue
		}
		n += last - first + 1
		from = last + 1
	}
	return n
}

// add takes another loss, unless its range is declared already.
func (d declared) add(l consent.Loss) declared {
	if slices.Contains(d, l) || l.From > 0 && l.To >= l.From && d.covers(l.Stream, l.From, l.To) {
		return d
	}
	return append(d, l)
}

// ranges are those that name sequences.
func (d declared) ranges() declared {
	return slices.DeleteFunc(slices.Clone(d), func(l consent.Loss) bool { return l.From == 0 || l.To < l.From })
}

// losing gathers what is lost while a repair looks for it, instead of ending
// everything.
type losing struct {
	mu      sync.Mutex
	found   declared
	epoch   int             // the highest that a head names
	keyless map[string]bool // pseudonyms of entries without a data key
}

// take takes what an error says is lost.
func (l *losing) take(err error) bool {
	var lost *consent.LostError
	if !errors.As(err, &lost) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, loss := range lost.Losses {
		l.found = l.found.add(loss)
	}
	return true
}

// add takes losses.
func (l *losing) add(losses ...consent.Loss) { l.take(&consent.LostError{Losses: losses}) }

// later takes the epoch of a head that is ahead of the store's.
func (l *losing) later(epoch int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch = max(l.epoch, epoch)
}

// without takes an entry of which the data key is missing.
func (l *losing) without(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keyless[key] = true
}

// losses is what was gathered.
func (l *losing) losses() declared {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.found)
}

// gone is what is known to be lost or was declared before.
func (s *Store) gone() declared {
	if s.losing == nil {
		return s.declared
	}
	return append(slices.Clone(s.declared), s.losing.losses()...)
}

// filler is the first part of the subjects of messages that stand for lost facts,
// so that the sequences of these are not given out again.
const filler = "lost"

// isFiller reports whether a message of the stream of facts stands for a lost one.
func (n names) isFiller(subject string) bool {
	rest, ours := strings.CutPrefix(subject, n.prefix)
	return ours && strings.HasPrefix(rest, ".consent."+filler+".")
}

// repairing is what an instance record says of a repair that began and did not
// end. Nobody but a repair opens the store meanwhile.
type repairing struct {
	Epoch   int                 `json:"epoch"`             // that it begins
	Losses  declared            `json:"losses"`            // found so far
	Filled  uint64              `json:"filled,omitempty"`  // no fact gets a sequence up to this one
	Keyless []consent.Pseudonym `json:"keyless,omitempty"` // people whose data key is lost
}

// same reports whether both say the same.
func (r *repairing) same(o *repairing) bool {
	a, err := json.Marshal(r)
	b, other := json.Marshal(o)
	return err == nil && other == nil && string(a) == string(b)
}
