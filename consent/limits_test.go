package consent_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/consent"
)

func past(client string, ago time.Duration, v consent.Verb) consent.Past {
	return consent.Past{Client: client, AskedAt: t0.Add(-ago), Verb: v, At: t0.Add(-ago)}
}

func many(n int, p consent.Past) []consent.Past { return slices.Repeat([]consent.Past{p}, n) }

// TestDefaultLimits pins the budgets that documents promise.
func TestDefaultLimits(t *testing.T) {
	t.Parallel()
	want := &consent.Limits{PairPrompts: 5, PersonPrompts: 20, Window: 10 * time.Minute, Notifications: 3, Denials: 3, Freeze: 24 * time.Hour}
	got := consent.DefaultLimits()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("DefaultLimits (-want +got):\n%s", diff)
	}
	got.PairPrompts = 99
	if again := consent.DefaultLimits(); again.PairPrompts != 5 {
		t.Error("who changes the limits it was given changes everybody's")
	}
}

func TestAdmit(t *testing.T) {
	t.Parallel()
	same := [8]byte{7}
	open := consent.Brief{Client: "agent", Same: same, ExpiresAt: t0.Add(time.Minute)}
	other, different, over := open, open, open
	other.Client, different.Same, over.ExpiresAt = "other", [8]byte{8}, t0
	limits := func(change func(*consent.Limits)) consent.Policy {
		l := consent.DefaultLimits()
		if change != nil {
			change(l)
		}
		return consent.Policy{Limits: l}
	}
	grouped := func(r *consent.Request) { r.Client.Group = "host acme" }
	for _, tt := range []struct {
		name   string
		policy consent.Policy
		change func(*consent.Request)
		h      consent.History
		want   consent.Reason
		until  time.Duration // when asking again makes sense
	}{
		{"nothing before", consent.Policy{Limits: consent.DefaultLimits(), Dedupe: true}, nil, consent.History{}, "", 0},

		{"frozen", consent.Policy{}, nil, consent.History{Frozen: map[string]time.Time{"agent": t0.Add(time.Hour)}}, consent.ReasonFrozen, time.Hour},
		{"frozen until now", consent.Policy{}, nil, consent.History{Frozen: map[string]time.Time{"agent": t0}}, "", 0},
		{"frozen for a moment more", consent.Policy{}, nil, consent.History{Frozen: map[string]time.Time{"agent": t0.Add(1)}}, consent.ReasonFrozen, 1},
		{"another is frozen", consent.Policy{}, nil, consent.History{Frozen: map[string]time.Time{"other": t0.Add(time.Hour)}}, "", 0},
		{"its group is frozen", consent.Policy{}, grouped, consent.History{Frozen: map[string]time.Time{"host acme": t0.Add(time.Hour)}}, consent.ReasonFrozen, time.Hour},
		{"another group is frozen", consent.Policy{}, grouped, consent.History{Frozen: map[string]time.Time{"host acne": t0.Add(time.Hour)}}, "", 0},
		{"frozen goes before a duplicate", consent.Policy{Dedupe: true}, nil, consent.History{
			Frozen: map[string]time.Time{"agent": t0.Add(time.Hour)}, Open: []consent.Brief{open}}, consent.ReasonFrozen, time.Hour},

		{"the same is open", consent.Policy{Dedupe: true}, nil, consent.History{Open: []consent.Brief{different, open}}, consent.ReasonDuplicate, time.Minute},
		{"the same is open, allowed", consent.Policy{}, nil, consent.History{Open: []consent.Brief{open}}, "", 0},
		{"the same of another client", consent.Policy{Dedupe: true}, nil, consent.History{Open: []consent.Brief{other}}, "", 0},
		{"the same of another client of the group", consent.Policy{Dedupe: true}, grouped, consent.History{Open: []consent.Brief{other}}, "", 0},
		{"something else is open", consent.Policy{Dedupe: true}, nil, consent.History{Open: []consent.Brief{different}}, "", 0},
		{"the same is over", consent.Policy{Dedupe: true}, nil, consent.History{Open: []consent.Brief{over}}, "", 0},

		{"four before", limits(nil), nil, consent.History{Recent: many(4, past("agent", time.Minute, ""))}, "", 0},
		{"five before", limits(nil), nil, consent.History{Recent: many(5, past("agent", time.Minute, ""))}, consent.ReasonBudget, 9 * time.Minute},
		{"five before, the oldest last", limits(nil), nil, consent.History{
			Recent: append(many(4, past("agent", time.Minute, "")), past("agent", 7*time.Minute, ""))}, consent.ReasonBudget, 3 * time.Minute},
		{"five before, whatever became of them", limits(nil), nil, consent.History{
			Recent: append(many(3, past("agent", time.Minute, consent.Approved)), many(2, past("agent", time.Minute, consent.Expired))...)}, consent.ReasonBudget, 9 * time.Minute},
		{"five almost long ago", limits(nil), nil, consent.History{Recent: many(5, past("agent", 10*time.Minute-1, ""))}, consent.ReasonBudget, 1},
		{"five long ago", limits(nil), nil, consent.History{Recent: many(5, past("agent", 10*time.Minute, ""))}, "", 0},
		{"five by others", limits(nil), nil, consent.History{Recent: many(5, past("other", time.Minute, ""))}, "", 0},
		{"five by its group", limits(nil), grouped, consent.History{Recent: many(5, past("host acme", time.Minute, ""))}, consent.ReasonBudget, 9 * time.Minute},
		{"five of its id, but not its group's", limits(nil), grouped, consent.History{Recent: many(5, past("agent", time.Minute, ""))}, "", 0},
		{"one before, of one", limits(func(l *consent.Limits) { l.PairPrompts = 1 }), nil, consent.History{Recent: many(1, past("agent", 0, ""))}, consent.ReasonBudget, 10 * time.Minute},
		{"a shorter window", limits(func(l *consent.Limits) { l.Window = time.Minute }), nil, consent.History{Recent: many(5, past("agent", time.Minute, ""))}, "", 0},
		{"limits off", consent.Policy{}, nil, consent.History{Recent: many(50, past("agent", time.Minute, ""))}, "", 0},
	} {
		req := request()
		if tt.change != nil {
			tt.change(req)
		}
		err := tt.policy.Admit(req, same, tt.h, t0)
		var r *consent.Refusal
		switch {
		case tt.want == "" && err != nil, tt.want != "" && !errors.As(err, &r):
			t.Errorf("%s: Admit() = %v, want %q", tt.name, err, tt.want)
		case r != nil && (r.Reason != tt.want || !r.Until.Equal(t0.Add(tt.until))):
			t.Errorf("%s: Admit() = %q until %v, want %q until %v", tt.name, r.Reason, r.Until.Sub(t0), tt.want, tt.until)
		}
	}
}

