package approve_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/channels"
	"ringback/channels/fakes"
	"ringback/consent"
)

// breaking is a store that fails once at one step: before the step is taken, or
// after, as when a process dies before it reads the acknowledgement.
type breaking struct {
	consent.Store
	mu    sync.Mutex
	step  string
	after bool
}

var errBroken = errors.New("broken for a moment")

// take takes a step, unless it is the one to fail.
func (b *breaking) take(step string, do func() error) error {
	b.mu.Lock()
	fails := b.step == step
	if fails {
		b.step = ""
	}
	b.mu.Unlock()
	if fails && !b.after {
		return errBroken
	}
	if err := do(); err != nil {
		return err
	}
	if fails {
		return errBroken
	}
	return nil
}

func (b *breaking) Miss(ctx context.Context, id consent.ID, m consent.Miss) (n int, err error) {
	err = b.take("miss", func() error { n, err = b.Store.Miss(ctx, id, m); return err })
	return n, err
}

func (b *breaking) Decide(ctx context.Context, id consent.ID, d consent.Decision) (won consent.Decision, err error) {
	err = b.take("decide", func() error { won, err = b.Store.Decide(ctx, id, d); return err })
	return won, err
}

func (b *breaking) Freeze(ctx context.Context, p consent.Pseudonym, client string, until time.Time) error {
	return b.take("freeze", func() error { return b.Store.Freeze(ctx, p, client, until) })
}

func (b *breaking) First(ctx context.Context, key string) (first bool, err error) {
	err = b.take("mark", func() error { first, err = b.Store.First(ctx, key); return err })
	return first, err
}

// breakingHouse is one whose store can be made to fail.
func breakingHouse(t *testing.T) (*house, *breaking) {
	h := newHouse(t)
	b := &breaking{}
	h.faulty = func(s consent.Store) consent.Store { b.Store = s; return b }
	h.rebuild()
	return h, b
}

// fail makes the next of these steps fail.
func (b *breaking) fail(step string, after bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.step, b.after = step, after
}

// TestAnswerTakenAgain: whatever fails while an answer is being taken, the
// provider is not told that it is, and when it comes again it has the effect
// that it would have had, once, and the person hears of it.
func TestAnswerTakenAgain(t *testing.T) {
	t.Parallel()
	h, b := breakingHouse(t)
	h.policy.Limits = &consent.Limits{PairPrompts: 1000, PersonPrompts: 1000, Window: time.Minute, Notifications: 3, Denials: 1, Freeze: time.Millisecond}
	post := func(form url.Values) (int, string) {
		t.Helper()
		status, body, err := h.tw.Post(t.Context(), h.url+channels.TwilioInbound, form)
		if err != nil {
			t.Fatal(err)
		}
		return status, string(body)
	}
	for _, tt := range []struct {
		text, says string
		want       consent.Status
		misses     int
		steps      []string
	}{
		{"YES CODE", "Allowed", consent.StatusApproved, 1, []string{"miss", "decide", "mark"}},
		{"NO CODE", "Not allowed", consent.StatusDenied, 1, []string{"miss", "freeze", "decide", "mark"}},
		{"NO", "Not allowed", consent.StatusDenied, 0, []string{"freeze", "decide", "mark"}},
		{"YES WRONG", "2 tries left", consent.StatusPending, 1, []string{"miss", "mark"}},
	} {
		for _, step := range tt.steps {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/%v", tt.text, step, after), func(t *testing.T) {
					m := h.sent("alice")
					form := h.tw.Inbound(alice, strings.NewReplacer("CODE", m.code, "WRONG", wrong(m.code)).Replace(tt.text))
					b.fail(step, after)
					if status, body := post(form); status != http.StatusServiceUnavailable {
						t.Fatalf("while it failed: %d %s", status, body)
					}
					// A mark that was stored says that the effect was: nothing more follows.
					marked := step == "mark" && after
					if status, body := post(form); status != http.StatusOK || strings.Contains(body, tt.says) == marked {
						t.Errorf("taken again: %d %s, want %q in it", status, body, tt.says)
					}
					h.wantStatus(m.req, tt.want, tt.misses)
					if _, body := post(form); strings.Contains(body, "Message") {
						t.Errorf("taken a third time: %s", body)
					}
					h.wantStatus(m.req, tt.want, tt.misses)
					if tt.want == consent.StatusPending {
						h.end(m)
					}
				})
			}
		}
	}
}

// TestFormTakenAgain is the same for the page: the browser is told to load it
// again, and the same form then has its effect.
func TestFormTakenAgain(t *testing.T) {
	t.Parallel()
	h, b := breakingHouse(t)
	for _, step := range []string{"miss", "decide"} {
		for _, after := range []bool{false, true} {
			m := h.sent("alice")
			br := h.browser()
			form := br.get(m.link).form(t)
			form.Set(code, m.code)
			form.Set(answer, allow)
			b.fail(step, after)
			if p := br.do(http.MethodPost, m.link, form); p.status != http.StatusServiceUnavailable {
				t.Fatalf("%s, %v: while it failed: %d", step, after, p.status)
			}
			if p := br.do(http.MethodPost, m.link, form); p.status != http.StatusOK || !p.says("Allowed") {
				t.Errorf("%s, %v: taken again: %d %s", step, after, p.status, p.body)
			}
			h.wantStatus(m.req, consent.StatusApproved, 1)
		}
	}
}

