package check

import (
	"testing"
	"time"

	"ringback/deploy/faults/journal"
)

var t0 = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func at(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }

// kept is a run in which every promise was kept: a was approved by message and
// redeemed, b denied by message, c waits, d was approved and nobody came, e was
// taken back by its agent, which is pinged.
func kept() *Case {
	yes := &journal.Answer{ID: "a", N: 1, Verb: journal.Approved, Posts: []journal.Post{{At: at(1)}, {At: at(2), Status: 200, Said: "Allowed: x."}}}
	no := &journal.Answer{ID: "b", N: 1, Verb: journal.Denied, Posts: []journal.Post{{At: at(1), Status: 200, Said: "Not allowed. x gets nothing."}}}
	late := &journal.Answer{ID: "f", N: 1, Verb: journal.Approved, Posts: []journal.Post{{At: at(40), Status: 200, Said: "This request ended at x. Nothing was allowed."}}}
	old := &journal.Answer{ID: "d", N: 1, Verb: journal.Denied, Posts: []journal.Post{{At: at(9), Status: 200, Said: "That code does not fit, nothing was changed."}}}
	accepted := func(n, sec int) Delivery { return Delivery{N: n, At: at(sec), Outcome: "accepted"} }
	reported := accepted(1, 0)
	reported.Reported, reported.Delivered = true, true
	message := func(id journal.ID, n int) journal.Message {
		return journal.Message{ID: id, N: n, At: at(n), Carried: true}
	}
	return &Case{
		Seen: journal.Book{
			Asked: map[journal.ID]*journal.Asked{
				"a": {Ends: at(3600), Tokens: []string{"t", "t"}},
				"b": {Ends: at(3600), Error: "access_denied", Pinged: true, Pings: 1},
				"c": {Ends: at(3600)}, "d": {Ends: at(3600), Said: journal.Approved},
				"e": {Ends: at(3600), Said: journal.Withdrawn}, "f": {Ends: at(30), Error: "expired_token"},
			},
			Messages: []journal.Message{message("a", 1), message("b", 1), message("c", 1), message("c", 2), message("d", 1), message("d", 2)},
			Answers:  []*journal.Answer{yes, no, late, old},
			Receipts: []journal.Receipt{{ID: "a", N: 1, Delivered: true}},
		},
		Final: map[journal.ID]Final{
			"a": {Status: "redeemed", Verb: "approved", Settled: "redeemed", AskedAt: t0, Deliveries: []Delivery{reported}},
			"b": {Status: "denied", Verb: "denied", AskedAt: t0, DecidedAt: at(5), Notices: []time.Time{at(6)}, Deliveries: []Delivery{accepted(1, 0)}},
			"c": {Status: "pending", AskedAt: t0, ExpiresAt: at(3600), Deliveries: []Delivery{{N: 1, At: t0}, accepted(2, 2)}},
			"d": {Status: "approved", Verb: "approved", AskedAt: t0, Deliveries: []Delivery{accepted(1, 0), accepted(2, 2)}},
			"e": {Status: "cancelled", Verb: "approved", Settled: "cancelled", AskedAt: t0},
			"f": {Status: "expired", Verb: "expired", AskedAt: t0},
		},
		Looked: at(60), Rules: Rules{Escalate: 2 * time.Second, Slack: time.Second, Limit: 3},
		Sealed: &Export{
			Facts: map[journal.ID]map[string]bool{
				"a": {"asked": true, "decided": true, "settled": true}, "b": {"asked": true, "decided": true}, "c": {"asked": true},
				"d": {"asked": true, "decided": true}, "e": {"asked": true, "decided": true, "settled": true}, "f": {"asked": true, "decided": true},
			},
			Evidence: map[journal.ID]Evidence{"a": {"approved", "redeemed"}, "b": {"denied", ""}, "e": {"approved", "cancelled"}},
			Records:  map[uint64]string{1: "x", 2: "y"},
		},
		Before: &Export{Evidence: map[journal.ID]Evidence{"a": {"approved", ""}, "b": {"denied", ""}}, Records: map[uint64]string{1: "x"}},
	}
}

// change is a final state that is another.
func change(id journal.ID, how func(*Final)) func(*Case) {
	return func(c *Case) {
		f := c.Final[id]
		how(&f)
		c.Final[id] = f
	}
}

