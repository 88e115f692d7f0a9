package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// from is a connection that somebody far away has opened.
type from struct {
	net.Conn
	addr   string
	closed bool
}

func (c *from) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(c.addr), 4711))
}

func (c *from) Close() error {
	c.closed = true
	return nil
}

// shut is a listener on which nobody comes.
type shut struct{ net.Listener }

func (shut) Close() error { return nil }

func newTestGate(most int, proxies ...string) *gate {
	var list []netip.Prefix
	for _, p := range proxies {
		list = append(list, netip.MustParsePrefix(p))
	}
	return newGate(shut{}, most, list, &flow{})
}

// TestRoomFor: the store and calls to others keep their files, and every
// listener has connections of its own.
func TestRoomFor(t *testing.T) {
	t.Parallel()
	for _, files := range []int{fewestFiles, 120, 256, 1024, 4096, 65536, 1 << 20, 1 << 30} {
		for others := 1; others <= 3; others++ {
			r, err := roomFor(files, others)
			if err != nil {
				t.Errorf("roomFor(%d, %d): %v", files, others, err)
			}
			if all := r.manage + others*r.each; r.manage < 8 || r.each < 4 || all > files-ownFiles-min(files/4, callFiles) || all > mostConnections {
				t.Errorf("roomFor(%d, %d) = %+v", files, others, r)
			}
		}
	}
	if r, err := roomFor(1024, 1); err != nil || r.each < 600 {
		t.Errorf("roomFor(1024, 1) = %+v, %v, want hundreds", r, err)
	}
	if r, err := roomFor(fewestFiles-1, 1); err == nil {
		t.Errorf("roomFor(%d, 1) = %+v, want an error", fewestFiles-1, r)
	}
	if n := openFiles(); n < fewestFiles {
		t.Errorf("openFiles() = %d", n)
	}
}

func TestOrigin(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"192.0.2.1:80":                "192.0.2.1",
		"[::ffff:192.0.2.1]:80":       "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:80":   "2001:db8:1:2::",
		"[2001:db8:1:2:ffff::1]:80":   "2001:db8:1:2::",
		"[2001:db8:1:3::1]:80":        "2001:db8:1:3::",
		"[fe80::1%eth0]:80":           "fe80::",
		"[::1]:80":                    "::",
		"[2001:db8:ffff:ffff:1::]:80": "2001:db8:ffff:ffff::",
	} {
		if _, got := origin(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(text))); got.String() != want {
			t.Errorf("origin(%s) counts for %v, want %s", text, got, want)
		}
	}
	if ip, counts := origin(&net.UnixAddr{}); ip.IsValid() || counts.IsValid() {
		t.Errorf("origin of what is no TCP = %v, %v", ip, counts)
	}
}

