package main

import (
	"context"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ringback/channels"
	"ringback/consent"
	"ringback/workers"
)

// metricsConfig is what metrics read when they are collected. Every field may
// be nil; its metric is then absent.
type metricsConfig struct {
	Lag  func() time.Duration // how far sealing is behind
	Fill func() float64       // how full the stream of facts is, 0 to 1
	Held func() int           // polls that are held open

	Engine func() workers.Stats   // what there is to do
	Flows  map[listenerName]*flow // connections of the listeners
}

// metrics are this program's counters. They count what this process wrote, so
// that the sum over all processes is right. Every label comes from a closed set.
type metrics struct {
	cfg      metricsConfig
	registry *prometheus.Registry

	requests  *prometheus.CounterVec // by state entered
	attempts  *prometheus.CounterVec // by channel and outcome
	delivered prometheus.Histogram   // from asked to the first accepted outcome
	decided   prometheus.Histogram   // from asked to the decision of a person
	commit    prometheus.Histogram   // of one durable write
	facts     prometheus.Counter

	mu     sync.Mutex
	trying map[attempt]string // channel of attempts without an outcome
}

// attempt names one delivery.
type attempt struct {
	id consent.ID
	n  int
}

// maxTrying bounds the attempts remembered: one whose process of delivery was
// cut short never gets an outcome.
const maxTrying = 100_000

// Label values.
var (
	states = []string{
		string(consent.StatusPending), string(consent.StatusApproved), string(consent.StatusDenied),
		string(consent.StatusWithdrawn), string(consent.StatusExpired), string(consent.StatusRedeemed),
		string(consent.StatusCancelled), string(consent.StatusRevoked),
	}
	outcomes = []consent.OutcomeStatus{consent.Accepted, consent.Unreachable, consent.Refused, consent.Unknown}
)

// newMetrics creates every counter, so that each is visible from the start.
func newMetrics(cfg metricsConfig) *metrics {
	m := &metrics{cfg: cfg, registry: prometheus.NewRegistry(), trying: map[attempt]string{}}
	m.requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ringback_requests_total", Help: "Requests that entered a state, by state."}, []string{"state"})
	m.attempts = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ringback_attempts_total", Help: "Deliveries that ended, by channel and outcome."}, []string{"channel", "outcome"})
	m.delivered = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "ringback_first_delivery_seconds", Help: "Time from the request to the first message that a provider accepted.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}})
	m.decided = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "ringback_decision_seconds", Help: "Time from the request to a person's decision.",
		Buckets: []float64{1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 86400}})
	m.commit = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "ringback_commit_seconds", Help: "Time of one durable write, which may hold many facts.",
		Buckets: []float64{.0002, .0005, .001, .002, .005, .01, .02, .05, .1, .25, 1, 5, 15}})
	m.facts = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "ringback_facts_total", Help: "Facts written."})
	for _, s := range states {
		m.requests.WithLabelValues(s)
	}
	for _, ch := range channels.Names() {
		for _, o := range outcomes {
			m.attempts.WithLabelValues(ch, string(o))
		}
	}
	m.registry.MustRegister(m.requests, m.attempts, m.delivered, m.decided, m.commit, m.facts,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	gauge := func(name, help string, labels prometheus.Labels, value func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value))
	}
	if cfg.Lag != nil {
		gauge("ringback_sealing_lag_seconds", "Age of the oldest fact that is not in the audit chain yet.", nil,
			func() float64 { return cfg.Lag().Seconds() })
	}
	if cfg.Engine != nil {
		m.registry.MustRegister(engineMetrics{cfg.Engine})
	}
	if cfg.Fill != nil {
		gauge("ringback_store_fill_ratio", "How full the stream of facts is; new requests stop at 0.8.", nil, cfg.Fill)
	}
	if cfg.Held != nil {
		gauge("ringback_polls_held", "Polls that are held open.", nil, func() float64 { return float64(cfg.Held()) })
	}
	for name, f := range cfg.Flows {
		at := prometheus.Labels{"listener": string(name)}
		gauge("ringback_connections", "Open connections, by listener.", at, func() float64 { return float64(f.open.Load()) })
		gauge("ringback_connections_limit", "Connections that may be open, by listener; 0 where there is none.", at, func() float64 { return float64(f.most.Load()) })
		for cause := range refusals {
			m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
				Name: "ringback_connections_refused_total", Help: "Connections that were closed for want of room, by listener and cause.",
				ConstLabels: prometheus.Labels{"listener": string(name), "cause": cause.String()},
			}, func() float64 { return float64(f.refused[cause].Load()) }))
		}
	}
	version, commit := build()
	gauge("ringback_build_info", "1; the labels say which program this is.",
		prometheus.Labels{"version": version, "commit": commit, "go": runtime.Version()}, func() float64 { return 1 })
	return m
}

