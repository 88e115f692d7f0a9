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
	places map[consent.ID]consent.Pseudonym // where somebody waits
	kept   []kept                           // lines in which somebody rang, to be forgotten
}

// line is one person's.
type line struct {
	parties []party    // whoever is first goes first, unless it had the prompt last
	last    string     // who had the prompt last
	rings   consent.ID // what has the prompt, as far as this process knows
	until   time.Time  // how long
	kept    bool       // is in turns.kept
}

// kept is a line that is kept, though it may be empty, to know who was last.
type kept struct {
	person consent.Pseudonym
	until  time.Time // when to look whether it still is
}

// party is what one client, or a group that counts as one, has in a line.
type party struct {
	name    string
	waiting []consent.ID // as they came
}

func newTurns() *turns {
	return &turns{people: make(map[consent.Pseudonym]*line), places: make(map[consent.ID]consent.Pseudonym)}
}

// line returns a person's, a new one if need be. t.mu is held.
func (t *turns) line(p consent.Pseudonym) *line {
	l := t.people[p]
	if l == nil {
		l = &line{}
		t.people[p] = l
	}
	return l
}

// join lets a request wait, unless it does, and returns how many others do.
func (t *turns) join(p consent.Pseudonym, name string, id consent.ID) (others int, joined bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.line(p)
	if _, waits := t.places[id]; waits {
		return l.len() - 1, false
	}
	t.places[id] = p
	at := slices.IndexFunc(l.parties, func(q party) bool { return q.name == name })
	if at < 0 {
		at = len(l.parties)
		l.parties = append(l.parties, party{name: name})
	}
	l.parties[at].waiting = append(l.parties[at].waiting, id)
	return l.len() - 1, true
}

// leave takes a request out of its line, and says whose that is if it waited.
func (t *turns) leave(id consent.ID) (p consent.Pseudonym, waited bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p, waited = t.places[id]; waited {
		t.remove(p, t.people[p], id)
		t.drop(p, t.people[p])
	}
	return p, waited
}

// remove takes a request out of a line. t.mu is held.
func (t *turns) remove(p consent.Pseudonym, l *line, id consent.ID) {
	delete(t.places, id)
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

// drop forgets a line where nobody waits and nobody was last. t.mu is held.
func (t *turns) drop(p consent.Pseudonym, l *line) {
	if len(l.parties) == 0 && !l.kept {
		delete(t.people, p)
	}
}

// rang says that a request of that party has the prompt, until the time given:
// it leaves, and another party is next.
func (t *turns) rang(p consent.Pseudonym, name string, id consent.ID, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.line(p)
	t.remove(p, l, id)
	l.last, l.rings, l.until = name, id, until
	if !l.kept {
		l.kept = true
		t.kept = append(t.kept, kept{p, until})
	}
}

// rings reports whether a request has the prompt.
func (t *turns) rings(p consent.Pseudonym, id consent.ID, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.people[p]
	return l != nil && l.rings == id && now.Before(l.until)
}

// yield says that a request has the prompt no longer, unless it has made use of it
// since it has it. It reports whether it had it.
func (t *turns) yield(p consent.Pseudonym, id consent.ID, used func(since time.Time) bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.people[p]
	if l == nil || l.rings != id || used(l.until.Add(-slotLife)) {
		return false
	}
	l.rings = consent.ID{}
	return true
}

// sweep forgets who was last in lines where nobody waits, once that prompt is
// over.
func (t *turns) sweep(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	over := func(until time.Time) bool { return now.After(until.Add(skew)) }
	for len(t.kept) > 0 {
		k := t.kept[0]
		l, set := t.people[k.person], k.until.After(now.Add(slotLife+skew)) // somebody has set the clock back
		if !set && !over(k.until) {
			break
		}
		t.kept = t.kept[1:]
		if set && l.until.After(now.Add(slotLife)) {
			l.until = now.Add(slotLife)
		}
		if len(l.parties) == 0 && over(l.until) {
			delete(t.people, k.person)
		} else {
			t.kept = append(t.kept, kept{k.person, now.Add(slotLife)})
		}
	}
	if len(t.kept) == 0 {
		t.kept = nil
	}
}

// next returns the request whose turn it is. Those that wait no longer are
// forgotten on the way; waits must not call turns.
func (t *turns) next(p consent.Pseudonym, waits func(consent.ID) bool) (id consent.ID, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.people[p]
	if l == nil {
		return id, false
	}
	for len(l.parties) > 0 {
		l.turn()
		if id := l.parties[0].waiting[0]; waits(id) {
			return id, true
		}
		t.remove(p, l, l.parties[0].waiting[0])
	}
	t.drop(p, l)
	return id, false
}

// before is how many others go before a request, as the turns are now.
func (t *turns) before(p consent.Pseudonym, id consent.ID) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.people[p]
	if l == nil {
		return 0
	}
	l.turn()
	at := slices.IndexFunc(l.parties, func(q party) bool { return slices.Contains(q.waiting, id) })
	if at < 0 {
		return 0
	}
	rounds := slices.Index(l.parties[at].waiting, id) // of everybody before the one in which it goes
	for i, q := range l.parties {
		switch {
		case i < at:
			n += min(len(q.waiting), rounds+1)
		default:
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

// turn puts the party first whose turn it is: whoever had the prompt last goes
// to the end.
func (l *line) turn() {
	if len(l.parties) > 1 && l.parties[0].name == l.last {
		l.parties = append(l.parties[1:], l.parties[0])
	}
}

func (l *line) len() (n int) {
	for _, q := range l.parties {
		n += len(q.waiting)
	}
	return n
}
