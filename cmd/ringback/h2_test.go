package main

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// h2 is a client of HTTP/2 that does what no good client does. It speaks in
// frames (RFC 9113).
type h2 struct {
	net.Conn
	next uint32 // stream
}

// Types and flags of frames.
const (
	frameData, frameHeaders, frameReset, frameSettings, frameGoAway, frameWindow = 0, 1, 3, 4, 7, 8

	endStream, endHeaders = 1, 4
)

// Identifiers of settings.
const settingStreams, settingWindow = 3, 4

// dialH2 connects and says hello: the other side may send nothing of a body
// until it is told so.
func dialH2(t *testing.T, addr string) *h2 {
	t.Helper()
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}) // whose certificate it is does not matter here
	if err := c.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := &h2{c, 1}
	hello := append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(frameSettings, 0, 0, []byte{0, settingWindow, 0, 0, 0, 0})...)
	if _, err := h.Write(hello); err != nil {
		t.Fatal(err)
	}
	return h
}

// frame encodes one.
func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	f := binary.BigEndian.AppendUint32([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags}, stream)
	return append(f, payload...)
}

// request opens a stream and returns it.
func (h *h2) request(method, path string, flags byte) (uint32, error) {
	text := func(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }
	head := []byte{0x87} // :scheme https, see RFC 7541 appendix A
	head = text(append(head, 0x02), method)
	head = text(append(head, 0x04), path)
	head = text(append(head, 0x01), "x") // :authority
	if method == "POST" {
		head = text(append(head, 0x0f, 0x10), "application/x-www-form-urlencoded") // content-type
	}
	stream := h.next
	h.next += 2
	_, err := h.Write(frame(frameHeaders, endHeaders|flags, stream, head))
	return stream, err
}

// read returns the next frame.
func (h *h2) read(within time.Duration) (kind byte, stream uint32, payload []byte, err error) {
	h.SetReadDeadline(time.Now().Add(within))
	var head [9]byte
	if _, err = io.ReadFull(h, head[:]); err != nil {
		return 0, 0, nil, err
	}
	payload = make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
	_, err = io.ReadFull(h, payload)
	return head[3], binary.BigEndian.Uint32(head[5:]) & (1<<31 - 1), payload, err
}

// until reads frames until one is of this kind and stream.
func (h *h2) until(kind byte, stream uint32, within time.Duration) ([]byte, error) {
	for end := time.Now().Add(within); ; {
		k, s, payload, err := h.read(time.Until(end))
		if err != nil {
			return nil, fmt.Errorf("waiting for frame %d of stream %d: %w", kind, stream, err)
		}
		if k == kind && s == stream {
			return payload, nil
		}
	}
}

// flood opens so many streams.
func (h *h2) flood(t *testing.T, n int, path string) {
	t.Helper()
	for range n {
		if _, err := h.request("GET", path, endStream); err != nil {
			t.Fatal(err)
		}
	}
}

// resets waits until so many streams are reset, and returns how many were.
func (h *h2) resets(t *testing.T, n int) int {
	t.Helper()
	reset := make(map[uint32]bool)
	for end := time.Now().Add(soon); len(reset) < n && time.Now().Before(end); {
		kind, stream, _, err := h.read(time.Until(end))
		if err != nil {
			t.Error(err)
			break
		}
		if kind == frameReset {
			reset[stream] = true
		}
	}
	return len(reset)
}

// TestStreamsEnd: a connection of HTTP/2 may have 32 requests at a time, and
// each ends whatever the client leaves undone.
func TestStreamsEnd(t *testing.T) {
	t.Parallel()
	var running, most atomic.Int64
	h := func(w http.ResponseWriter, r *http.Request) {
		n := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if r.URL.Path == "/never" {
			<-r.Context().Done()
			return
		}
		w.Write(bytes.Repeat([]byte("x"), 1<<20))
	}
	idle := func() bool { return running.Load() == 0 }

	l := listenWith(t, patientBut(func(p *patience) { p.answer, p.idle = aWhile, aWhile }), room{8, 200}, true, h)
	c := dialH2(t, l.ln.Addr().String())
	settings, err := c.until(frameSettings, 0, soon)
	if err != nil || !bytes.Contains(settings, []byte{0, settingStreams, 0, 0, 0, maxStreams}) {
		t.Errorf("settings %x, %v, want at most %d streams", settings, err, maxStreams)
	}
	c.flood(t, 100, "/")
	if n := c.resets(t, 100); n != 100 || most.Load() > maxStreams {
		t.Errorf("%d of 100 answers that got no window are over; %d ran at a time", n, most.Load())
	}
	waitFor(t, "the end of every handler", idle)

	// One that reads nothing at all, not even what the protocol itself says.
	deaf := dialH2(t, l.ln.Addr().String())
	deaf.Write(frame(frameSettings, 0, 0, []byte{0, settingWindow, 0x7f, 0xff, 0xff, 0xff}))
	deaf.Write(frame(frameWindow, 0, 0, []byte{0x7f, 0, 0, 0}))
	deaf.flood(t, 20, "/")
	waitFor(t, "the requests", func() bool { return !idle() })
	waitFor(t, "the end of every handler", idle)
	waitFor(t, "the end of every connection", func() bool { return l.open() == 0 })

	slow := dialH2(t, listenWith(t, patientBut(func(p *patience) { p.body = aWhile }), room{8, 200}, true, h).ln.Addr().String())
	stream, err := slow.request(http.MethodPost, "/", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := slow.until(frameHeaders, stream, soon); err != nil {
		t.Errorf("a body that does not come: %v", err)
	}

	late := dialH2(t, listenWith(t, patientBut(func(p *patience) { p.work = aWhile }), room{8, 200}, true, h).ln.Addr().String())
	late.flood(t, 3, "/never")
	if n := late.resets(t, 3); n != 3 {
		t.Errorf("%d of 3 answers that never are ready are over", n)
	}
	waitFor(t, "the end of every handler", idle)

	// There is room for fewer requests than a connection may have.
	most.Store(0)
	l = listenWith(t, patientBut(func(p *patience) { p.work = 10 * aWhile }), room{8, 20}, true, h)
	crowd := dialH2(t, l.ln.Addr().String())
	crowd.flood(t, maxStreams, "/never")
	if n := crowd.resets(t, maxStreams-15); n != maxStreams-15 || most.Load() != 15 || l.gate.flow.refused[refusedAddress].Load() != maxStreams-15 {
		t.Errorf("%d of %d requests are refused, %d ran, want three quarters of the room", n, maxStreams, most.Load())
	}
	crowd.Close()
	waitFor(t, "the end of every handler", idle)
}
