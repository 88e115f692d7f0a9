package demo

import (
	"sync"
	"time"
)

// AgentEvent is one line of what the sample agent sees.
type AgentEvent struct {
	At   time.Time `json:"at"`
	What string    `json:"what"` // "ask", "wait", "token", "refused", "end"
	Text string    `json:"text"`
	Body string    `json:"body,omitempty"` // JSON to show under it
}

// AgentLog holds the latest events of the sample agent.
type AgentLog struct {
	mu      sync.Mutex
	events  []AgentEvent
	watcher map[chan struct{}]bool
}

func newAgentLog() *AgentLog { return &AgentLog{watcher: make(map[chan struct{}]bool)} }

// maxAgentEvents keeps the page short; older ones are dropped.
const maxAgentEvents = 50

// Add appends an event. Consecutive waits are one line.
func (l *AgentLog) Add(e AgentEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.events); n > 0 && e.What == "wait" && l.events[n-1].What == "wait" {
		l.events = l.events[:n-1]
	}
	if l.events = append(l.events, e); len(l.events) > maxAgentEvents {
		l.events = l.events[1:]
	}
	for w := range l.watcher {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// Events returns a copy, oldest first.
func (l *AgentLog) Events() []AgentEvent {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]AgentEvent{}, l.events...)
}

func (l *AgentLog) watch() (<-chan struct{}, func()) {
	w := make(chan struct{}, 1)
	l.mu.Lock()
	l.watcher[w] = true
	l.mu.Unlock()
	return w, func() {
		l.mu.Lock()
		delete(l.watcher, w)
		l.mu.Unlock()
	}
}
