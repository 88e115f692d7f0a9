package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// readTimeout bounds one read of the store.
const readTimeout = 10 * time.Second

// reader reads several facts in one round trip (batch direct get). All its
// answers arrive on one subscription: one for each read would cost more than
// the read.
type reader struct {
	nc     *nats.Conn
	stream string
	inbox  string // prefix of reply subjects

	mu      sync.Mutex
	last    uint64
	waiting map[string]*reading
}

// errTooMany is returned for a read with more answers than the server gives to
// one.
var errTooMany = errors.New("more answers than one read can have")

// reading is one read under way.
type reading struct {
	msgs []*nats.Msg
	err  error
	done chan struct{}
}

func newReader(nc *nats.Conn, stream string) (*reader, error) {
	r := &reader{nc: nc, stream: stream, inbox: nc.NewInbox() + ".", waiting: make(map[string]*reading)}
	if _, err := nc.Subscribe(r.inbox+"*", r.receive); err != nil {
		return nil, fmt.Errorf("subscribing to answers: %w", err)
	}
	return r, nil
}

// latest returns the newest message of each subject that the filters match,
// at most 1024, in the order of the stream. None is not an error.
func (r *reader) latest(ctx context.Context, filters ...string) ([]message, error) {
	body, err := json.Marshal(struct {
		MultiLast []string `json:"multi_last"`
		Batch     int      `json:"batch"`
	}{filters, batchMax})
	if err != nil {
		return nil, fmt.Errorf("encoding a read: %w", err)
	}
	rd := &reading{done: make(chan struct{})}
	r.mu.Lock()
	r.last++
	reply := r.inbox + strconv.FormatUint(r.last, 36)
	r.waiting[reply] = rd
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.waiting, reply)
		r.mu.Unlock()
	}()
	if err := r.nc.PublishRequest("$JS.API.DIRECT.GET."+r.stream, reply, body); err != nil {
		return nil, fmt.Errorf("reading facts: %w", away(err))
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	select {
	case <-rd.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("reading facts: %w", away(ctx.Err()))
	}
	if rd.err != nil {
		return nil, fmt.Errorf("reading facts: %w", rd.err)
	}
	out := make([]message, len(rd.msgs))
	for i, m := range rd.msgs {
		if out[i], err = direct(m); err != nil {
			return nil, fmt.Errorf("reading facts: %w", err)
		}
	}
	return out, nil
}

// receive collects answers. A message with a status ends a read.
func (r *reader) receive(m *nats.Msg) {
	r.mu.Lock()
	rd := r.waiting[m.Subject]
	r.mu.Unlock()
	if rd == nil {
		return // nobody waits any more
	}
	switch status := statusOf(m); status {
	case "":
		rd.msgs = append(rd.msgs, m)
		return
	case "404": // nothing there
	case "413":
		rd.err = errTooMany
	case "204": // end of batch
		last := "0"
		if n := len(rd.msgs); n > 0 {
			last = served(rd.msgs[n-1], jetstream.SequenceHeader)
		}
		if served(m, "Nats-Last-Sequence") != last {
			rd.err = errIncomplete
		}
	default:
		rd.err = away(&statusError{status, m.Header.Get("Description")})
	}
	r.mu.Lock()
	delete(r.waiting, m.Subject)
	r.mu.Unlock()
	close(rd.done)
}
