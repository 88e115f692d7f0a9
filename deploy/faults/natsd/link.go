package natsd

import (
	"net"
	"sync"

	"ringback/deploy/faults/program"
)

// Link is the network between a server and whoever comes to it. It can fall
// silent: nothing arrives at either side any more, and nobody is told.
type Link struct {
	Addr string // where whoever comes comes to

	to      string
	ln      net.Listener
	serving sync.WaitGroup

	mu     sync.Mutex
	silent chan struct{} // not nil: closed when it speaks again
	open   map[net.Conn]bool
	closed bool
}

// NewLink returns a link to an address.
func NewLink(to string) (*Link, error) {
	addr, err := program.FreeAddr()
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	l := &Link{Addr: addr, to: to, ln: ln, open: map[net.Conn]bool{}}
	l.serving.Go(l.accept)
	return l, nil
}

func (l *Link) accept() {
	for {
		c, err := l.ln.Accept()
		if err != nil {
			return
		}
		l.serving.Go(func() { l.join(c) })
	}
}

// join lets bytes pass both ways until one side has ended.
func (l *Link) join(near net.Conn) {
	defer near.Close()
	l.wait() // also what is new goes nowhere while it is silent
	far, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer far.Close()
	if !l.keep(near, far) {
		return
	}
	defer l.forget(near, far)
	var both sync.WaitGroup
	for from, to := range map[net.Conn]net.Conn{near: far, far: near} {
		both.Go(func() {
			l.pass(from, to)
			from.Close()
			to.Close()
		})
	}
	both.Wait()
}

func (l *Link) pass(from, to net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		l.wait()
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// wait returns when the link speaks.
func (l *Link) wait() {
	l.mu.Lock()
	silent := l.silent
	l.mu.Unlock()
	if silent != nil {
		<-silent
	}
}

func (l *Link) keep(all ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range all {
		l.open[c] = true
	}
	return !l.closed
}

func (l *Link) forget(all ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range all {
		delete(l.open, c)
	}
}

// Silence lets nothing arrive any more.
func (l *Link) Silence() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.silent == nil {
		l.silent = make(chan struct{})
	}
}

// Speak is the inverse of Silence. What was sent meanwhile arrives.
func (l *Link) Speak() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.silent != nil {
		close(l.silent)
		l.silent = nil
	}
}

// Cut ends every connection that there is. New ones can be made.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		c.Close()
	}
}

// Close ends the link.
func (l *Link) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.ln.Close()
	l.Speak()
	l.Cut()
	l.serving.Wait()
}