// TestReceiptTakenAgain: a delivery report whose receipt was not stored stops
// the number all the same, and is stored when it comes again.
func TestReceiptTakenAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	fails := true
	h.faulty = func(s consent.Store) consent.Store { return reportless{s, &fails} }
	h.rebuild()
	h.tw.Always(fakes.Step{Callbacks: []fakes.Callback{}})
	m := h.sent("alice")
	form := h.tw.StatusForm(h.state(m.req).Outcomes[1].ProviderID, alice, fakes.Callback{Status: "failed", Code: 21610})
	post := func() int {
		t.Helper()
		status, _, err := h.tw.Post(t.Context(), h.url+channels.TwilioStatus(h.handles.CallbackRef(m.req.ID, 1)), form)
		if err != nil {
			t.Fatal(err)
		}
		return status
	}
	if got := post(); got != http.StatusServiceUnavailable {
		t.Fatalf("while it failed: %d", got)
	}
	if devices, err := h.Devices(t.Context(), "alice"); err != nil || !devices[0].Stopped {
		t.Errorf("the number takes messages although it opted out: %v", err)
	}
	fails = false
	if got := post(); got != http.StatusNoContent || len(h.state(m.req).Receipts) != 1 {
		t.Errorf("taken again: %d with %d receipts", got, len(h.state(m.req).Receipts))
	}
}

// reportless is a store that takes no receipts while it fails.
type reportless struct {
	consent.Store
	fails *bool
}

func (r reportless) Report(ctx context.Context, id consent.ID, v consent.Receipt) error {
	if *r.fails {
		return errBroken
	}
	return r.Store.Report(ctx, id, v)
}

// TestRightCodesCostNothing: right codes for three older requests of another
// agent leave the newest its three guesses.
func TestRightCodesCostNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	other := func(r *consent.Request) { r.Client.ID = "other" }
	var older []message
	for range 3 {
		older = append(older, h.sent("alice", other))
		h.clock.Add(time.Second)
	}
	newest := h.sent("alice")
	for i, m := range older {
		text, says, want := "YES ", "Allowed", consent.StatusApproved
		if i == 1 {
			text, says, want = "NO ", "Not allowed", consent.StatusDenied
		}
		if said := h.reply(alice, text+m.code); !strings.Contains(said, says) {
			t.Errorf("answered %q", said)
		}
		h.wantStatus(m.req, want, 1)
	}
	h.wantStatus(newest.req, consent.StatusPending, 0)
	if said := h.reply(alice, "YES "+wrong(newest.code)); !strings.Contains(said, "2 tries left") {
		t.Errorf("a wrong one: %q", said)
	}
	if said := h.reply(alice, "YES "+newest.code); !strings.Contains(said, "Allowed") {
		t.Errorf("answered %q", said)
	}
	h.wantStatus(newest.req, consent.StatusApproved, 2)
}

// TestManyGuessesAtOnce: of 64 messages at once three are guesses at each
// request, and with the fourth nothing more is learnt: a right code among the
// others decides only if it was one of the three.
func TestManyGuessesAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for round := range 8 {
		all := []message{h.sent("alice"), h.sent("alice"), h.sent("alice")}
		var mu sync.Mutex
		said := map[string]int{}
		var wg sync.WaitGroup
		for i := range 64 {
			text := fmt.Sprintf("YES %06d", 100000*(round+1)+i)
			if i == 8*round {
				text = "YES " + all[1].code
			}
			wg.Go(func() {
				answers, err := h.tw.Reply(t.Context(), alice, text)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, what := range []string{"Allowed", "tries left", "try left", "Too many"} {
					if strings.Contains(strings.Join(answers, ""), what) {
						said[what]++
					}
				}
			})
		}
		wg.Wait()
		for i, m := range all {
			st := h.state(m.req)
			if len(st.Misses) > consent.MaxMisses || i != 1 && st.Decided != nil {
				t.Errorf("request %d is %s with %d guesses", i, st.Status(), len(st.Misses))
			}
			if st.Decided == nil && len(st.Misses) != consent.MaxMisses {
				t.Errorf("request %d was guessed at %d times", i, len(st.Misses))
			}
		}
		if approved := h.state(all[1].req).Decided != nil; approved != (said["Allowed"] == 1) {
			t.Errorf("approved: %v, but the answers are %v", approved, said)
		}
		if n := said["tries left"] + said["try left"]; n > 2*consent.MaxMisses {
			t.Errorf("%d messages were told that tries are left", n)
		}
		for _, m := range all {
			if st := h.state(m.req); st.Decided == nil {
				if _, err := h.Decide(t.Context(), m.req.ID, h.Decision(m.req, consent.Withdrawn)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
