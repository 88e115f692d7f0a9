package store

// number names a value in a slab; 0 is none.
type number uint32

// slabChunk is the number of values that are allocated together.
const slabChunk = 1024

// slab holds values under numbers. The garbage collector follows every
// pointer there is, which takes long where there are millions; it passes over
// values that name each other by number and hold no pointer. The zero slab is
// empty.
type slab[T any] struct {
	chunks []*[slabChunk]T
	given  number   // the highest number there is
	free   []number // to be given again; their chunks stay, as a map's memory does
}

// add keeps v and returns its number.
func (s *slab[T]) add(v T) number {
	var n number
	if last := len(s.free) - 1; last >= 0 {
		n, s.free = s.free[last], s.free[:last]
	} else {
		if int(s.given) == len(s.chunks)*slabChunk {
			s.chunks = append(s.chunks, new([slabChunk]T))
		}
		s.given++
		n = s.given
	}
	*s.at(n) = v
	return n
}

// at returns the value of a number, nil for none. It stays where it is until
// it is removed.
func (s *slab[T]) at(n number) *T {
	if n == 0 {
		return nil
	}
	return &s.chunks[(n-1)/slabChunk][(n-1)%slabChunk]
}

// remove forgets the value of a number, which then is another's.
func (s *slab[T]) remove(n number) {
	var zero T
	*s.at(n) = zero
	s.free = append(s.free, n)
}
