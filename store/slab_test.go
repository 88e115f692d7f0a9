package store

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"ringback/consent"
)

// TestNoPointers: there may be millions of these, and the garbage collector
// would follow each.
func TestNoPointers(t *testing.T) {
	t.Parallel()
	var walk func(path string, typ reflect.Type)
	walk = func(path string, typ reflect.Type) {
		switch kind := typ.Kind(); {
		case kind == reflect.Struct:
			for f := range typ.Fields() {
				walk(path+"."+f.Name, f.Type)
			}
		case kind == reflect.Array:
			walk(path, typ.Elem())
		case kind < reflect.Bool || kind > reflect.Float64:
			t.Errorf("%s is a %s", path, typ)
		}
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[entry](), reflect.TypeFor[past](), reflect.TypeFor[chain]()} {
		walk(typ.Name(), typ)
	}
}

func TestSlab(t *testing.T) {
	t.Parallel()
	const many = 3*slabChunk + 1
	var s slab[int]
	if s.at(0) != nil {
		t.Error("there is a value of number 0")
	}
	var numbers []number
	for i := range many {
		numbers = append(numbers, s.add(i))
	}
	first := s.at(numbers[0])
	for i, n := range numbers {
		if *s.at(n) != i {
			t.Fatalf("at(%d) = %d, want %d", n, *s.at(n), i)
		}
		if i%2 == 1 {
			s.remove(n)
		}
	}
	for range many / 2 {
		if n := s.add(-1); n == 0 || int(n) > many || n%2 == 1 {
			t.Fatalf("add = %d, which was not free", n)
		}
	}
	if n := s.add(0); int(n) != many+1 {
		t.Errorf("add = %d with none free, want %d", n, many+1)
	}
	if s.at(numbers[0]) != first {
		t.Error("a value has moved")
	}
}

// ghost is a request as TestPlacesAreUsedAgain remembers it.
type ghost struct {
	consent.Brief
	seq    uint64
	asker  identity
	ended  time.Time
	isPast bool
}

// TestPlacesAreUsedAgain has requests come and go for two days, and compares
// with a list of them: nothing shows what was at its place before.
func TestPlacesAreUsedAgain(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 2))
			s, c := bare(), newStill()
			s.index = newIndex(c.now)
			var all []*ghost // in the order of the stream
			var seq uint64
			ask := func() {
				seq++
				g := &ghost{seq: seq, asker: identity{client: fmt.Sprint("client-", rnd.IntN(2000))}}
				if rnd.IntN(2) == 0 {
					g.asker.group = "group"
				}
				g.Brief = consent.Brief{
					ID: consent.NewID(), Client: g.asker.client, Pseudonym: consent.Pseudonym(fmt.Sprintf("person-%09d", rnd.IntN(300))),
					AskedAt: c.at, ExpiresAt: c.at.Add(time.Hour), Interval: rnd.IntN(9), Same: [8]byte{byte(seq)}, Binding: [8]byte{7: byte(seq)},
				}
				all = append(all, g)
			}
			tell := func(g *ghost) {
				s.index.apply(place{ID: g.ID, Kind: consent.FactAsked}, &label{
					Pseudonym: g.Pseudonym, At: g.AskedAt, Expires: g.ExpiresAt, Client: g.Client, Group: g.asker.group,
					Interval: g.Interval, Same: g.Same, Binding: g.Binding,
				}, g.seq)
			}
			end := func(g *ghost) {
				if g.Decided != "" {
					return
				}
				g.Decided, g.EndedAt, g.ended = consent.Denied, c.at, c.at
				s.index.apply(place{ID: g.ID, Kind: consent.FactDecided}, &label{At: c.at, Verb: string(consent.Denied)}, 0)
			}
			for round := range 60 {
				from := len(all)
				for range rnd.IntN(150) {
					ask()
				}
				for _, i := range rnd.Perm(len(all) - from) { // other processes' are late
					tell(all[from+i])
				}
				for range rnd.IntN(200) {
					if len(all) > 0 {
						end(all[rnd.IntN(len(all))])
					}
				}
				c.at = c.at.Add(time.Duration(rnd.IntN(110)) * time.Minute)
				s.index.sweep(keepEnded)
				all = slices.DeleteFunc(all, func(g *ghost) bool {
					g.isPast = g.isPast || g.Decided != "" && g.ended.Before(c.at.Add(-keepEnded))
					return g.isPast && !g.AskedAt.After(c.at.Add(-keepPast)) || g.AskedAt.Before(c.at.Add(-keepAny))
				})
				if round == 40 {
					s.index.reset()
					all = nil
				}
				compare(t, s, all)
			}
		})
	}
}

