package main

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
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
