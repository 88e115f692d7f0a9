package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// patience is how long we wait for others, at every listener.
type patience struct {
	header time.Duration // for the handshake, and for the header of a request
	body   time.Duration // for the whole request, from its header on
	idle   time.Duration // for another request on the same connection
	work   time.Duration // for an answer to be ready: more than any takes, a held poll included
	answer time.Duration // for an answer to be taken, once it is ready; of an export for each part
	beat   time.Duration // for each part of a stream of events to be taken
	stream time.Duration // for all of such a stream; then the page asks for another
}

// usualPatience is that of a service.
var usualPatience = patience{
	header: 10 * time.Second, body: 30 * time.Second, idle: 2 * time.Minute,
	work: 2 * time.Minute, answer: 30 * time.Second,
	beat: 10 * time.Second, stream: 10 * time.Minute,
}

// course is how long an answer of many parts may take: each part, and all of
// them (0: as long as they are taken).
type course struct{ part, whole time.Duration }

// courses are the routes with such answers.
func (p patience) courses() map[string]course {
	return map[string]course{
		"/dev/phone/events": {p.beat, p.stream},
		"/admin/v1/export":  {p.answer, 0},
	}
}

// answering is the handler of a listener. It is the one place that says until
// when an answer must be taken, and whose turn it is on a connection.
type answering struct {
	next     http.Handler
	patience patience
	courses  map[string]course
	open     map[string]bool // routes that answer also while the service stops
	stopping atomic.Bool     // nothing new begins
}

// ServeHTTP answers r.
func (h *answering) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.stopping.Load() && !h.open[r.URL.Path] {
		w.Header().Set("Connection", "close")
		w.Header().Set("Retry-After", "1")
		http.Error(w, "this process is stopping, send the request again", http.StatusServiceUnavailable)
		return
	}
	a := answerWriter{ResponseWriter: w, to: h.patience.answer, ours: r.Body == http.NoBody}
	if c, ok := h.courses[r.URL.Path]; ok {
		a.parts, a.to = true, c.part
		if c.whole > 0 {
			ctx, end := context.WithTimeout(r.Context(), c.whole)
			defer end()
			r = r.WithContext(ctx)
		}
	}
	a.conn, _ = r.Context().Value(connKey{}).(*conn)
	if a.conn != nil && !a.conn.begin(a.ours) {
		panic(http.ErrAbortHandler) // an answer would need room too
	}
	if !a.ours {
		a.body, r.Body = r.Body, (*requestBody)(&a)
	}
	defer a.end()
	h.next.ServeHTTP(&a, r)
}

// answerWriter takes an answer, which somebody has to take from us in time.
type answerWriter struct {
	http.ResponseWriter
	conn  *conn         // nil in tests
	body  io.ReadCloser // of the request; nil if it has none
	to    time.Duration // for the answer to be taken, or a part of it
	parts bool
	begun bool // it is being sent
	ours  bool // it is our turn
}

// turn says whose it is.
func (a *answerWriter) turn(ours bool) {
	if a.ours == ours {
		return
	}
	a.ours = ours
	if a.conn != nil {
		a.conn.turn(ours)
	}
}

// send lets the client take what there is until the time is over.
func (a *answerWriter) send() {
	if a.begun && !a.parts {
		return
	}
	a.begun = true
	a.turn(false)
	a.deadline(time.Now().Add(a.to))
}

// sent lets us go on with the next part.
func (a *answerWriter) sent() {
	if a.parts {
		a.deadline(time.Time{})
		a.turn(true)
	}
}

func (a *answerWriter) deadline(t time.Time) {
	if w, ok := a.ResponseWriter.(interface{ SetWriteDeadline(time.Time) error }); ok {
		w.SetWriteDeadline(t) // fails when the connection is gone, as what is written then
	}
}

// end is when the handler has returned; what it wrote last goes out after it.
func (a *answerWriter) end() {
	if a.parts || !a.begun {
		a.deadline(time.Now().Add(a.to))
	}
	if a.conn != nil {
		a.conn.end(a.ours)
	}
}

// WriteHeader implements http.ResponseWriter.
func (a *answerWriter) WriteHeader(code int) {
	a.send()
	a.ResponseWriter.WriteHeader(code)
	a.sent()
}

// Write implements http.ResponseWriter.
func (a *answerWriter) Write(p []byte) (int, error) {
	a.send()
	n, err := a.ResponseWriter.Write(p)
	a.sent()
	return n, err
}

// FlushError is what http.ResponseController looks for.
func (a *answerWriter) FlushError() error {
	a.send()
	err := http.NewResponseController(a.ResponseWriter).Flush()
	a.sent()
	return err
}

// requestBody is the body of the request that the answer is to. It is our turn
// when it has come to its end.
type requestBody answerWriter

// Read implements io.Reader.
func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if errors.Is(err, io.EOF) && !b.begun {
		(*answerWriter)(b).turn(true)
	}
	return n, err
}

// Close implements io.Closer.
func (b *requestBody) Close() error { return b.body.Close() }

// connKey is the key of a request's context under which its connection is.
type connKey struct{}

// withConn puts the connection there.
func withConn(ctx context.Context, nc net.Conn) context.Context {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	return context.WithValue(ctx, connKey{}, nc)
}
