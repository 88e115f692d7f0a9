package program

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports below those that connections are given: a server that starts again at
// its address must find it free, however many connections there are.
const (
	portFrom = 10_000
	portTo   = 32_000
)

// FreeAddr returns a loopback address that nobody listens on.
func FreeAddr() (string, error) {
	var last error
	for range 100 {
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", portFrom+rand.N(portTo-portFrom)))
		if err == nil {
			return ln.Addr().String(), ln.Close()
		}
		last = err
	}
	return "", fmt.Errorf("finding a free port: %w", last)
}
