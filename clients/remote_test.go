package clients

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringback/outbound"
)

// shelf is a remote whose other side is a function, with a clock of its own.
type shelf struct {
	*remote[string]
	clock time.Time
	asked atomic.Int64
	body  func(address string) (string, error)
}

func newShelf(lenient bool) *shelf {
	s := &shelf{clock: time.Unix(1e9, 0), body: func(address string) (string, error) { return "of " + address, nil }}
	s.remote = (&remote[string]{
		least: time.Minute, most: staleTime, lenient: lenient, now: func() time.Time { return s.clock }, log: slog.New(slog.DiscardHandler),
		read: func(_ context.Context, address string) (string, *outbound.Response, error) {
			s.asked.Add(1)
			text, err := s.body(address)
			return text, &outbound.Response{Body: []byte(text), Header: http.Header{}}, err
		},
	}).open()
	return s
}

// kept returns the bytes of what gave something, and whether they are counted
// right, within bounds, and no address is kept twice.
func (s *shelf) kept() (total int, well bool) {
	both := false
	for _, e := range s.good.Values() {
		total += e.size
		both = both || s.bad.Contains(e.address)
	}
	return total, !both && total == s.bytes && total <= maxFetchedBytes
}

var (
	errPassing = error(&outbound.FetchError{Rule: outbound.RuleTooSlow})
	errFirm    = error(&outbound.FetchError{Rule: outbound.RuleStatus, Status: 404})
)

// TestRemoteStale: what was read serves for a day when the other side cannot
// be reached; what it takes back is over at once, but for keys.
func TestRemoteStale(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		lenient bool
		err     error
		stays   bool
	}{
		{"keys, unreachable", true, errPassing, true},
		{"keys, gone", true, errFirm, true},
		{"keys, broken", true, errKeys, true},
		{"document, unreachable", false, errPassing, true},
		{"document, gone", false, errFirm, false},
		{"document, broken", false, errSyntax, false},
	} {
		s := newShelf(tt.lenient)
		get := func(newest bool) (string, error) { return s.get(t.Context(), "a", "client", newest) }
		if got, err := get(false); got != "of a" || err != nil {
			t.Fatalf("%s: %q, %v", tt.name, got, err)
		}
		s.body = func(string) (string, error) { return "", tt.err }
		s.clock = s.clock.Add(defaultLife)
		got, err := get(false)
		if stays := got == "of a" && err == nil; stays != tt.stays || !stays && !errors.Is(err, tt.err) {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
		s.clock = s.clock.Add(staleTime - defaultLife)
		if got, err := get(true); got != "" || !errors.Is(err, tt.err) {
			t.Errorf("%s, a day later: %q, %v", tt.name, got, err)
		}
		s.body = func(string) (string, error) { return "new", nil }
		s.clock = s.clock.Add(pause)
		if got, err := get(false); got != "new" || err != nil {
			t.Errorf("%s, recovered: %q, %v", tt.name, got, err)
		}
	}
}

// TestRemotePause: however often somebody wants the newest, and whatever comes
// of it, an address is asked every half minute at most.
func TestRemotePause(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{"answers": nil, "passing": errPassing, "firm": errFirm} {
		s := newShelf(false)
		s.body = func(string) (string, error) { return "x", err }
		for range 120 * 10 {
			s.get(t.Context(), "a", "client", true)
			s.clock = s.clock.Add(100 * time.Millisecond)
		}
		if got := s.asked.Load(); got != 4 {
			t.Errorf("%s: asked %d times in two minutes, want 4", name, got)
		}
	}
}

// TestRemoteBusy: a turn that never came is no failure of the address.
func TestRemoteBusy(t *testing.T) {
	t.Parallel()
	s := newShelf(false)
	s.body = func(string) (string, error) { return "", ErrBusy }
	if _, err := s.get(t.Context(), "a", "client", false); !errors.Is(err, ErrBusy) {
		t.Errorf("get = %v", err)
	}
	s.body = func(string) (string, error) { return "x", nil }
	if got, err := s.get(t.Context(), "a", "client", false); got != "x" || err != nil {
		t.Errorf("get right afterwards = %q, %v", got, err)
	}
}