// TestRefusalsTellTheTruth: asking again makes sense from the time on that a
// refusal names, and not a moment earlier.
func TestRefusalsTellTheTruth(t *testing.T) {
	t.Parallel()
	p := consent.Policy{Limits: consent.DefaultLimits(), Dedupe: true}
	r, refused := dice(2), 0
	for range 3000 {
		var h consent.History
		for range r.IntN(12) {
			h.Recent = append(h.Recent, past(pick(r, "agent", "agent", "other"), time.Duration(r.Int64N(int64(11*time.Minute))), ""))
		}
		if r.IntN(4) == 0 {
			h.Frozen = map[string]time.Time{pick(r, "agent", "other"): t0.Add(time.Duration(r.Int64N(int64(time.Hour))) - time.Minute)}
		}
		if r.IntN(4) == 0 {
			h.Open = []consent.Brief{{Client: pick(r, "agent", "other"), Same: pick(r, [8]byte{1}, [8]byte{2}), ExpiresAt: t0.Add(time.Duration(r.Int64N(int64(time.Hour))))}}
		}
		admit := func(at time.Time) *consent.Refusal {
			var refusal *consent.Refusal
			if err := p.Admit(request(), [8]byte{1}, h, at); err != nil && !errors.As(err, &refusal) {
				t.Fatal(err)
			}
			return refusal
		}
		first := admit(t0)
		if first == nil {
			continue
		}
		refused++
		if before := admit(first.Until.Add(-1)); before == nil {
			t.Fatalf("%+v: %s until %v, but a moment earlier it is admitted", h, first.Reason, first.Until)
		}
		if then := admit(first.Until); then != nil && then.Reason == first.Reason && !then.Until.After(first.Until) {
			t.Fatalf("%+v: %s until %v, and then until %v", h, first.Reason, first.Until, then.Until)
		}
	}
	if refused < 200 {
		t.Errorf("only %d of 3000 were refused: this tests nothing", refused)
	}
}

