package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"ringback/workers"
)

// engineMetrics publish what the engine has to do, read when they are collected.
type engineMetrics struct{ stats func() workers.Stats }

// What is published of the engine.
var (
	descWaiting  = desc("waiting_requests", "Requests that the engine has in mind, by what they wait for.", "cause")
	descDue      = desc("due_seconds", "For how long the first request to be looked at has been due.")
	descEnds     = desc("ends_waiting", "Requests whose time is over and whose end is to be written.")
	descBehind   = desc("ends_behind_seconds", "For how long the first of those has been due; new requests are slowed down above 1.")
	descDown     = desc("channel_down", "1 while a channel's provider does not work and is only probed.", "channel")
	descHeld     = desc("channel_held", "Requests that wait for a channel to work again.", "channel")
	descCalls    = desc("calls", "Calls to the outside under way, by channel; notices are those to clients.", "to")
	descCallsDue = desc("calls_waiting", "Calls to the outside that wait for others to end.", "to")
	descPanics   = desc("panics_total", "Steps that ended in a panic, which is in the log.")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("ringback_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (m engineMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descWaiting, descDue, descEnds, descBehind, descDown, descHeld, descCalls, descCallsDue, descPanics} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m engineMetrics) Collect(ch chan<- prometheus.Metric) {
	s := m.stats()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for cause, n := range s.Waiting {
		gauge(descWaiting, float64(n), cause.String())
	}
	gauge(descDue, s.Due.Seconds())
	gauge(descEnds, float64(s.Ends))
	gauge(descBehind, s.Behind.Seconds())
	for name, c := range s.Channels {
		down := 0.0
		if c.Down {
			down = 1
		}
		gauge(descDown, down, name)
		gauge(descHeld, float64(c.Held), name)
		gauge(descCalls, float64(c.Busy), name)
		gauge(descCallsDue, float64(c.Waiting), name)
	}
	gauge(descCalls, float64(s.Notices.Busy), "notices")
	gauge(descCallsDue, float64(s.Notices.Waiting), "notices")
	ch <- prometheus.MustNewConstMetric(descPanics, prometheus.CounterValue, float64(s.Panics))
}
