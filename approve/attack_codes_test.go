package approve_test

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringback/approve"
	"ringback/channels"
	"ringback/consent"
	"ringback/templates"
)

var codes = flag.Int("codes", manyCodes, "random codes, three for each fresh request")

const (
	// attackers guess at once, so that their writes share syncs.
	attackers = 512
	// codesPerStore bounds what one store keeps.
	codesPerStore = 100_000
	// checkedEvery of the requests that are out of guesses is tried with the
	// right code, also after a restart.
	checkedEvery = 50
)

// TestRandomCodes guesses through page and messages: a random code is right
// once in a million times.
func TestRandomCodes(t *testing.T) {
	hits, start := 0, time.Now()
	for round, left := 1, *codes; left > 0; round, left = round+1, left-codesPerStore {
		t.Run(fmt.Sprint("round", round), func(t *testing.T) { // each ends with its store
			hits += crack(t, min(left, codesPerStore), 0)
		})
	}
	t.Logf("%d of %d random codes were right; %.0f were tried per second", hits, *codes, float64(*codes)/time.Since(start).Seconds())
	// Three standard deviations above the mean of n/10⁶.
	mean := float64(*codes) / 1e6
	if limit := mean + 3*max(1, math.Sqrt(mean)); float64(hits) > limit {
		t.Errorf("%d of %d random codes were right, want at most %.0f (one million exceeds that by chance once in 270 times)", hits, *codes, limit)
	}
}

// TestKnownDigits shows that TestRandomCodes would count: who knows four of
// the six digits is right once in a hundred times.
func TestKnownDigits(t *testing.T) {
	n := max(*codes/50, 1000)
	hits := crack(t, n, 4)
	mean, deviation := float64(n)/100, math.Sqrt(float64(n)*0.01*0.99)
	t.Logf("%d of %d codes were right, %.0f ± %.0f expected", hits, n, mean, deviation)
	if math.Abs(float64(hits)-mean) > 5*deviation {
		t.Errorf("%d of %d codes were right, want %.0f ± %.0f", hits, n, mean, 5*deviation)
	}
}

// crack has n codes compared and returns how many were right. The attacker
// knows so many digits of each.
func crack(t *testing.T, n, known int) int {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	h := newInsideHouse(t)
	var people []consent.Person
	for i := range attackers {
		people = append(people, consent.Person{ID: fmt.Sprint("victim-", i), Phone: consent.Phone(fmt.Sprintf("+1303555%04d", i))})
	}
	enter := func() {
		if err := h.SetFile(nil, people, nil); err != nil {
			t.Fatal(err)
		}
	}
	enter()
	var left, hits atomic.Int64
	left.Store(int64(n))
	var mu sync.Mutex
	var spent []guesser
	var wg sync.WaitGroup
	for _, person := range people {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
			for asked := 0; left.Load() > 0; asked++ {
				g := newGuesser(h, person.ID)
				for g.misses() < consent.MaxMisses && left.Add(-1) >= 0 {
					if g.guess(rnd, g.m.code[:known]+fmt.Sprintf("%0*d", 6-known, rnd.IntN(int(math.Pow10(6-known))))) {
						hits.Add(1)
						break
					}
				}
				switch st := h.state(g.m.req); {
				case st.Decided != nil:
				case len(st.Misses) == consent.MaxMisses && asked%checkedEvery == 0:
					g.locked()
					mu.Lock()
					spent = append(spent, g)
					mu.Unlock()
				default:
					g.withdraw()
				}
			}
		})
	}
	wg.Wait()
	h.restart()
	enter()
	for _, g := range spent {
		g.locked()
	}
	if len(spent) == 0 {
		t.Error("no request ran out of guesses")
	}
	return int(hits.Load())
}

// guesser tries codes for one request.
type guesser struct {
	h *house
	m message
}

// newGuesser has the person asked for as little as can be.
func newGuesser(h *house, person string) guesser {
	h.t.Helper()
	return guesser{h, h.claim(h.Asked(person, func(r *consent.Request) { r.Details, r.Narrowable = nil, false }), 1, true)}
}

func (g guesser) misses() int { return len(g.h.state(g.m.req).Misses) }

// guess tries one code by page or message, for a yes or a no, and reports
// whether it was right.
func (g guesser) guess(rnd *rand.Rand, digits string) bool {
	g.h.t.Helper()
	before := g.misses()
	w := httptest.NewRecorder()
	if rnd.IntN(3) == 0 {
		g.h.echo.ServeHTTP(w, g.page(pick(rnd, allow, deny, block), digits))
	} else {
		g.h.echo.ServeHTTP(w, g.message(pick(rnd, "YES ", "NO ")+digits))
	}
	st := g.h.state(g.m.req)
	right := st.Decided != nil
	if right != (digits == g.m.code) || len(st.Misses) != before+1 {
		g.h.t.Errorf("a code that is right: %t, was taken for right: %t, and left %d marks after %d: %d %s",
			digits == g.m.code, right, len(st.Misses), before, w.Code, w.Body)
	}
	return right
}

// message is what the person's number sends.
func (g guesser) message(text string) *http.Request {
	form := g.h.tw.Inbound(g.m.to, text)
	p := post(channels.TwilioInbound, "", form)
	p.header.Set("X-Twilio-Signature", g.h.tw.Sign(g.h.url+p.target, form))
	return p.request()
}

// page is a press of a button on the page, which nobody has loaded.
func (g guesser) page(button, digits string) *http.Request {
	ck, token := approve.OwnForm(strings.TrimPrefix(g.m.link, g.h.url+"/a/"))
	p := post(strings.TrimPrefix(g.m.link, g.h.url), "", url.Values{templates.FieldCSRF: {token}, code: {digits}, answer: {button}})
	r := p.request()
	r.AddCookie(ck)
	return r
}

// locked fails if the right code still does anything.
func (g guesser) locked() {
	g.h.t.Helper()
	tries := []*http.Request{g.message("YES " + g.m.code), g.message("NO " + g.m.code)}
	for _, button := range []string{allow, deny, block} {
		tries = append(tries, g.page(button, g.m.code))
	}
	for _, r := range tries {
		w := httptest.NewRecorder()
		if g.h.echo.ServeHTTP(w, r); !strings.Contains(w.Body.String(), "Too many") {
			g.h.t.Errorf("out of guesses, the right code was answered %d %s", w.Code, w.Body)
		}
	}
	g.h.wantStatus(g.m.req, consent.StatusPending, consent.MaxMisses)
}

// withdraw ends the request, so that the person's next message is not about it.
func (g guesser) withdraw() {
	g.h.t.Helper()
	_, err := g.h.Decide(g.h.t.Context(), g.m.req.ID, g.h.Decision(g.m.req, consent.Withdrawn))
	if err != nil {
		g.h.t.Error(err)
	}
}
