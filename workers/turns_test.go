package workers

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"ringback/consent"
)

const somebody consent.Pseudonym = "p"

// named returns an id that a test can name.
func named(n byte) (id consent.ID) {
	id[0], id[len(id)-1] = n, 1
	return id
}

func everybody(consent.ID) bool { return true }

// TestTurns: who rings after whom. A word is a request: its letter is its party.
func TestTurns(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		last string // party that had the prompt last
		join []string
		want []string
	}{
		{"as they came", "", []string{"a1", "a2", "a3"}, []string{"a1", "a2", "a3"}},
		{"in turn by party", "", []string{"a1", "a2", "b1", "b2", "c1"}, []string{"a1", "b1", "c1", "a2", "b2"}},
		{"names do not matter", "", []string{"c1", "b1", "a1"}, []string{"c1", "b1", "a1"}},
		{"one with many holds up a single one by one prompt", "", []string{"a1", "a2", "a3", "a4", "b1"}, []string{"a1", "b1", "a2", "a3", "a4"}},
		{"whoever was last is next to none", "a", []string{"a1", "b1"}, []string{"b1", "a1"}},
		{"whoever was last goes to the end", "a", []string{"a1", "b1", "c1", "b2"}, []string{"b1", "c1", "a1", "b2"}},
		{"the last one, alone", "a", []string{"a1", "a2"}, []string{"a1", "a2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := newTurns()
			if tt.last != "" {
				q.rang(somebody, tt.last, named(0), t0)
			}
			ids, words := map[string]consent.ID{}, map[consent.ID]string{}
			for i, word := range tt.join {
				id := named(byte(i + 1))
				ids[word], words[id] = id, word
				if others, joined := q.join(somebody, word[:1], id); others != i || !joined {
					t.Errorf("join(%s) = %d, %v, want %d", word, others, joined, i)
				}
				if others, joined := q.join(somebody, word[:1], id); others != i || joined {
					t.Errorf("join(%s) again = %d, %v", word, others, joined)
				}
			}
			for i, word := range tt.want {
				if n := q.before(somebody, ids[word]); n != i {
					t.Errorf("before(%s) = %d, want %d", word, n, i)
				}
			}
			var got []string
			for range tt.want {
				id, ok := q.next(somebody, everybody)
				if !ok {
					t.Fatalf("nobody is next after %v", got)
				}
				got = append(got, words[id])
				q.rang(somebody, words[id][:1], id, t0)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("rang %v, want %v", got, tt.want)
			}
			if id, ok := q.next(somebody, everybody); ok {
				t.Errorf("%s is next after all", words[id])
			}
		})
	}
}

// TestTurnsRing: who has the prompt, and until when.
func TestTurnsRing(t *testing.T) {
	t.Parallel()
	q, a, b := newTurns(), named(1), named(2)
	q.rang(somebody, "x", a, at(60))
	for _, tt := range []struct {
		id   consent.ID
		now  float64
		want bool
	}{{a, 0, true}, {a, 59, true}, {a, 60, false}, {b, 0, false}, {consent.ID{}, 0, false}} {
		if got := q.rings(somebody, tt.id, at(tt.now)); got != tt.want {
			t.Errorf("rings(%v) after %v s = %v, want %v", tt.id[0], tt.now, got, tt.want)
		}
	}
	if q.rings("q", a, t0) || q.yield("q", a, unused) || q.yield(somebody, b, unused) {
		t.Error("somebody else has the prompt")
	}
	if q.yield(somebody, a, func(since time.Time) bool { return since.Equal(t0) }) || !q.rings(somebody, a, t0) {
		t.Error("a request gives the prompt back that it has used")
	}
	if !q.yield(somebody, a, unused) || q.rings(somebody, a, t0) || q.yield(somebody, a, unused) {
		t.Error("a request gives the prompt back, once")
	}
}

