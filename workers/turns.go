package workers

import (
	"slices"
	"sync"
	"time"

	"ringback/consent"
)

// turns are the lines of those who wait for one person's visible prompt. Within
// a line clients take turns, so that one with many requests holds up another's
// single one by one prompt and no more. Only whoever is next has a time to look
// again; the others cost nothing while they wait.
type turns struct {
	mu     sync.Mutex
	people map[consent.Pseudonym]*line
	rung   []rung // lines that somebody has left, as they did
}

// line is one person's.
type line struct {
	parties []party
	last    string // who had the prompt last
}

// rung is a line that is kept, though it may be empty, to know who was last.
type rung struct {
	person consent.Pseudonym
	until  time.Time
}

// party is what one client, or a group that counts as one, has in a line.
type party struct {
	name    string
	waiting []consent.ID // as they came
}

func newTurns() *turns { return &turns{people: make(map[consent.Pseudonym]*line)} }

// join lets a request wait, unless it does, and returns how many others do.
func (t *turns) join(p consent.Pseudonym, name string, id consent.ID) (others int, joined bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.people[p]
	if l == nil {
		l = &line{}
		t.people[p] = l
	}
	at := slices.IndexFunc(l.parties, func(q party) bool { return q.name == name })
	if at < 0 {
		at = len(l.parties)
		l.parties = append(l.parties, party{name: name})
	}
	if joined = !slices.Contains(l.parties[at].waiting, id); joined {
		l.parties[at].waiting = append(l.parties[at].waiting, id)
	}
	return l.len() - 1, joined
}

// leave takes a request out of its line.
func (t *turns) leave(p consent.Pseudonym, id consent.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.people[p]; l != nil {
		l.remove(id)
		t.drop(p, l)
	}
}

// drop forgets a line where nobody waits and nobody was last. t.mu is held.
func (t *turns) drop(p consent.Pseudonym, l *line) {
	if len(l.parties) == 0 && l.last == "" {
		delete(t.people, p)
	}
}

// rang says that a request of that party has the prompt, until the time given:
// it leaves, and another party is next.
func (t *turns) rang(p consent.Pseudonym, name string, id consent.ID, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.people[p]; l != nil {
		l.last = name
		l.remove(id)
		t.rung = append(t.rung, rung{p, until})
	}
}

// sweep forgets who was last in lines where nobody waits, once that prompt is
// over.
func (t *turns) sweep(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.rung) > 0 && now.After(t.rung[0].until.Add(skew)) {
		p := t.rung[0].person
		t.rung = t.rung[1:]
		if l := t.people[p]; l != nil && len(l.parties) > 0 {
			t.rung = append(t.rung, rung{p, now.Add(slotLife)})
		} else if l != nil {
			delete(t.people, p)
		}
	}
	if len(t.rung) == 0 {
		t.rung = nil
	}
}

// next returns the request whose turn it is. Those that wait no longer are
// forgotten on the way; waits must not call turns.
func (t *turns) next(p consent.Pseudonym, waits func(consent.ID) bool) (id consent.ID, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.people[p]
	for l != nil && len(l.parties) > 0 {
		id := l.parties[l.turn()].waiting[0]
		if waits(id) {
			return id, true
		}
		l.remove(id)
	}
	if l != nil {
		t.drop(p, l)
	}
	return consent.ID{}, false
}

// before is how many others go before a request, as the turns are now.
func (t *turns) before(p consent.Pseudonym, id consent.ID) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.people[p]
	if l == nil {
		return 0
	}
	at := slices.IndexFunc(l.parties, func(q party) bool { return slices.Contains(q.waiting, id) })
	if at < 0 {
		return 0
	}
	rounds := slices.Index(l.parties[at].waiting, id) // of everybody before the one in which it goes
	n := rounds
	for i, q := range l.parties {
		if i == at {
			continue
		}
		if l.isBefore(q.name, l.parties[at].name) {
			n += min(len(q.waiting), rounds+1)
		} else {
			n += min(len(q.waiting), rounds)
		}
	}
	return n
}

// waiting is how many requests wait for the person.
func (t *turns) waiting(p consent.Pseudonym) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.people[p]; l != nil {
		return l.len()
	}
	return 0
}

// turn is the place of the party whose turn it is.
func (l *line) turn() int {
	first := 0
	for i, q := range l.parties {
		if l.isBefore(q.name, l.parties[first].name) {
			first = i
		}
	}
	return first
}

// isBefore reports whether a goes before b: turns go by name, and begin after
// the last one.
func (l *line) isBefore(a, b string) bool {
	if (a > l.last) != (b > l.last) {
		return a > l.last
	}
	return a < b
}

func (l *line) remove(id consent.ID) {
	for i := range l.parties {
		q := &l.parties[i]
		at := slices.Index(q.waiting, id)
		if at < 0 {
			continue
		}
		if q.waiting = slices.Delete(q.waiting, at, at+1); len(q.waiting) == 0 {
			l.parties = slices.Delete(l.parties, i, i+1)
		}
		return
	}
}

func (l *line) len() (n int) {
	for _, q := range l.parties {
		n += len(q.waiting)
	}
	return n
}
