package clients

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"hash/maphash"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"ringback/outbound"
)

const (
	// fetchTime is how long one fetch may take from asking to refusal. Whoever
	// waits for it has an answer within 5 seconds.
	fetchTime = 4500 * time.Millisecond

	// pause is how long an address is left alone after it was asked.
	pause = 30 * time.Second

	// staleTime is how long after a fetch its yield still serves when nothing
	// newer can be had.
	staleTime = 24 * time.Hour

	// For so long an answer counts at least.
	leastKeys     = time.Minute
	leastDocument = 5 * time.Minute

	// defaultLife is how long an answer counts that does not say it itself.
	defaultLife = 10 * time.Minute

	// Of what was fetched so many entries and bytes are kept, the least
	// recently used go; and of addresses that gave nothing.
	maxFetched      = 4096
	maxFetchedBytes = 16 << 20
	maxFailed       = 1024

	// Addresses of one host share one of these groups, in which few are asked
	// at the same time.
	hostGroups = 32
	hostSlots  = 4
)

// slots bound the fetches that run at the same time, so that one slow host
// does not keep others waiting.
type slots struct {
	seed  maphash.Seed
	group [hostGroups]chan struct{}
}

func newSlots() *slots {
	s := &slots{seed: maphash.MakeSeed()}
	for i := range s.group {
		s.group[i] = make(chan struct{}, hostSlots)
	}
	return s
}

// take waits for its turn with the host of an address. The function gives it
// back.
func (s *slots) take(ctx context.Context, address string) (func(), error) {
	host := ""
	if u, err := url.Parse(address); err == nil {
		host = u.Hostname()
	}
	group := s.group[maphash.String(s.seed, host)%hostGroups]
	select {
	case group <- struct{}{}:
		return func() { <-group }, nil
	case <-ctx.Done():
		return nil, ErrBusy
	}
}

// fetch gets JSON from an address that somebody else chose.
func (v *Verifier) fetch(ctx context.Context, address string, most int64, isType func(string) bool) (*outbound.Response, error) {
	// What others wait for as well does not end with the one who asks.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTime)
	defer cancel()
	free, err := v.slots.take(ctx, address)
	if err != nil {
		return nil, err
	}
	defer free()
	return v.cfg.Outbound.Fetch(ctx, address, most, isType)
}

// ruleError says by which rule something fetched was refused that came well.
type ruleError struct{ rule, advice string }

func (e *ruleError) Error() string { return "refused by rule " + e.rule + " (" + e.advice + ")" }

// passing reports whether a failure to get something says nothing about it.
func passing(err error) bool {
	var refused *outbound.FetchError
	return errors.As(err, &refused) && refused.Temporary()
}

// remote keeps what was read from addresses that somebody else chose. One
// request at a time asks an address; others wait for it, unless what is known
// serves as well. x/sync/singleflight cannot tell these apart, and its caller's
// panic ends the program.
type remote[T any] struct {
	failed, changed string        // what the log says
	least, most     time.Duration // bounds of how long an answer counts
	lenient         bool          // what was read serves on when what stands there now is no good
	now             func() time.Time
	log             *slog.Logger
	read            func(ctx context.Context, address string) (T, *outbound.Response, error)

	mu        sync.Mutex
	good, bad *simplelru.LRU[string, *fetched[T]] // what gave something, and what did not, by address
	bytes     int                                 // of what is in good
}

// open makes the lists of r, which is otherwise complete.
func (r *remote[T]) open() *remote[T] {
	r.good, _ = simplelru.NewLRU(maxFetched, func(_ string, e *fetched[T]) { r.bytes -= e.size }) // no error but for a size below 1
	r.bad, _ = simplelru.NewLRU[string, *fetched[T]](maxFailed, nil)
	return r
}

// fetched is what is known of an address.
type fetched[T any] struct {
	address      string
	value        T
	has          bool // value is there
	size         int
	sum          [sha256.Size]byte // of the body
	fresh, stale time.Time         // until when value counts unasked, and when nothing newer can be had
	asked        time.Time         // when it was asked last
	err          error             // why that gave nothing
	busy         chan struct{}     // closed at the end of the fetch that is under way; nil: none is
}

