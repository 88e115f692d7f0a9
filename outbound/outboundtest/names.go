// Package outboundtest has a name server for tests of what is done with
// addresses that somebody else chose:
//
//	n := &outboundtest.Names{Answer: outboundtest.Always("127.0.0.1")}
//	out, err := outbound.New(outbound.Config{Resolver: n.Resolver(t)})
package outboundtest

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
)

// Names is a name server: every question goes to Answer, and every name asked
// for is remembered.
type Names struct {
	Answer func(name string) []netip.Addr

	mu    sync.Mutex
	asked []string
}

// Resolver returns a resolver that knows no other server.
func (n *Names) Resolver(t testing.TB) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		t.Cleanup(func() { client.Close(); server.Close() })
		go n.serve(server)
		return client, nil
	}}
}

// serve speaks DNS over a stream (RFC 1035 §4.2.2).
func (n *Names) serve(conn net.Conn) {
	defer conn.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		q := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, q); err != nil || len(q) < 12 {
			return
		}
		var labels []string
		i := 12
		for q[i] != 0 {
			labels = append(labels, string(q[i+1:i+1+int(q[i])]))
			i += 1 + int(q[i])
		}
		end := i + 5
		kind := binary.BigEndian.Uint16(q[i+1:])
		name := strings.Join(labels, ".")
		n.mu.Lock()
		n.asked = append(n.asked, name)
		n.mu.Unlock()
		a := append([]byte{}, q[:end]...)
		binary.BigEndian.PutUint16(a[2:], 0x8580) // an authoritative answer
		binary.BigEndian.PutUint16(a[8:], 0)
		binary.BigEndian.PutUint16(a[10:], 0)
		count := uint16(0)
		for _, ip := range n.Answer(name) {
			if ip.Is4() != (kind == 1) || kind != 1 && kind != 28 {
				continue
			}
			raw := ip.AsSlice()
			a = append(a, 0xc0, 12)
			a = binary.BigEndian.AppendUint16(a, kind)
			a = append(a, 0, 1, 0, 0, 0, 0)
			a = binary.BigEndian.AppendUint16(a, uint16(len(raw)))
			a = append(a, raw...)
			count++
		}
		binary.BigEndian.PutUint16(a[6:], count)
		if _, err := conn.Write(binary.BigEndian.AppendUint16(nil, uint16(len(a)))); err != nil {
			return
		}
		if _, err := conn.Write(a); err != nil {
			return
		}
	}
}

// Questions returns the names asked for so far.
func (n *Names) Questions() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string{}, n.asked...)
}

// Always answers every question with the same addresses.
func Always(list ...string) func(string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return func(string) []netip.Addr { return out }
}