// TestMakeRoom: who waits makes room, who is owed an answer does not.
func TestMakeRoom(t *testing.T) {
	t.Parallel()
	const most = 8 // 6 of them for one address
	type step struct {
		from  string // who comes
		owed  bool   // and gets us to owe an answer
		in    bool   // is let in
		goes  int    // the step whose connection makes room, counted from 1; 0: none
		cause refusal
	}
	many := func(n int, s step) []step { return slices.Repeat([]step{s}, n) }
	tests := map[string][]step{
		"one address has most of the room": append(many(6, step{from: "192.0.2.1", owed: true, in: true}),
			step{from: "192.0.2.1", cause: refusedAddress},
			step{from: "192.0.2.2", owed: true, in: true},
			step{from: "192.0.2.3", owed: true, in: true},
			step{from: "192.0.2.4", cause: refusedListener},
			step{from: "192.0.2.2", cause: refusedListener}),
		"over its share it makes room itself": append(many(5, step{from: "192.0.2.1", owed: true, in: true}),
			step{from: "192.0.2.1", in: true},
			step{from: "192.0.2.1", in: true, goes: 6},
			step{from: "192.0.2.1", in: true, goes: 7}),
		"who has most makes room, the oldest first": append(append(many(5, step{from: "192.0.2.1", in: true}), many(3, step{from: "192.0.2.2", in: true})...),
			step{from: "192.0.2.3", in: true, goes: 1},  // 4 3 1
			step{from: "192.0.2.3", in: true, goes: 2},  // 3 3 2
			step{from: "192.0.2.3", in: true, goes: 6},  // 3 2 3: of two with as many who had them longer
			step{from: "192.0.2.2", in: true, goes: 3},  // 2 3 3
			step{from: "192.0.2.4", in: true, goes: 9},  // 2 3 2 1
			step{from: "192.0.2.2", in: true, goes: 7},  // itself: nobody has more
			step{from: "192.0.2.9", in: true, goes: 8},  // 2 2 2 1 1
			step{from: "192.0.2.4", in: true, goes: 4}), // 1 2 2 2 1
		"of two with as many each makes room for its own": append(append(many(4, step{from: "192.0.2.1", in: true}), many(4, step{from: "192.0.2.2", in: true})...),
			step{from: "192.0.2.2", in: true, goes: 5},
			step{from: "192.0.2.1", in: true, goes: 1}),
		"whom we owe stays, and counts for nobody's harm": append(append(many(5, step{from: "192.0.2.1", owed: true, in: true}), many(3, step{from: "192.0.2.2", in: true})...),
			step{from: "192.0.2.3", in: true, goes: 6},
			step{from: "192.0.2.3", in: true, goes: 7},
			step{from: "192.0.2.3", in: true, goes: 9},   // the one of .2 is no more than it has
			step{from: "192.0.2.1", in: true, goes: 10}), // it has many, and none that waits
		"a network of IPv6 is one address": append(many(5, step{from: "2001:db8::1", owed: true, in: true}),
			step{from: "2001:db8::2", owed: true, in: true},
			step{from: "2001:db8::3", cause: refusedAddress},
			step{from: "2001:db8:0:1::1", in: true}),
		"proxies have all of it, and make room only for each other": append(many(8, step{from: "10.0.0.1", in: true}),
			step{from: "10.0.0.2", in: true, goes: 1},
			step{from: "192.0.2.1", cause: refusedListener}),
		"proxies go before others": append(many(7, step{from: "10.0.0.1", in: true}),
			step{from: "192.0.2.1", in: true},
			step{from: "192.0.2.2", in: true, goes: 8},
			step{from: "10.0.0.2", in: true, goes: 9},
			step{from: "192.0.2.2", cause: refusedListener}),
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newTestGate(most, "10.0.0.0/24")
			var came []*from
			for i, s := range steps {
				nc := &from{addr: s.from}
				before := g.flow.refused[s.cause].Load()
				c := g.enter(nc)
				if came = append(came, nc); (c != nil) != s.in {
					t.Fatalf("step %d: let in: %v, want %v", i+1, c != nil, s.in)
				}
				if !s.in {
					if g.flow.refused[s.cause].Load() != before+1 {
						t.Errorf("step %d: not counted as %v", i+1, s.cause)
					}
					nc.closed = true // by Accept
				} else if s.owed {
					c.begin(true)
				}
				for k, other := range came {
					if gone := k+1 == s.goes; gone != other.closed && (gone || !slices.ContainsFunc(steps[:i+1], func(s step) bool { return s.goes == k+1 }) && steps[k].in) {
						t.Fatalf("step %d: connection %d is closed: %v", i+1, k+1, other.closed)
					}
				}
				checkGate(t, g)
			}
		})
	}
}

// TestStreamsTakeRoom: further requests at a time on one connection count like
// connections, and push out nobody of the same address.
func TestStreamsTakeRoom(t *testing.T) {
	t.Parallel()
	g := newTestGate(8)
	c := g.enter(&from{addr: "192.0.2.1"})
	for i := range 6 {
		if !c.begin(i%2 == 0) {
			t.Fatalf("request %d is refused", i+1)
		}
		checkGate(t, g)
	}
	if c.begin(true) || g.flow.refused[refusedAddress].Load() != 1 {
		t.Error("one address has more requests than its share")
	}
	second := &from{addr: "192.0.2.2"}
	d, e := g.enter(second), g.enter(&from{addr: "192.0.2.3"})
	if !d.begin(true) || !e.begin(true) || e.begin(true) || g.flow.refused[refusedListener].Load() != 1 {
		t.Error("there are more requests than there is room for")
	}
	d.turn(false) // and waits
	if !e.begin(true) || !second.closed || g.flow.refused[refusedDisplaced].Load() != 1 {
		t.Error("who waits made no room for another request")
	}
	d.end(false) // of what is gone
	for i := range 6 {
		c.end(i%2 == 0)
		checkGate(t, g)
	}
	if g.taken != 3 || c.slots != 1 || e.slots != 2 {
		t.Errorf("%d slots are taken after the requests, %d and %d by connection", g.taken, c.slots, e.slots)
	}
	c.Close()
	e.Close()
	c.Close()
	if g.taken != 0 || len(g.peers) != 0 || g.flow.open.Load() != 0 || g.top != 0 {
		t.Errorf("after all were closed %d slots and %d addresses are left, and %d connections count", g.taken, len(g.peers), g.flow.open.Load())
	}
}