func TestRefusalsTellLittle(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 15, 30, 0, 0, time.FixedZone("", 3600))
	for reason, want := range map[consent.Reason]string{
		consent.ReasonDuplicate: "an identical request is open, wait for its answer",
		consent.ReasonBudget:    "too many requests to this person, ask again after 2026-11-22T14:30:00Z",
		consent.ReasonUserCode:  "too many wrong user codes for this person, ask again after 2026-11-22T14:30:00Z",
		consent.ReasonFrozen:    "this person does not take requests from this client now",
	} {
		err := &consent.Refusal{Reason: reason, Until: at}
		if got := err.Error(); got != want {
			t.Errorf("%s: Error() = %q, want %q", reason, got, want)
		}
	}
	// That, and for how long, a person stopped a client is the person's own.
	if text := (&consent.Refusal{Reason: consent.ReasonFrozen, Until: at}).Error(); strings.Contains(text, "2026") || strings.Contains(text, "frozen") {
		t.Errorf("a freeze says too much: %q", text)
	}
}

func TestSilent(t *testing.T) {
	t.Parallel()
	p := consent.Policy{Limits: consent.DefaultLimits()}
	known := func(n int, ago time.Duration) []consent.Past {
		return append(many(n, past("x", time.Minute, "")), past("agent", ago, consent.Approved))
	}
	for _, tt := range []struct {
		name   string
		policy consent.Policy
		recent []consent.Past
		want   bool
	}{
		{"nobody before", p, nil, false},
		{"the person's budget", p, many(20, past("x", time.Minute, "")), false},
		{"one more", p, many(21, past("x", time.Minute, "")), true},
		{"one more, long ago", p, append(many(20, past("x", time.Minute, "")), past("x", 10*time.Minute, "")), false},
		{"one more, but approved before", p, known(21, time.Hour), false},
		{"one more, another was approved before", p, append(many(21, past("x", time.Minute, "")), past("other", time.Hour, consent.Approved)), true},
		{"one more, and denied before", p, append(many(21, past("x", time.Minute, "")), past("agent", time.Hour, consent.Denied)), true},
		{"all of the room of those approved before", p, known(40, time.Hour), false},
		{"more than that", p, known(41, time.Hour), true},
		{"more than that, and the approval counts as well", p, known(40, time.Minute), true},
		{"limits off", consent.Policy{}, many(500, past("x", time.Minute, "")), false},
	} {
		if got := tt.policy.Silent("agent", consent.History{Recent: tt.recent}, t0); got != tt.want {
			t.Errorf("%s: Silent() = %v", tt.name, got)
		}
	}
}

func TestFreezeUntil(t *testing.T) {
	t.Parallel()
	p := consent.Policy{Limits: consent.DefaultLimits()}
	short := consent.Policy{Limits: consent.DefaultLimits()}
	short.Limits.Denials, short.Limits.Freeze = 1, time.Hour
	for _, tt := range []struct {
		name   string
		policy consent.Policy
		notMe  bool
		before []consent.Past
		want   time.Duration // 0: not frozen
	}{
		{"first denial", p, false, nil, 0},
		{"second denial", p, false, many(1, past("agent", time.Hour, consent.Denied)), 0},
		{"third denial", p, false, many(2, past("agent", time.Hour, consent.Denied)), 24 * time.Hour},
		{"fourth denial", p, false, many(3, past("agent", time.Hour, consent.Denied)), 24 * time.Hour},
		{"third denial, two of another client", p, false, many(2, past("other", time.Hour, consent.Denied)), 0},
		{"third answer, two of them yes", p, false, many(2, past("agent", time.Hour, consent.Approved)), 0},
		{"third request, two without an answer", p, false, many(2, past("agent", time.Hour, consent.Expired)), 0},
		{"third denial, almost a day ago", p, false, many(2, past("agent", 24*time.Hour-1, consent.Denied)), 24 * time.Hour},
		{"third denial, a day ago", p, false, many(2, past("agent", 24*time.Hour, consent.Denied)), 0},
		{"not me", p, true, nil, 24 * time.Hour},
		{"not me, limits off", consent.Policy{}, true, nil, 24 * time.Hour},
		{"denials, limits off", consent.Policy{}, false, many(9, past("agent", time.Hour, consent.Denied)), 0},
		{"first denial where one is enough", short, false, nil, time.Hour},
		{"not me, shorter", short, true, nil, time.Hour},
	} {
		until, frozen := tt.policy.FreezeUntil("agent", tt.notMe, consent.History{Recent: tt.before}, t0)
		if frozen != (tt.want != 0) || frozen && !until.Equal(t0.Add(tt.want)) {
			t.Errorf("%s: FreezeUntil() = %v, %v, want %v", tt.name, until.Sub(t0), frozen, tt.want)
		}
	}
}