func compare(t *testing.T, s *Store, all []*ghost) {
	t.Helper()
	x := s.index
	var open []consent.ID
	people, recent := map[consent.Pseudonym][]consent.ID{}, map[consent.Pseudonym][]consent.Past{}
	users := map[identity]int{}
	for _, g := range all {
		users[g.asker]++
		kept := consent.Past{ID: g.ID, Client: cmp.Or(g.asker.group, g.Client), AskedAt: g.AskedAt, Verb: g.Decided, At: g.ended}
		recent[g.Pseudonym] = append(recent[g.Pseudonym], kept)
		got, ok := s.Peek(g.ID)
		if ok == g.isPast || ok && got != g.Brief {
			t.Fatalf("Peek = %+v, %v, want %+v, %v", got, ok, g.Brief, !g.isPast)
		}
		if !g.isPast {
			open = append(open, g.ID)
			people[g.Pseudonym] = append(people[g.Pseudonym], g.ID)
		}
	}
	walked := func(c chain, of func(*entry) *links) (ids []consent.ID) {
		var before number
		for n := c.first; n != 0; n = of(x.entries.at(n)).next {
			e := x.entries.at(n)
			if of(e).prev != before || x.byID[e.id] != n {
				t.Fatalf("entry %d follows %d, but has %d before it", n, before, of(e).prev)
			}
			ids, before = append(ids, e.id), n
		}
		if c.last != before {
			t.Fatalf("the last is %d, want %d", c.last, before)
		}
		return ids
	}
	if got := walked(x.all, ofAll); !slices.Equal(got, open) {
		t.Fatalf("%d entries in order, want %d", len(got), len(open))
	}
	if len(x.people) != len(people) || len(x.byID) != len(open) || len(x.byName) != len(users) {
		t.Fatalf("%d people, %d entries, %d askers, want %d, %d, %d", len(x.people), len(x.byID), len(x.byName), len(people), len(open), len(users))
	}
	for p, ids := range people {
		if got := walked(x.people[who([]byte(p))], ofPerson); !slices.Equal(got, ids) {
			t.Fatalf("%s has %d entries, want %d", p, len(got), len(ids))
		}
	}
	for p, want := range recent {
		want = slices.DeleteFunc(want, func(p consent.Past) bool { return !p.AskedAt.After(x.now().Add(-keepPast)) })
		got := s.History(p).Recent
		byAll := func(a, b consent.Past) int {
			return cmp.Or(a.AskedAt.Compare(b.AskedAt), a.At.Compare(b.At), cmp.Compare(a.Client, b.Client), bytes.Compare(a.ID[:], b.ID[:]))
		}
		slices.SortFunc(got, byAll)
		slices.SortFunc(want, byAll)
		if !slices.Equal(got, want) {
			t.Fatalf("%s has the history %+v, want %+v", p, got, want)
		}
	}
	for name, n := range users {
		if got := x.askers.at(x.byName[name]).users; got != n {
			t.Fatalf("%+v is used %d times, want %d", name, got, n)
		}
	}
	past := len(all) - len(open)
	if used(&x.entries) != len(open) || used(&x.pasts) != past || used(&x.askers) != len(users) {
		t.Fatalf("%d entries, %d past ones and %d askers have places, want %d, %d, %d",
			used(&x.entries), used(&x.pasts), used(&x.askers), len(open), past, len(users))
	}
}

func used[T any](s *slab[T]) int { return int(s.given) - len(s.free) }