// TestGateCountsRight does whatever may be done in any order.
func TestGateCountsRight(t *testing.T) {
	t.Parallel()
	type open struct {
		*conn
		ours []bool // requests, and whose turn it is
	}
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		g := newTestGate(30, "10.0.0.0/24")
		var all []*open
		for range 3000 {
			if len(all) == 0 || r.IntN(3) == 0 {
				if c := g.enter(&from{addr: fmt.Sprintf("%s.%d", []string{"192.0.2", "10.0.0"}[r.IntN(4)/3], r.IntN(12))}); c != nil {
					all = append(all, &open{conn: c})
				}
				checkGate(t, g)
				continue
			}
			i := r.IntN(len(all))
			o := all[i]
			switch k := r.IntN(5); {
			case k == 0:
				o.Close()
				all = slices.Delete(all, i, i+1)
			case k == 1 && len(o.ours) < 5:
				if ours := r.IntN(2) == 0; o.begin(ours) {
					o.ours = append(o.ours, ours)
				}
			case k < 4 && len(o.ours) > 0:
				n := r.IntN(len(o.ours))
				o.ours[n] = !o.ours[n]
				o.turn(o.ours[n])
			case len(o.ours) > 0:
				o.end(o.ours[0])
				o.ours = o.ours[1:]
			}
			checkGate(t, g)
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	}
}

// checkGate counts again.
func checkGate(t *testing.T, g *gate) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	taken, top := 0, 0
	peers := []*peer{&g.proxied}
	for _, p := range g.peers {
		peers = append(peers, p)
	}
	for _, p := range peers {
		waiting := 0
		for c := p.first; c != nil; c = c.next {
			if waiting += c.slots; c.gone || c.owed > 0 || c.peer != p || c.next == nil && p.last != c {
				t.Errorf("%v: a connection is listed that does not wait", p.addr)
			}
		}
		ranked := p.proxy || p.waiting == 0
		for n, r := range g.ranks {
			for q := r.first; q != nil; q = q.next {
				if q == p && n == p.waiting {
					ranked = true
				}
			}
		}
		if waiting != p.waiting || p.waiting > p.taken || !ranked {
			t.Errorf("%v: %d of %d slots wait and %d are counted, ranked: %v", p.addr, waiting, p.taken, p.waiting, ranked)
		}
		if taken += p.taken; !p.proxy {
			if top = max(top, waiting); p.taken > g.each {
				t.Errorf("%v has %d slots of %d", p.addr, p.taken, g.each)
			}
		}
	}
	if taken != g.taken || top != g.top || g.taken > g.most {
		t.Errorf("%d slots are taken and %d counted of %d, the most that wait are %d and %d", taken, g.taken, g.most, top, g.top)
	}
}

// scarce is a listener on which the system gives no connections at first.
type scarce struct {
	net.Listener
	mu   sync.Mutex
	errs []error
}

func (l *scarce) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", err)}
	}
	return l.Listener.Accept()
}

// TestAcceptGoesOn: what keeps the system from giving a connection ends
// nothing, and a closed listener does not wait for it.
func TestAcceptGoesOn(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &scarce{Listener: ln, errs: []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EPERM}}
	g := newGate(f, 10, nil, &flow{})
	g.rest = time.Microsecond
	go func() {
		if c, err := net.Dial("tcp", ln.Addr().String()); err == nil {
			c.Close()
		}
	}()
	c, err := g.Accept()
	if err != nil {
		t.Fatalf("Accept = %v, want a connection", err)
	}
	c.Close()
	if n := g.flow.refused[refusedFiles].Load(); n != 2 {
		t.Errorf("%d times there was no descriptor, want 2", n)
	}
	f.mu.Lock()
	f.errs, g.rest = slices.Repeat([]error{syscall.EMFILE}, 100), time.Hour
	f.mu.Unlock()
	ended := make(chan error, 1)
	go func() {
		_, err := g.Accept()
		ended <- err
	}()
	for g.flow.refused[refusedFiles].Load() < 3 {
		time.Sleep(time.Millisecond)
	}
	g.Close()
	f.mu.Lock()
	f.errs = nil
	f.mu.Unlock()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept of a closed listener = %v", err)
	}
}
