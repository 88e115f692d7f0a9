//go:build e2e

package main

import (
	"strings"
	"testing"
	"time"
)

// TestCrashCheckerFindsViolations plants one broken promise at a time.
func TestCrashCheckerFindsViolations(t *testing.T) {
	t.Parallel()
	t0 := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	good := func() *crashed {
		return &crashed{
			Asked:   map[string]time.Time{"a": t0, "b": t0, "c": t0, "d": t0},
			Decided: map[string]string{"a": "approved", "b": "denied", "d": "approved"},
			Tokens:  map[string][]string{"a": {"t"}},
			Sent:    []carried{{"a", 1}, {"b", 1}, {"c", 1}, {"c", 2}, {"d", 1}},
			Final: map[string]outcome{
				"a": {Status: "redeemed", AskedAt: t0, Deliveries: []attempted{{1, t0, "accepted"}}},
				"b": {Status: "denied", AskedAt: t0, Deliveries: []attempted{{1, t0, "accepted"}}},
				"c": {Status: "pending", AskedAt: t0, ExpiresAt: t0.Add(time.Hour), Deliveries: []attempted{{1, t0, ""}, {2, t0.Add(2 * time.Second), "accepted"}}},
				"d": {Status: "approved", AskedAt: t0, Deliveries: []attempted{{1, t0, "accepted"}}},
			},
			Escalate: 2 * time.Second, Slack: time.Second, Limit: 3, Looked: t0.Add(time.Minute),
		}
	}
	if got := good().check(); len(got) != 0 {
		t.Fatalf("a run without violations: check() = %q", got)
	}
	for _, tt := range []struct {
		name  string
		plant func(*crashed)
		want  string
	}{
		{"lost request", func(c *crashed) { delete(c.Final, "c") }, "lost"},
		{"lost approval", func(c *crashed) { c.Final["d"] = outcome{Status: "pending", Deliveries: c.Final["d"].Deliveries} }, "approval acknowledged"},
		{"lost denial", func(c *crashed) { c.Final["b"] = outcome{Status: "expired", Deliveries: c.Final["b"].Deliveries} }, "denial acknowledged"},
		{"turned decision", func(c *crashed) { c.Decided["a"] = "denied" }, "denial acknowledged"},
		{"second token", func(c *crashed) { c.Tokens["a"] = []string{"t", "u"} }, "2 different tokens"},
		{"forgotten redemption", func(c *crashed) { c.Tokens["d"] = []string{"t"} }, "a token was handed out"},
		{"second message of one attempt", func(c *crashed) { c.Sent = append(c.Sent, carried{"b", 1}) }, "sent 2 times"},
		{"message without a claim", func(c *crashed) { c.Sent = append(c.Sent, carried{"b", 2}) }, "without having been claimed"},
		{"no second attempt", func(c *crashed) {
			f := c.Final["c"]
			f.Deliveries = f.Deliveries[:1]
			c.Final["c"], c.Sent = f, c.Sent[:3]
		}, "never came"},
		{"no first attempt", func(c *crashed) {
			f := c.Final["c"]
			f.Deliveries = nil
			c.Final["c"], c.Sent = f, c.Sent[:2]
		}, "its first attempt never came"},
		{"late second attempt", func(c *crashed) { c.Final["c"].Deliveries[1].At = t0.Add(10 * time.Second) }, "late"},
		{"gap in attempts", func(c *crashed) { c.Final["c"].Deliveries[1].N = 3 }, "attempt 2 is missing"},
	} {
		c := good()
		tt.plant(c)
		if got := c.check(); !strings.Contains(strings.Join(got, "\n"), tt.want) {
			t.Errorf("%s: check() = %q, want something with %q", tt.name, got, tt.want)
		}
	}
}
