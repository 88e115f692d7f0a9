package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"ringback/deploy/faults/check"
	"ringback/deploy/faults/journal"
	"ringback/deploy/faults/program"
	"ringback/deploy/faults/provider"
	"ringback/deploy/faults/result"
	"ringback/deploy/faults/stage"
)

const (
	// fullPeople are asked before the disk is full, and answer while it is.
	fullPeople = 24
	// fullFor is how long it stays so at least.
	fullFor = time.Second
)

// full fills the disk of a service with requests that wait, so many times, has
// persons answer, and makes room again. Their answers are not lost: whichever was
// not taken comes again.
func full(ctx context.Context, d *driver, count int) ([]result.Row, error) {
	p, err := d.ringback(ctx, "ringback")
	if err != nil {
		return nil, err
	}
	dir, err := d.room("disk-disks")
	if err != nil {
		return nil, err
	}
	disk, err := newDisk(filepath.Join(dir, "disk"), 1024)
	if err != nil {
		return nil, err
	}
	defer disk.remove()
	s, err := d.stage("disk", stage.Config{Program: p, Data: disk.dir, People: count * (fullPeople + 1), Receipts: true})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	work := context.WithoutCancel(ctx)
	row := result.Row{Form: "a full disk while persons answer"}
	var refused, ended int
	for ; row.Times < count && ctx.Err() == nil; row.Times++ {
		if !s.Running() {
			if err := s.Start(work); errors.Is(err, program.ErrEnded) {
				break // judged says so
			} else if err != nil {
				return nil, err
			}
		}
		from := row.Times * (fullPeople + 1)
		messages, err := waitingMessages(work, s, from, fullPeople)
		if err != nil {
			return nil, err
		}
		if err := disk.fill(); err != nil {
			return nil, err
		}
		for i, m := range messages {
			s.Provider.Answer(m, []string{journal.Approved, journal.Denied}[i%2])
		}
		if id, _, _ := s.Agent.Ask(work, stage.Person(from+fullPeople), time.Hour); id == "" {
			refused++
		}
		time.Sleep(fullFor + d.upTo(4*time.Second))
		if !s.Running() { // as it says: it cannot go on, and somebody has to look
			ended++
			if err := s.Start(work); err == nil && d.rand.IntN(2) == 0 { // also where nobody has looked
				s.Process.Kill()
			} else if err != nil && !errors.Is(err, program.ErrEnded) {
				return nil, err
			}
		}
		if err := disk.drain(); err != nil {
			return nil, err
		}
		time.Sleep(d.upTo(time.Second))
	}
	row.Measured("requests refused", "%d", refused)
	row.Measured("ended by itself", "%d", ended)
	err = judge(work, s, check.Rules{}, &row)
	s.Close() // before its disk goes
	return []result.Row{row}, err
}

// waitingMessages asks persons, and waits for their messages.
func waitingMessages(ctx context.Context, s *stage.Stage, from, people int) (all []journal.Message, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for i := range people {
		if id, _, reply := s.Agent.Ask(ctx, stage.Person(from+i), time.Hour); id == "" {
			return nil, fmt.Errorf("asking: %v", reply)
		}
	}
	for i := range people {
		m, ok := s.Provider.Message(ctx, provider.Number(from+i), journal.Message{})
		if !ok {
			return nil, errors.New("asking: no message comes")
		}
		all = append(all, m)
	}
	return all, nil
}

// ballast is the name of the file that fills a disk.
const ballast = "ballast"

// fill leaves no room on the disk.
func (d *disk) fill() error {
	f, err := os.OpenFile(filepath.Join(d.dir, ballast), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	var fs syscall.Statfs_t
	if err := syscall.Fstatfs(int(f.Fd()), &fs); err != nil {
		return err
	}
	block := int64(fs.Bsize)
	at := int64(0)
	for more := int64(fs.Bfree) * block; more >= block; {
		switch err := syscall.Fallocate(int(f.Fd()), 0, at, more); {
		case err == nil:
			at += more
		case errors.Is(err, syscall.ENOSPC):
			more = more / 2 / block * block
		default:
			return fmt.Errorf("filling the disk: %w", err)
		}
	}
	return nil
}

// drain makes room again.
func (d *disk) drain() error { return os.Remove(filepath.Join(d.dir, ballast)) }
