package store

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"ringback/consent"
)

// TestTail reads facts that the follower was fed and the same ones from the
// stream, from every place and in pieces: there is no difference.
func TestTail(t *testing.T) {
	t.Parallel()
	s, ctx := newAlone(t).open(t), t.Context()
	if err := s.AddPerson(ctx, alice()); err != nil {
		t.Fatal(err)
	}
	const facts = 40
	for range facts / 2 {
		askFor(t, s, "alice-7f3a")
	}
	held := func() int {
		s.tail.mu.Lock()
		defer s.tail.mu.Unlock()
		return len(s.tail.messages)
	}
	eventually(t, "every fact in the tail", func() bool { return held() == facts })
	for after := range uint64(facts + 1) {
		for _, limit := range []int{1, 7, facts, 2 * facts} {
			stream, err := s.messagesAfter(ctx, streamConsent, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			want, err := s.storedFacts(ctx, stream)
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Facts(ctx, after, limit)
			for i := range min(len(got), len(want)) { // the server's time, or ours when it was acknowledged
				if got[i].At.Sub(want[i].At).Abs() > time.Minute {
					t.Fatalf("fact %d was stored at %v, want %v", got[i].Seq, got[i].At, want[i].At)
				}
				got[i].At = want[i].At
			}
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("Facts(%d, %d) = %+v, %v, want %+v", after, limit, got, err, want)
			}
		}
		if n := held(); n != facts-int(after) {
			t.Fatalf("after Facts(%d) the tail has %d facts, want %d", after, n, facts-int(after))
		}
	}
	// What the tail has forgotten is still in the stream.
	if again, err := s.Facts(ctx, 0, facts); err != nil || len(again) != facts || again[0].Seq != 1 || again[0].Kind != consent.FactAsked {
		t.Errorf("Facts from the beginning = %d facts, %v", len(again), err)
	}
}

// TestTailBounds looks at what a tail gives when it was not there from the
// beginning, when messages are gone from the stream, and when nobody reads.
func TestTailBounds(t *testing.T) {
	sequences := func(list []message) string {
		out := []uint64{}
		for _, m := range list {
			out = append(out, m.seq)
		}
		return fmt.Sprint(out)
	}
	var young tail
	for _, seq := range []uint64{5, 6, 9} { // 7 and 8 aged out
		young.add(message{seq: seq})
	}
	for _, c := range []struct {
		after uint64
		limit int
		want  string
	}{
		{3, 9, "[]"}, // 4 may be in the stream
		{4, 2, "[5 6]"}, {4, 9, "[5 6 9]"}, {7, 9, "[9]"}, {8, 9, "[9]"}, {9, 9, "[]"}, {4, 9, "[]"},
	} {
		if got := sequences(young.after(c.after, c.limit)); got != c.want {
			t.Errorf("after(%d, %d) = %s, want %s", c.after, c.limit, got, c.want)
		}
	}
	for _, seq := range []uint64{9, 10, 10, 6} { // some come again
		young.add(message{seq: seq})
	}
	if got := sequences(young.after(9, 9)); got != "[10]" {
		t.Errorf("after(9) = %s, want the one that came later", got)
	}

	var full tail
	data := make([]byte, 64<<10)
	const n = 3 * tailBytes / (64 << 10)
	for seq := range uint64(n) {
		full.add(message{seq: seq + 1, data: data})
	}
	if full.size > tailBytes || full.size < tailBytes/2 {
		t.Errorf("a tail that nobody reads has %d bytes, want at most %d", full.size, tailBytes)
	}
	if list := full.after(0, n); len(list) != 0 {
		t.Errorf("after(0) = %d messages although the first is gone", len(list))
	}
	if list := full.after(full.from, n); len(list) == 0 || list[len(list)-1].seq != n {
		t.Errorf("after(%d) = %d messages, want all that are left", full.from, len(list))
	}
}