// TestRemoteOnce: whoever comes while an address is asked waits for that answer,
// as long as his own request lasts; who has something to go on does not wait.
func TestRemoteOnce(t *testing.T) {
	t.Parallel()
	s := newShelf(false)
	asked, answer := make(chan struct{}, 8), make(chan struct{})
	s.body = func(string) (string, error) {
		asked <- struct{}{}
		<-answer
		return "x", nil
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if got, err := s.get(t.Context(), "a", "client", true); got != "x" || err != nil {
				t.Errorf("get = %q, %v", got, err)
			}
		})
	}
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.get(ctx, "a", "client", false); !errors.Is(err, context.Canceled) {
		t.Errorf("get when cancelled = %v", err)
	}
	close(answer)
	if all.Wait(); s.asked.Load() != 1 {
		t.Errorf("asked %d times", s.asked.Load())
	}

	answer = make(chan struct{})
	s.clock = s.clock.Add(defaultLife)
	all.Go(func() { s.get(t.Context(), "a", "client", false) })
	<-asked
	if got, err := s.get(t.Context(), "a", "client", false); got != "x" || err != nil {
		t.Errorf("get while it is asked again = %q, %v", got, err)
	}
	close(answer)
	all.Wait()
}

// TestRemotePanic: a fetch that panics leaves nobody waiting.
func TestRemotePanic(t *testing.T) {
	t.Parallel()
	s := newShelf(false)
	s.body = func(string) (string, error) { panic("x") }
	func() {
		defer func() { recover() }()
		s.get(t.Context(), "a", "client", false)
	}()
	s.body = func(string) (string, error) { return "x", nil }
	if got, err := s.get(t.Context(), "a", "client", false); got != "x" || err != nil {
		t.Errorf("get afterwards = %q, %v", got, err)
	}
}

// TestRemoteBounds: a stranger with endless addresses costs bounded memory, and
// those that give nothing do not push out those that do.
func TestRemoteBounds(t *testing.T) {
	t.Parallel()
	s := newShelf(false)
	s.get(t.Context(), "mine", "client", false)
	s.body = func(string) (string, error) { return "", errFirm }
	for i := range 5 * maxFailed {
		s.get(t.Context(), fmt.Sprint("bad", i), "attacker", false)
	}
	if s.bad.Len() != maxFailed || s.good.Len() != 1 {
		t.Errorf("%d failures kept beside %d entries", s.bad.Len(), s.good.Len())
	}
	before := s.asked.Load()
	if got, _ := s.get(t.Context(), "mine", "client", false); got != "of mine" || s.asked.Load() != before {
		t.Errorf("what was read is gone: %q", got)
	}
	s.body = func(string) (string, error) { return "small", nil }
	for i := range 2 * maxFetched {
		s.get(t.Context(), fmt.Sprint("good", i), "attacker", false)
		if i%1000 == 0 {
			s.get(t.Context(), "mine", "client", false)
		}
	}
	if s.good.Len() != maxFetched || !s.good.Contains("mine") {
		t.Errorf("%d entries kept, the one in use among them: %v", s.good.Len(), s.good.Contains("mine"))
	}
	large := strings.Repeat("x", 64<<10)
	s.body = func(string) (string, error) { return large, nil }
	for i := range 400 {
		s.get(t.Context(), fmt.Sprint("large", i), "attacker", false)
	}
	if total, well := s.kept(); !well || total < maxFetchedBytes-len(large) {
		t.Errorf("%d bytes kept, %d counted", total, s.bytes)
	}
	s.clock = s.clock.Add(pause)
	s.body = func(string) (string, error) { return "less", nil }
	s.get(t.Context(), "large399", "client", true)
	if total, well := s.kept(); !well {
		t.Errorf("%d bytes kept, %d counted when one became smaller", total, s.bytes)
	}
	s.clock = s.clock.Add(staleTime)
	s.body = func(string) (string, error) { return "", errFirm }
	for _, address := range append(s.good.Keys(), s.bad.Keys()...) {
		s.get(t.Context(), address, "client", false)
	}
	if s.bytes != 0 || s.good.Len() != 0 {
		t.Errorf("%d bytes of %d entries are left after all were taken back", s.bytes, s.good.Len())
	}
}