// get returns what stands at the address, for a client. newest asks again even
// if what is known still counts, unless that was done just now.
func (r *remote[T]) get(ctx context.Context, address, client string, newest bool) (T, error) {
	r.mu.Lock()
	now := r.now()
	e := r.entry(address)
	rested := !now.Before(e.asked.Add(pause))
	switch {
	case e.has && now.Before(e.fresh) && !(newest && rested):
	case e.has && now.Before(e.stale) && !newest && e.busy != nil: // no need to wait
	case e.busy != nil:
		busy := e.busy
		r.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			var none T
			return none, ctx.Err()
		}
		r.mu.Lock()
	case rested:
		e.busy = make(chan struct{})
		r.mu.Unlock()
		r.ask(ctx, e, client)
		r.mu.Lock()
	}
	defer r.mu.Unlock()
	if e.has && r.now().Before(e.stale) {
		return e.value, nil
	}
	var none T
	return none, cmp.Or(e.err, ErrBusy)
}

// entry returns what is known of an address, as the last used. r.mu is held.
func (r *remote[T]) entry(address string) *fetched[T] {
	e, ok := r.good.Get(address)
	if !ok {
		e, ok = r.bad.Get(address)
	}
	if !ok {
		e = &fetched[T]{address: address}
		r.bad.Add(address, e)
	}
	return e
}

// ask fetches for everybody who waits for e.
func (r *remote[T]) ask(ctx context.Context, e *fetched[T], client string) {
	defer func() {
		r.mu.Lock()
		close(e.busy)
		e.busy = nil
		r.mu.Unlock()
	}()
	value, res, err := r.read(ctx, e.address)
	r.mu.Lock()
	changed := r.learn(e, value, res, err)
	r.mu.Unlock()
	switch {
	case err != nil && !errors.Is(err, ErrBusy):
		r.log.LogAttrs(ctx, slog.LevelWarn, r.failed, slog.String("client", client), slog.Any("err", err))
	case changed:
		r.log.LogAttrs(ctx, slog.LevelInfo, r.changed, slog.String("client", client))
	}
}

// learn puts into e what a fetch gave, and reports whether it is something
// else than before. r.mu is held.
func (r *remote[T]) learn(e *fetched[T], value T, res *outbound.Response, err error) bool {
	now := r.now()
	if e.err = err; errors.Is(err, ErrBusy) { // it was not asked
		return false
	}
	e.asked = now
	if err != nil {
		if !r.lenient && !passing(err) {
			r.good.Remove(e.address)
			var none T
			e.value, e.has = none, false
			r.bad.Add(e.address, e)
		}
		return false
	}
	sum := sha256.Sum256(res.Body)
	changed := e.has && e.sum != sum
	r.good.Remove(e.address) // with the size that it had
	r.bad.Remove(e.address)
	e.value, e.has, e.size, e.sum = value, true, len(res.Body), sum
	e.fresh = now.Add(min(max(lifeOf(res.Header), r.least), r.most))
	e.stale = now.Add(max(e.fresh.Sub(now), staleTime))
	r.good.Add(e.address, e)
	for r.bytes += e.size; r.bytes > maxFetchedBytes; {
		r.good.RemoveOldest()
	}
	return changed
}

// lifeOf returns for how long an answer counts (RFC 9111 §4.2 and §5.2.2), at
// most a year; at once over is 0.
func lifeOf(h http.Header) time.Duration {
	const longest = 365 * 24 * 60 * 60
	life, said := 0, false
	for _, line := range h["Cache-Control"] {
		for directive := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.Trim(directive, " \t"), "=")
			switch strings.ToLower(name) {
			case "no-store", "no-cache":
				return 0
			case "max-age":
				n, ok := digits(strings.Trim(value, `"`))
				if !ok {
					return 0 // RFC 9111 §4.2.1: what is invalid is stale
				}
				if n = min(n, longest); !said || n < life {
					life, said = n, true
				}
			}
		}
	}
	if !said {
		return defaultLife
	}
	if age, ok := digits(h.Get("Age")); ok {
		life = max(0, life-age)
	}
	return time.Duration(life) * time.Second
}

// digits reads a decimal number without sign; what does not fit becomes a
// large number.
func digits(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), len(s) <= 64 && (err == nil || errors.Is(err, strconv.ErrRange))
}

// unfetched says in a specification's word what something of somebody else was
// refused for. Other errors stay what they are.
func unfetched(code Code, what string, err error) error {
	var came *ruleError
	var refused *outbound.FetchError
	if errors.As(err, &came) || errors.As(err, &refused) {
		return refuse(code, "%s %v", what, err)
	}
	return err
}
