package main

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"ringback/deploy/faults/program"
	"ringback/deploy/faults/stage"
)

// driver is what a fault has.
type driver struct {
	dir    string // scratch
	seed   uint64
	rand   *rand.Rand // of this fault alone
	builds *builds    // shared
}

// builds are programs that are built once, by name.
type builds struct {
	mu sync.Mutex
	by map[string]func() (program.Program, error)
}

func newDriver(dir string, seed uint64) *driver {
	d := &driver{dir: dir, seed: seed, builds: &builds{by: map[string]func() (program.Program, error){}}}
	return d.fork()
}

// fork is the driver for another fault at the same time.
func (d *driver) fork() *driver {
	f := *d
	f.rand = rand.New(rand.NewPCG(d.seed, 1))
	return &f
}

// ringback builds the program, once for each name.
func (d *driver) ringback(ctx context.Context, name string, changes ...program.Change) (program.Program, error) {
	return d.build(ctx, name, program.Ringback, changes...)
}

// build builds a command into a directory of that name.
func (d *driver) build(ctx context.Context, name, pkg string, changes ...program.Change) (program.Program, error) {
	d.builds.mu.Lock()
	once, ok := d.builds.by[name]
	if !ok {
		once = sync.OnceValues(func() (program.Program, error) {
			dir, err := d.room("program-" + name)
			if err != nil {
				return program.Program{}, err
			}
			return program.Build(ctx, dir, pkg, changes...)
		})
		d.builds.by[name] = once
	}
	d.builds.mu.Unlock()
	return once()
}

// room makes an empty directory below the driver's.
func (d *driver) room(name string) (string, error) {
	dir := filepath.Join(d.dir, name)
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o700)
}

// stage opens one in a directory of its own.
func (d *driver) stage(name string, cfg stage.Config) (*stage.Stage, error) {
	var err error
	if cfg.Dir, err = d.room(name); err != nil {
		return nil, err
	}
	return stage.Open(cfg)
}

// upTo is a random time.
func (d *driver) upTo(most time.Duration) time.Duration {
	return time.Duration(d.rand.Int64N(int64(most)))
}