// TestRemoteRace: entries come and go while they are asked for.
func TestRemoteRace(t *testing.T) {
	t.Parallel()
	s := newShelf(false)
	var turn atomic.Int64
	s.body = func(string) (string, error) {
		if turn.Add(1)%3 == 0 {
			return "", errFirm
		}
		return strings.Repeat("x", 60<<10), nil
	}
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 500 {
				s.get(t.Context(), fmt.Sprint(i*(w%3+1)), "client", i%7 == 0)
			}
		})
	}
	all.Wait()
	if total, well := s.kept(); !well {
		t.Errorf("%d bytes kept, %d counted, %d and %d entries", total, s.bytes, s.good.Len(), s.bad.Len())
	}
}

// TestSlots: one slow host has few fetches at a time, and others their own.
func TestSlots(t *testing.T) {
	t.Parallel()
	s := newSlots()
	var free []func()
	for i := range hostSlots {
		f, err := s.take(t.Context(), fmt.Sprintf("https://slow.example/%d", i))
		if err != nil {
			t.Fatal(err)
		}
		free = append(free, f)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.take(over, "https://slow.example/x"); !errors.Is(err, ErrBusy) {
		t.Errorf("take of one more = %v", err)
	}
	others := 0
	for i := range 100 {
		if f, err := s.take(over, fmt.Sprintf("https://host%d.example/", i)); err == nil {
			f()
			others++
		}
	}
	if others == 0 {
		t.Error("one slow host keeps all others out")
	}
	free[0]()
	if _, err := s.take(t.Context(), "https://slow.example/x"); err != nil {
		t.Errorf("take of one that was given back = %v", err)
	}
}

func TestLifeOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		control, age string
		want         time.Duration
	}{
		{"", "", defaultLife},
		{"public", "", defaultLife},
		{"max-age=60", "", time.Minute},
		{"public,Max-Age=60, must-revalidate", "", time.Minute},
		{`max-age="60"`, "", time.Minute},
		{"max-age=60", "45", 15 * time.Second},
		{"max-age=60", "61", 0},
		{"max-age=60", "x", time.Minute},
		{"max-age=60, max-age=30", "", 30 * time.Second},
		{"max-age=0", "", 0},
		{"max-age", "", 0},
		{"max-age=-1", "", 0},
		{"max-age=1.5", "", 0},
		{"max-age=99999999999999999999", "", 365 * 24 * time.Hour},
		{"no-store, max-age=60", "", 0},
		{"max-age=60, no-cache", "", 0},
		{"s-maxage=60", "", defaultLife},
		{"x-max-age=60", "", defaultLife},
	} {
		h := http.Header{}
		if tt.control != "" {
			h.Set("Cache-Control", tt.control)
		}
		h.Set("Age", tt.age)
		if got := lifeOf(h); got != tt.want {
			t.Errorf("lifeOf(%q, age %q) = %v, want %v", tt.control, tt.age, got, tt.want)
		}
	}
}

func FuzzLifeOf(f *testing.F) {
	for _, s := range []string{"max-age=60", "public, max-age=\"1\"", "no-store", "max-age=,", "=,=", "max-age=9999999999"} {
		f.Add(s, "5")
	}
	f.Fuzz(func(t *testing.T, control, age string) {
		got := lifeOf(http.Header{"Cache-Control": {control}, "Age": {age}})
		if got < 0 || got > 365*24*time.Hour {
			t.Errorf("lifeOf(%q, %q) = %v", control, age, got)
		}
	})
}