// TestTurnsForget: lines and places where nobody is are not remembered, whatever
// was done to the clock.
func TestTurnsForget(t *testing.T) {
	t.Parallel()
	q := newTurns()
	empty := func(when string) {
		t.Helper()
		if len(q.people)+len(q.places)+len(q.kept) != 0 {
			t.Errorf("%s: %d lines, %d places, %d kept", when, len(q.people), len(q.places), len(q.kept))
		}
	}
	id := named(1)
	q.join(somebody, "a", id)
	if p, waited := q.leave(id); p != somebody || !waited {
		t.Errorf("leave = %q, %v", p, waited)
	}
	if _, waited := q.leave(id); waited {
		t.Error("left twice")
	}
	empty("left")

	q.join(somebody, "a", id)
	q.next(somebody, func(consent.ID) bool { return false })
	empty("waits no longer")

	for range 100 { // it rings again and again
		q.rang(somebody, "a", id, at(60))
	}
	if len(q.kept) != 1 {
		t.Errorf("%d notes of one line", len(q.kept))
	}
	q.rang("q", "a", named(2), at(60))
	q.join("q", "a", named(3))
	q.sweep(at(60))
	if len(q.people) != 2 {
		t.Errorf("%d lines at the end of the prompt, want both", len(q.people))
	}
	q.sweep(at(66))
	if len(q.people) != 1 || q.waiting("q") != 1 {
		t.Errorf("%d lines, want that in which somebody waits", len(q.people))
	}
	q.rang("q", "a", named(3), at(180)) // a later prompt
	q.sweep(at(170))
	if l := q.people["q"]; l == nil || l.last != "a" {
		t.Error("forgot who was last while it rings")
	}
	q.sweep(at(186))
	q.sweep(at(300))
	empty("swept")

	q.rang(somebody, "a", id, at(3660)) // then the clock is set back by an hour
	q.sweep(at(1))
	q.sweep(at(120))
	empty("swept after the clock was set back")
}

// TestTurnsModel does random things in a few lines. Nobody who waits is
// forgotten, who came first of a party goes first, and no party is passed over by
// another one more than once.
func TestTurnsModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		q := newTurns()
		people, parties := []consent.Pseudonym{"p", "q"}, []string{"a", "b", "c", "d"}
		type who struct {
			person consent.Pseudonym
			party  string
		}
		waiting := map[who][]consent.ID{}                       // as they came
		passed := map[who]map[string]int{}                      // prompts of others while somebody of that party waited
		of, gone := map[consent.ID]who{}, map[consent.ID]bool{} // gone: waits no longer, which nobody has said
		waits := func(id consent.ID) bool { return !gone[id] }
		drop := func(id consent.ID) {
			w := of[id]
			waiting[w] = slices.DeleteFunc(waiting[w], func(other consent.ID) bool { return other == id })
			if len(waiting[w]) == 0 {
				delete(passed, w)
			}
		}
		ring := func(p consent.Pseudonym) bool {
			for w, list := range waiting { // those are found out on the way
				if w.person == p {
					for _, id := range slices.Clone(list) {
						if gone[id] {
							drop(id)
						}
					}
				}
			}
			id, ok := q.next(p, waits)
			n := 0
			for w, list := range waiting {
				if w.person == p {
					n += len(list)
				}
			}
			if ok != (n > 0) {
				t.Fatalf("seed %d: next = %v, while %d wait", seed, ok, n)
			}
			if !ok {
				return false
			}
			w := of[id]
			if w.person != p || waiting[w][0] != id {
				t.Fatalf("seed %d: next = %v of %v, want its first", seed, id, w)
			}
			q.rang(p, w.party, id, t0)
			drop(id)
			delete(passed, w)
			for other, list := range waiting {
				if other.person == p && other != w && len(list) > 0 {
					if passed[other] == nil {
						passed[other] = map[string]int{}
					}
					if passed[other][w.party]++; passed[other][w.party] > 1 {
						t.Fatalf("seed %d: %s passed over %s twice", seed, w.party, other.party)
					}
				}
			}
			return true
		}
		for range 120 {
			w := who{people[rnd.IntN(2)], parties[rnd.IntN(len(parties))]}
			list := waiting[w]
			switch act := rnd.IntN(10); {
			case act < 5:
				id := consent.NewID()
				of[id] = w
				q.join(w.person, w.party, id)
				waiting[w] = append(list, id)
			case act < 6 && len(list) > 0:
				id := list[rnd.IntN(len(list))]
				if p, waited := q.leave(id); p != w.person || !waited {
					t.Fatalf("seed %d: leave = %v, %v", seed, p, waited)
				}
				drop(id)
			case act < 7 && len(list) > 0:
				gone[list[rnd.IntN(len(list))]] = true
			default:
				ring(w.person)
			}
		}
		for _, p := range people { // and in the end all ring, as they were told
			for id := range gone {
				q.leave(id)
				drop(id)
			}
			ring(p)
			told := map[consent.ID]int{}
			for w, list := range waiting {
				for _, id := range list {
					if w.person == p {
						told[id] = q.before(p, id)
					}
				}
			}
			for i := 0; ; i++ {
				id, ok := q.next(p, waits)
				if !ok {
					break
				}
				if n, known := told[id]; !known || n != i {
					t.Fatalf("seed %d: rang after %d, told after %d, %v", seed, i, n, known)
				}
				ring(p)
			}
		}
		q.sweep(t0.Add(time.Hour))
		if got := fmt.Sprint(len(q.people), len(q.places), len(q.kept)); got != "0 0 0" {
			t.Fatalf("seed %d: lines, places and notes in the end: %s", seed, got)
		}
	}
}
