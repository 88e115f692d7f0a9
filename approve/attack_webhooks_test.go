package approve_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ringback/channels"
	"ringback/channels/fakes"
	"ringback/consent"
)

var webhooks = flag.Int("webhooks", manyWebhooks, "forged, replayed, divided and misdirected webhooks")

// TestWebhooks are webhooks of an attacker who has recorded genuine ones and
// can make the provider sign what strangers write. None changes anything, a
// restart between or not; the genuine ones at the end do.
func TestWebhooks(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	f := newForger(h)
	h.restart()
	before := f.world()
	for half := range 2 {
		if half == 1 {
			h.restart() // what is in memory only is forgotten
		}
		f.attack(*webhooks / 2)
	}
	h.restart() // to read what is stored, not what is remembered
	if diff := cmp.Diff(before, f.world(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the webhooks changed something (-before +after):\n%s", diff)
	}
	for kind, n := range f.tried {
		if n.all.Load() < int64(*webhooks)/int64(4*len(f.tried)) {
			t.Errorf("%q was tried %d times only", kind, n.all.Load())
		}
		if strings.Contains("divided otherwise, name grown, replayed", kind) && n.signed.Load() < n.all.Load()/10 {
			t.Errorf("%q had a signature that fits %d times only, in %d", kind, n.signed.Load(), n.all.Load())
		}
	}
	m := f.open[0]
	sid := h.state(m.req).Outcomes[1].ProviderID
	form := h.tw.StatusForm(sid, m.to, fakes.Callback{Status: "delivered"})
	if status, _, err := h.tw.Post(t.Context(), h.url+f.status(m), form); err != nil || status != http.StatusNoContent {
		t.Errorf("a genuine status callback: %d, %v", status, err)
	}
	if said := h.reply(m.to, "YES "+m.code); !strings.Contains(said, "Allowed") {
		t.Errorf("afterwards the person was answered %q", said)
	}
	if st := h.state(m.req); st.Status() != consent.StatusApproved || !st.Receipts[1].Delivered {
		t.Errorf("afterwards the request is %+v", st)
	}
}

// forger holds what an attacker may have.
type forger struct {
	h        *house
	sms      string          // target of what people write
	recorded []fakes.Webhook // genuine and taken, with their signatures
	open     []message       // requests that wait for an answer, one of each person
	told     []message       // requests of whose messages the provider has spoken
	all      []*consent.Request
	tried    map[string]*tally
}

// tally counts the tries of one kind, and those whose signature fits.
type tally struct{ all, signed atomic.Int64 }

// newForger has people write and the provider report, and records it.
func newForger(h *house) *forger {
	h.t.Helper()
	f := &forger{h: h, sms: channels.TwilioInbound, tried: map[string]*tally{}}
	ask := func(person string) message {
		m := h.sent(person)
		f.all = append(f.all, m.req)
		return m
	}
	for person, number := range map[string]string{"alice": alice, "bob": bob, "carla": carla} {
		m := ask(person)
		h.Eventually("the receipt", func() bool { return len(h.state(m.req).Receipts) == 1 })
		h.reply(number, "No")
		h.wantStatus(m.req, consent.StatusDenied, 0)
		f.told = append(f.told, m)
		m = ask(person)
		h.Eventually("the receipt", func() bool { return len(h.state(m.req).Receipts) == 1 })
		h.reply(number, "YES "+wrong(m.code))
		h.reply(number, "YES "+m.code)
		h.wantStatus(m.req, consent.StatusApproved, 2)
		f.told = append(f.told, m)
		h.reply(number, "STOP")
		h.reply(number, "START")
	}
	h.reply(carla, "STOP") // of hers a START is recorded too, and of the others' a STOP
	f.recorded = h.tw.Webhooks()
	h.tw.Always(fakes.Step{Callbacks: []fakes.Callback{}})
	for _, person := range []string{"alice", "bob", "carla"} {
		f.open = append(f.open, ask(person))
	}
	return f
}

// world is all that a webhook could change.
type world struct {
	States  map[string]*consent.State
	Devices map[string][]consent.Device
	People  []consent.Person
	Open    map[string][]consent.Brief
	Frozen  map[string]map[string]string
}

func (f *forger) world() world {
	f.h.t.Helper()
	w := world{map[string]*consent.State{}, map[string][]consent.Device{}, nil, map[string][]consent.Brief{}, map[string]map[string]string{}}
	for _, req := range f.all {
		w.States[req.ID.String()] = f.h.state(req)
	}
	var err error
	if w.People, _, err = f.h.People(f.h.t.Context(), "", 100); err != nil {
		f.h.t.Fatal(err)
	}
	for _, p := range w.People {
		if w.Devices[p.ID], err = f.h.Devices(f.h.t.Context(), p.ID); err != nil {
			f.h.t.Fatal(err)
		}
		past := f.h.History(f.h.Pseudonym(p.ID))
		w.Open[p.ID], w.Frozen[p.ID] = past.Open, map[string]string{}
		for client, until := range past.Frozen {
			w.Frozen[p.ID][client] = until.String()
		}
	}
	return w
}

// attack makes n tries, spread over all kinds.
func (f *forger) attack(n int) {
	f.h.t.Helper()
	kinds := f.kinds()
	var names []string
	for kind := range kinds {
		names = append(names, kind)
		if f.tried[kind] == nil {
			f.tried[kind] = new(tally)
		}
	}
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
			for left.Add(-1) >= 0 {
				kind := names[rnd.IntN(len(names))]
				try := kinds[kind](rnd)
				f.tried[kind].all.Add(1)
				if form, err := url.ParseQuery(try.body); err == nil && f.h.tw.Sign(f.h.url+try.target, form) == try.header.Get("X-Twilio-Signature") {
					f.tried[kind].signed.Add(1)
				}
				w := httptest.NewRecorder()
				f.h.echo.ServeHTTP(w, try.request())
				if w.Code >= 500 || strings.Contains(w.Body.String(), "Message>") {
					f.h.t.Errorf("%s was answered %d %s", kind, w.Code, w.Body)
				}
			}
		})
	}
	wg.Wait()
}

