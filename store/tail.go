package store

import (
	"slices"
	"sync"
)

// tailBytes bounds the facts that the tail holds.
const tailBytes = 8 << 20

// tail holds the newest facts without a gap. The auditor, who comes right behind,
// takes them from here: the server makes a new header of each message that it is
// asked for, which costs it more than storing the fact did.
type tail struct {
	mu       sync.Mutex
	messages []message
	from     uint64 // every fact above this sequence and up to the last one taken is here
	size     int    // bytes of messages
}

// add takes the next message of the stream; one that was there does not count.
// The oldest go where there are too many: nobody seals, or not fast enough.
func (t *tail) add(m message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch n := len(t.messages); {
	case n == 0 && t.from == 0:
		t.from = m.seq - 1
	case n == 0 && m.seq <= t.from || n > 0 && m.seq <= t.messages[n-1].seq:
		return
	}
	t.messages = append(t.messages, m)
	t.size += m.bytes()
	for t.size > tailBytes {
		t.drop()
	}
}

// after returns at most limit messages with a sequence above seq, and forgets
// those before: whoever asks has dealt with them. It returns none if the first
// of them may be missing here.
func (t *tail) after(seq uint64, limit int) []message {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.messages) > 0 && t.messages[0].seq <= seq {
		t.drop()
	}
	if seq < t.from {
		return nil
	}
	return slices.Clone(t.messages[:min(limit, len(t.messages))])
}

// drop forgets the oldest message. t.mu is held.
func (t *tail) drop() {
	m := &t.messages[0]
	t.from = m.seq
	t.size -= m.bytes()
	*m = message{} // its place in the array lives longer
	t.messages = t.messages[1:]
}

// bytes is about what a message takes in memory.
func (m *message) bytes() int {
	return len(m.subject) + len(m.label) + len(m.data) + 128
}
