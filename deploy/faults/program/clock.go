package program

import (
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// clockEnv names the file that a program with Stepped reads its clock's error
// from.
const clockEnv = "RINGBACK_FAULT_CLOCK"

// Stepped are the changes that make a program's clock one that can be set while
// it runs. As where somebody sets the machine's clock, or the machine slept, the
// time of day jumps and monotonic readings go on: what was measured stays right,
// and timers end as they would.
func Stepped() []Change {
	return []Change{{
		File: "std/time/time.go",
		Old:  "	sec, nsec, mono := runtimeNow()\n	if mono == 0 {",
		New:  "	sec, nsec, mono := runtimeNow()\n	sec += stepped()\n	if mono == 0 {",
	}, {
		File: "std/time/sys_unix.go",
		Old:  "	\"runtime\"\n	\"syscall\"\n)\n",
		New: `	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"
)

var steps = func() []byte {
	name, ok := syscall.Getenv("` + clockEnv + `")
	if !ok {
		return make([]byte, 8)
	}
	fd, err := syscall.Open(name, syscall.O_RDONLY, 0)
	if err != nil {
		panic("opening the file of the clock: " + err.Error())
	}
	page, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic("mapping the file of the clock: " + err.Error())
	}
	return page
}()

func stepped() int64 { return atomic.LoadInt64((*int64)(unsafe.Pointer(&steps[0]))) }
`,
	}}
}

// Clock sets the clocks of programs with Stepped.
type Clock struct {
	file string
	page []byte
}

// NewClock makes the file by which clocks are set. They are right.
func NewClock(file string) (*Clock, error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making a clock: %w", err)
	}
	defer f.Close()
	if err := f.Truncate(8); err != nil {
		return nil, fmt.Errorf("making a clock: %w", err)
	}
	page, err := syscall.Mmap(int(f.Fd()), 0, 8, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("making a clock: %w", err)
	}
	return &Clock{file, page}, nil
}

// Env is what a program is given to find the clock.
func (c *Clock) Env() string { return clockEnv + "=" + c.file }

// Step sets the clocks ahead, or back, by whole seconds.
func (c *Clock) Step(by time.Duration) {
	atomic.AddInt64((*int64)(unsafe.Pointer(&c.page[0])), int64(by/time.Second))
}

// Close forgets it. The clocks stay as they are.
func (c *Clock) Close() error { return syscall.Munmap(c.page) }