// TestJudge plants one broken promise at a time.
func TestJudge(t *testing.T) {
	t.Parallel()
	if got := kept().Judge(); len(got) != 0 {
		t.Fatalf("where everything was kept: Judge() = %v", got)
	}
	if got := kept().Acknowledged(); got != 6+1+3+4 {
		t.Errorf("Acknowledged() = %d, want 6 requests, a receipt, a token and two decisions, 4 answers", got)
	}
	pending := func(f *Final) { f.Status, f.Verb, f.Settled = "pending", "", "" }
	early := kept()
	early.Looked = at(30) // b's ping may still come
	if early.Seen.Asked["b"].Pings = 0; len(early.Judge()) != 0 {
		t.Errorf("before a ping is due again: Judge() = %v", early.Judge())
	}
	for _, tt := range []struct {
		name  string
		plant func(*Case)
		want  Kind
	}{
		{"a request is gone", func(c *Case) { delete(c.Final, "c"); c.Seen.Messages = c.Seen.Messages[:2] }, Lost},
		{"a decision is gone", change("d", pending), Lost},
		{"a decision is another", change("d", func(f *Final) { f.Verb = "denied" }), Lost},
		{"what was taken back goes on", change("e", func(f *Final) { f.Status, f.Settled = "redeemed", "redeemed" }), Lost},
		{"a redemption is gone", change("a", func(f *Final) { f.Status, f.Settled = "approved", "" }), Lost},
		{"an agent was told of a denial", change("b", func(f *Final) { f.Status = "approved" }), Lost},
		{"an agent was told of an end", change("f", func(f *Final) { f.Status = "pending" }), Lost},
		{"a person was told that it counts", change("b", func(f *Final) { f.Verb = "approved" }), Lost},
		{"an attempt is gone", change("c", func(f *Final) { f.Deliveries[1].N = 3 }), Lost},
		{"two tokens", func(c *Case) { c.Seen.Asked["a"].Tokens = []string{"t", "u"} }, Doubled},
		{"an attempt is sent twice", func(c *Case) { c.Seen.Messages = append(c.Seen.Messages, c.Seen.Messages[0]) }, Doubled},
		{"an attempt is sent unclaimed", func(c *Case) { c.Seen.Messages = append(c.Seen.Messages, journal.Message{ID: "b", N: 2}) }, Doubled},
		{"a ping comes unclaimed", func(c *Case) { c.Seen.Asked["b"].Pings = 2 }, Doubled},
		{"an answer has no effect", func(c *Case) { c.Seen.Answers[0].Posts[1].Said = ""; change("a", pending)(c) }, Dropped},
		{"an answer came late, and the person was told nothing", func(c *Case) { c.Seen.Answers[2].Posts[0].Said = "" }, Dropped},
		{"an answer came late, and the request has not ended", change("f", pending), Dropped},
		{"an answer is never taken", func(c *Case) { c.Seen.Answers[1].Posts[0].Status = 503 }, Dropped},
		{"a code does not fit that was the newest", func(c *Case) { c.Seen.Answers[3].N = 2 }, Dropped},
		{"a receipt is gone", change("a", func(f *Final) { f.Deliveries[0].Reported = false }), Dropped},
		{"a receipt is another", change("a", func(f *Final) { f.Deliveries[0].Delivered = false }), Dropped},
		{"the chain is broken", func(c *Case) { c.Sealed.Broken = []string{"x"} }, Unsealed},
		{"a request is not sealed", func(c *Case) { delete(c.Sealed.Facts, "c") }, Unsealed},
		{"a decision is not sealed", func(c *Case) { c.Sealed.Facts["d"]["decided"] = false }, Unsealed},
		{"a token is not sealed", func(c *Case) { c.Sealed.Facts["a"]["settled"] = false }, Unsealed},
		{"there is no evidence", func(c *Case) { delete(c.Sealed.Evidence, "b") }, Unsealed},
		{"the evidence says otherwise", func(c *Case) { c.Sealed.Evidence["a"] = Evidence{"denied", ""} }, Unsealed},
		{"a record of before is another", func(c *Case) { c.Sealed.Records[1] = "y" }, Unsealed},
		{"the records of before are gone", func(c *Case) { c.Sealed.Records = nil }, Unsealed},
		{"the evidence of before is gone", func(c *Case) { c.Before.Evidence["f"] = Evidence{"denied", ""} }, Unsealed},
		{"nobody is asked", func(c *Case) {
			change("c", func(f *Final) { f.Deliveries = nil })(c)
			c.Seen.Messages = c.Seen.Messages[:2]
		}, Undelivered},
		{"nobody is asked again", change("c", func(f *Final) { f.Deliveries[1].Outcome = "" }), Undelivered},
		{"somebody is asked late", change("c", func(f *Final) { f.Deliveries[1].At = at(10) }), Undelivered},
		{"an agent is not pinged", func(c *Case) { c.Seen.Asked["b"].Pings = 0; change("b", func(f *Final) { f.Notices = nil })(c) }, Undelivered},
		{"a ping that was claimed is not made", func(c *Case) { c.Seen.Asked["b"].Pings = 0 }, Undelivered},
	} {
		c := kept()
		tt.plant(c)
		got := c.Judge()
		found := false
		for _, v := range got {
			found = found || v.Kind == tt.want
		}
		if !found {
			t.Errorf("%s: Judge() = %v, want something that is %s", tt.name, got, tt.want)
		}
	}
}
