package store

import (
	"cmp"
	"context"
	"slices"

	"ringback/consent"
)

// listMax bounds one page of a list.
const listMax = 1000

// Clients lists clients by id, at most limit of those behind the cursor;
// next is the cursor of the next page, empty at the end. Entries that come
// and go meanwhile neither shift nor repeat the others.
func (s *Store) Clients(_ context.Context, after string, limit int) (list []consent.Client, next string, err error) {
	d := s.dir
	d.mu.RLock()
	defer d.mu.RUnlock()
	ids, next := page(after, limit, keysOf(d.file.clients), keysOf(d.kept.clients))
	for _, id := range ids {
		c, ok := d.file.clients[id]
		if !ok {
			c = d.kept.clients[id]
		}
		list = append(list, *c)
	}
	return list, next, nil
}

// People lists people by id, as Clients does.
func (s *Store) People(_ context.Context, after string, limit int) (list []consent.Person, next string, err error) {
	d := s.dir
	d.mu.RLock()
	defer d.mu.RUnlock()
	ids, next := page(after, limit, keysOf(d.file.byID), keysOf(d.kept.byID))
	for _, id := range ids {
		e, ok := d.file.byID[id]
		if !ok {
			e = d.kept.byID[id]
		}
		list = append(list, *e.person)
	}
	return list, next, nil
}

type keySeq = func(yield func(string) bool)

func keysOf[V any](m map[string]V) keySeq {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// page picks the limit smallest distinct ids above after, in order, without
// sorting all of them.
func page(after string, limit int, sources ...keySeq) (ids []string, next string) {
	limit = min(max(limit, 1), listMax)
	room := limit + 1 // one more tells whether there is a next page
	for _, source := range sources {
		for id := range source {
			if id <= after {
				continue
			}
			at, found := slices.BinarySearchFunc(ids, id, cmp.Compare[string])
			if found || at == room {
				continue
			}
			ids = slices.Insert(ids, at, id)
			ids = ids[:min(len(ids), room)]
		}
	}
	if len(ids) == room {
		ids = ids[:limit]
		return ids, ids[limit-1]
	}
	return ids, ""
}
