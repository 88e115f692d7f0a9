// Package flood is a crowd that takes connections from many addresses and gives
// nothing for them, and the agent that has to be served meanwhile.
//
// Start with [Begin].
package flood

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Attack is a way to hold a connection. It returns when it has nothing more to
// send.
type Attack func(ctx context.Context, c net.Conn)

// Attacks are those over connections without TLS.
var Attacks = []Attack{
	// half open: not a byte
	Say(""),
	// a header that never ends
	func(ctx context.Context, c net.Conn) {
		io.WriteString(c, "POST /token HTTP/1.1\r\nHost: x\r\n")
		drip(ctx, c, "X")
	},
	// a body that never ends
	func(ctx context.Context, c net.Conn) {
		io.WriteString(c, "POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 60000\r\n\r\n")
		drip(ctx, c, "a")
	},
	// answers that nobody reads
	func(_ context.Context, c net.Conn) {
		c.(*net.TCPConn).SetReadBuffer(4 << 10)
		io.WriteString(c, strings.Repeat("GET /.well-known/openid-configuration HTTP/1.1\r\nHost: x\r\n\r\n", 2000))
	},
	// a request now and then
	Say("GET /jwks HTTP/1.1\r\nHost: x\r\n\r\n"),
}

// Say is an attack that says something, and no more.
func Say(text string) Attack {
	return func(_ context.Context, c net.Conn) { io.WriteString(c, text) }
}

// drip sends a little at a time.
func drip(ctx context.Context, c net.Conn, text string) {
	for ctx.Err() == nil {
		if _, err := io.WriteString(c, text); err != nil {
			return
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// Flood is such a crowd.
type Flood struct {
	Dialed atomic.Int64 // connections that it got
	Failed atomic.Int64 // and that it did not get

	stop context.CancelFunc
	all  sync.WaitGroup
}

// hosts are the addresses that the crowd comes from: 127.0.0.2 and up.
const hosts = 8

// Begin lets so many connections come, one after the other at each address within
// the time given, and holds them until Stop.
func Begin(addr string, connections int, within time.Duration, attacks []Attack) *Flood {
	each := connections / hosts
	ctx, stop := context.WithCancel(context.Background())
	f := &Flood{stop: stop}
	for host := 2; host < 2+hosts; host++ {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(host))}, Timeout: 5 * time.Second}
		f.all.Go(func() {
			for i := range each {
				select {
				case <-time.After(within / time.Duration(each)):
				case <-ctx.Done():
					return
				}
				c, err := d.DialContext(ctx, "tcp", addr)
				if err != nil {
					f.Failed.Add(1)
					continue
				}
				f.Dialed.Add(1)
				f.hold(ctx, c, attacks[i%len(attacks)])
			}
		})
	}
	return f
}

// Came is how many connections have come, or were not let in.
func (f *Flood) Came() int { return int(f.Dialed.Load() + f.Failed.Load()) }

// Stop closes what is left of the connections.
func (f *Flood) Stop() {
	f.stop()
	f.all.Wait()
}

// hold attacks over a connection until it is closed or the flood ends.
func (f *Flood) hold(ctx context.Context, c net.Conn, attack Attack) {
	closed, gone := context.WithCancel(ctx)
	end := context.AfterFunc(closed, func() { c.Close() })
	f.all.Go(func() { // an attacker who reads nothing still learns of the end
		defer end()
		for closed.Err() == nil {
			if Cut(c) {
				gone()
			}
			select {
			case <-time.After(50 * time.Millisecond):
			case <-closed.Done():
			}
		}
		gone()
	})
	f.all.Go(func() { attack(closed, c) })
}

// Cut reports whether the other side has closed the connection, and reads nothing
// from it.
func Cut(c net.Conn) bool {
	const established = 1 // TCP_ESTABLISHED, the first byte of struct tcp_info
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return true
	}
	state := 0
	err = raw.Control(func(fd uintptr) { state, _ = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_INFO) })
	return err != nil || state&0xff != established
}
