package main

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ringback/consent"
	"ringback/store"
	"ringback/store/storetest"
)

// TestMetrics lets requests go their ways through the counting store.
func TestMetrics(t *testing.T) {
	t.Parallel()
	at := &flow{}
	at.open.Store(7)
	at.most.Store(40)
	at.refused[refusedAddress].Store(3)
	m := newMetrics(metricsConfig{
		Lag: func() time.Duration { return 1500 * time.Millisecond }, Fill: func() float64 { return .25 }, Held: func() int { return 5 },
		Flows: map[listenerName]*flow{listenPublic: at, listenPeople: {}},
	})
	h := storetest.New(t, func(c *store.Config) { c.Dev, c.OnCommit = true, m.OnCommit })
	st := m.Store(h.Store)
	ctx := t.Context()
	now := time.Now()

	ask := func() *consent.Request {
		req := h.Request("alice")
		if err := st.Ask(ctx, req); err != nil {
			t.Fatal(err)
		}
		return req
	}
	try := func(req *consent.Request, n int, o consent.OutcomeStatus) {
		if err := st.Try(ctx, req.ID, consent.Attempt{V: 1, N: n, Channel: "sms", At: now}); err != nil {
			t.Fatal(err)
		}
		if err := st.Conclude(ctx, req.ID, consent.Outcome{V: 1, N: n, Status: o, At: now}); err != nil {
			t.Fatal(err)
		}
	}
	a := ask()
	try(a, 1, consent.Refused)
	try(a, 2, consent.Accepted)
	try(a, 3, consent.Accepted) // not the first delivery
	d := h.Decision(a, consent.Approved)
	if _, err := st.Decide(ctx, a.ID, d); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Decide(ctx, a.ID, h.Decision(a, consent.Denied)); err == nil {
		t.Fatal("decided twice")
	}
	if _, err := st.Settle(ctx, a.ID, h.Settlement(a, consent.Redeemed)); err != nil {
		t.Fatal(err)
	}
	if err := st.Revoke(ctx, a.ID, consent.Revocation{V: 1, By: "operator", At: now}); err != nil {
		t.Fatal(err)
	}
	b := ask()
	if _, err := st.Decide(ctx, b.ID, h.Decision(b, consent.Expired)); err != nil {
		t.Fatal(err)
	}

	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	got := w.Body.String()
	for _, want := range []string{
		`ringback_requests_total{state="pending"} 2`,
		`ringback_requests_total{state="approved"} 1`,
		`ringback_requests_total{state="denied"} 0`,
		`ringback_requests_total{state="expired"} 1`,
		`ringback_requests_total{state="redeemed"} 1`,
		`ringback_requests_total{state="revoked"} 1`,
		`ringback_attempts_total{channel="sms",outcome="accepted"} 2`,
		`ringback_attempts_total{channel="sms",outcome="refused"} 1`,
		`ringback_attempts_total{channel="console",outcome="unknown"} 0`,
		`ringback_first_delivery_seconds_count 1`,
		`ringback_decision_seconds_count 1`,
		`ringback_sealing_lag_seconds 1.5`,
		`ringback_store_fill_ratio 0.25`,
		`ringback_polls_held 5`,
		`ringback_connections{listener="public"} 7`,
		`ringback_connections{listener="people"} 0`,
		`ringback_connections_limit{listener="public"} 40`,
		`ringback_connections_refused_total{cause="address",listener="public"} 3`,
		`ringback_connections_refused_total{cause="listener",listener="public"} 0`,
		`ringback_connections_refused_total{cause="displaced",listener="people"} 0`,
		`ringback_connections_refused_total{cause="descriptors",listener="people"} 0`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("metrics lack %q", want)
		}
	}
	if m := regexp.MustCompile(`(?m)^ringback_build_info\{commit="[^"]+",go="go[^"]+",version="[^"]+"\} 1$`).FindString(got); m == "" {
		t.Error("metrics do not say which program this is")
	}
	if m := regexp.MustCompile(`(?m)^ringback_commit_seconds_count ([1-9]\d*)$`).FindString(got); m == "" {
		t.Error("no commit was measured")
	}
	for _, who := range []string{"alice", a.ID.String(), a.Client.ID} {
		if strings.Contains(got, `"`+who+`"`) {
			t.Errorf("metrics name %q", who)
		}
	}
}

// TestMetricsTable: deploy/README.md names every metric of ours, and no other.
func TestMetricsTable(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile(filepath.Join("..", "..", "deploy", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, "listen: 127.0.0.1:0\nmanage: 127.0.0.1:0\n", true)
	families, err := s.house.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if p, m := s.flows[listenPublic].most.Load(), s.flows[listenManage].most.Load(); int(p) != s.room.each || int(m) != s.room.manage || p == m {
		t.Errorf("there is room for %d connections, and %d of operators, want %+v", p, m, s.room)
	}
	named := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `ringback_.*$").FindAllString(string(doc), -1) {
		for _, m := range regexp.MustCompile("`(ringback_[a-z_]+)(?:\\{([a-z,]+)\\})?`").FindAllStringSubmatch(row, -1) {
			named[m[1]+"{"+m[2]+"}"] = true
		}
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "ringback_") {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		name := f.GetName() + "{" + strings.Join(labels, ",") + "}"
		if !named[name] {
			t.Errorf("deploy/README.md does not name %s", name)
		}
		delete(named, name)
	}
	for name := range named {
		t.Errorf("deploy/README.md names %s, which is not published", name)
	}
}