// try is one HTTP request.
type try struct {
	method string
	target string
	header http.Header
	body   string
}

func (t try) request() *http.Request {
	r := httptest.NewRequest(t.method, t.target, strings.NewReader(t.body))
	r.Header = t.header
	return r
}

// post makes a try of a form; signature as if from the provider.
func post(target, signature string, form url.Values) try {
	return try{http.MethodPost, target, http.Header{
		"Content-Type": {"application/x-www-form-urlencoded; charset=UTF-8"}, "X-Twilio-Signature": {signature},
	}, form.Encode()}
}

func (f *forger) status(m message) string {
	return channels.TwilioStatus(f.h.handles.CallbackRef(m.req.ID, m.n))
}

// record picks a genuine webhook.
func (f *forger) record(rnd *rand.Rand) (target string, form url.Values, signature string) {
	hook := f.recorded[rnd.IntN(len(f.recorded))]
	return strings.TrimPrefix(hook.URL, f.h.url), maps.Clone(hook.Form), hook.Signature
}

// wish is a webhook that would change something if it were taken.
func (f *forger) wish(rnd *rand.Rand) (target string, form url.Values) {
	m := f.open[rnd.IntN(len(f.open))]
	if rnd.IntN(3) == 0 {
		word := []fakes.Callback{{Status: "delivered"}, {Status: "failed", Code: 21610}, {Status: "undelivered", Code: 30003}}[rnd.IntN(3)]
		return f.status(m), f.h.tw.StatusForm(f.h.state(m.req).Outcomes[1].ProviderID, m.to, word)
	}
	return f.sms, f.h.tw.Inbound(m.to, f.text(rnd, m))
}

func (f *forger) text(rnd *rand.Rand, m message) string {
	return []string{"YES " + m.code, "NO " + m.code, "NO", "Nein", "STOP", "START", "HELP", "YES " + wrong(m.code)}[rnd.IntN(8)]
}

// pick returns one of list.
func pick[T any](rnd *rand.Rand, list ...T) T { return list[rnd.IntN(len(list))] }

// fake is a signature that was not made with the token.
func fake(rnd *rand.Rand, genuine string) string {
	sig := []byte(genuine)
	switch rnd.IntN(3) {
	case 0:
		sig[rnd.IntN(26)] ^= byte(1 + rnd.IntN(255))
	case 1:
		return fmt.Sprintf("%x", genuine)
	default:
		return pick(rnd, "", "=", strings.TrimSuffix(genuine, "="), genuine+"=", genuine[:27]+"A"+genuine[27:], strings.Repeat("A", 27)+"=")
	}
	return string(sig)
}