// Handler serves the metrics in Prometheus' text form.
func (m *metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// OnCommit observes one durable write of n facts; see store.Config.OnCommit.
func (m *metrics) OnCommit(n int, took time.Duration) {
	m.commit.Observe(took.Seconds())
	m.facts.Add(float64(n))
}

// Store returns st with every write counted.
func (m *metrics) Store(st consent.Store) consent.Store { return &counted{Store: st, m: m} }

// tried remembers the channel of an attempt until its outcome.
func (m *metrics) tried(id consent.ID, n int, channel string) {
	if !slices.Contains(channels.Names(), channel) {
		channel = "other" // keeps the set of labels closed
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.trying) >= maxTrying {
		clear(m.trying)
	}
	m.trying[attempt{id, n}] = channel
}

// concluded counts the outcome of an attempt of this process, once.
func (m *metrics) concluded(id consent.ID, o consent.Outcome) bool {
	m.mu.Lock()
	channel, ok := m.trying[attempt{id, o.N}]
	delete(m.trying, attempt{id, o.N})
	m.mu.Unlock()
	if !ok {
		return false
	}
	m.attempts.WithLabelValues(channel, string(o.Status)).Inc()
	return true
}

// counted is a consent.Store that counts what went through it.
type counted struct {
	consent.Store
	m *metrics
}

// Ask implements consent.Store.
func (s *counted) Ask(ctx context.Context, req *consent.Request) error {
	return s.asked(s.Store.Ask(ctx, req))
}

// AskIf implements consent.Store.
func (s *counted) AskIf(ctx context.Context, req *consent.Request, admit func(consent.History) error) error {
	return s.asked(s.Store.AskIf(ctx, req, admit))
}

func (s *counted) asked(err error) error {
	if err == nil {
		s.m.requests.WithLabelValues(string(consent.StatusPending)).Inc()
	}
	return err
}

// Try implements consent.Store.
func (s *counted) Try(ctx context.Context, id consent.ID, a consent.Attempt) error {
	err := s.Store.Try(ctx, id, a)
	if err == nil {
		s.m.tried(id, a.N, a.Channel)
	}
	return err
}

// Conclude implements consent.Store.
func (s *counted) Conclude(ctx context.Context, id consent.ID, o consent.Outcome) error {
	err := s.Store.Conclude(ctx, id, o)
	if err == nil && s.m.concluded(id, o) && o.Status == consent.Accepted {
		if b, ok := s.Peek(id); ok && s.first(ctx, id, o.N) {
			s.m.delivered.Observe(o.At.Sub(b.AskedAt).Seconds())
		}
	}
	return err
}

// first reports whether no attempt before n was accepted. Only an escalation
// has to look.
func (s *counted) first(ctx context.Context, id consent.ID, n int) bool {
	if n == 1 {
		return true
	}
	st, err := s.Get(ctx, id)
	if err != nil {
		return false
	}
	for i, o := range st.Outcomes {
		if i < n && o.Status == consent.Accepted {
			return false
		}
	}
	return true
}

// Decide implements consent.Store.
func (s *counted) Decide(ctx context.Context, id consent.ID, d consent.Decision) (consent.Decision, error) {
	won, err := s.Store.Decide(ctx, id, d)
	if err == nil {
		s.m.requests.WithLabelValues(string(d.Verb)).Inc()
		if b, ok := s.Peek(id); ok && (d.Verb == consent.Approved || d.Verb == consent.Denied) {
			s.m.decided.Observe(d.At.Sub(b.AskedAt).Seconds())
		}
	}
	return won, err
}

// End implements consent.Store.
func (s *counted) End(ctx context.Context, ids []consent.ID, now time.Time) ([]consent.ID, error) {
	ended, err := s.Store.End(ctx, ids, now)
	s.m.requests.WithLabelValues(string(consent.StatusExpired)).Add(float64(len(ended)))
	return ended, err
}

// Settle implements consent.Store.
func (s *counted) Settle(ctx context.Context, id consent.ID, st consent.Settlement) (consent.Settlement, error) {
	won, err := s.Store.Settle(ctx, id, st)
	if err == nil {
		s.m.requests.WithLabelValues(string(settled(st.Verb))).Inc()
	}
	return won, err
}

// Revoke implements consent.Store.
func (s *counted) Revoke(ctx context.Context, id consent.ID, r consent.Revocation) error {
	err := s.Store.Revoke(ctx, id, r)
	if err == nil {
		s.m.requests.WithLabelValues(string(consent.StatusRevoked)).Inc()
	}
	return err
}

// settled is the state that a settlement leads to.
func settled(v consent.SettleVerb) consent.Status {
	switch v {
	case consent.Redeemed:
		return consent.StatusRedeemed
	case consent.Cancelled:
		return consent.StatusCancelled
	default:
		return consent.StatusExpired
	}
}
