package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"ringback/deploy/faults/program"
	"ringback/deploy/faults/result"
	"ringback/deploy/faults/stage"
)

// power cuts the power of the disk that holds the data: what had not been forced
// to it when the service died is gone, because the disk is copied past the page
// cache, and the copy is what goes on.
func power(ctx context.Context, d *driver, count int) ([]result.Row, error) {
	p, err := d.ringback(ctx, "ringback")
	if err != nil {
		return nil, err
	}
	return d.cut(ctx, p, count)
}

// forgetLinks empties what links below a directory lead to: another disk, which
// has lost its power too, or memory.
func forgetLinks(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Type()&fs.ModeSymlink == 0 {
			return err
		}
		to, err := os.Readlink(path)
		if err == nil {
			err = os.RemoveAll(to)
		}
		return err
	})
}

// cut is power of a program.
func (d *driver) cut(ctx context.Context, p program.Program, count int) ([]result.Row, error) {
	dir, err := d.room("power-disks")
	if err != nil {
		return nil, err
	}
	disk, err := newDisk(filepath.Join(dir, "disk"), 768)
	if err != nil {
		return nil, err
	}
	defer func() { disk.remove() }()
	s, err := d.stage("power", stage.Config{Program: p, Data: disk.dir, People: count * perLife, Escalate: escalation, Receipts: true})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	copies := 0
	n, refused, err := d.lives(ctx, s, count, func() error {
		s.Process.Kill()
		if err := forgetLinks(s.DataDir()); err != nil {
			return err
		}
		after, err := disk.copy(filepath.Join(dir, fmt.Sprint("disk", copies)))
		if err != nil {
			return err
		}
		copies++
		disk.remove()
		disk, s.Data = after, after.dir
		return nil
	})
	if err != nil {
		return nil, err
	}
	rows, err := judged(ctx, s, "power cuts under load", n, refused...)
	s.Close() // before its disk goes
	return rows, err
}

// disk is a file system in a file, mounted so that nothing of it is kept in
// memory but by its own page cache.
type disk struct {
	image, loop, dir string
}

// newDisk makes a disk of so many MiB.
func newDisk(image string, size int) (*disk, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("this fault mounts file systems and needs root: run it as root, or leave it out")
	}
	if err := shell("truncate", "-s", fmt.Sprint(size, "M"), image); err != nil {
		return nil, err
	}
	if err := shell("mkfs.ext4", "-q", "-F", image); err != nil {
		return nil, err
	}
	return mount(image)
}

// mount mounts an image beside itself.
func mount(image string) (*disk, error) {
	out, err := exec.Command("losetup", "--find", "--show", "--direct-io=on", image).Output()
	if err != nil {
		return nil, fmt.Errorf("attaching a loop device: %w", err)
	}
	d := &disk{image: image, loop: strings.TrimSpace(string(out)), dir: image + ".mounted"}
	if err := errors.Join(os.MkdirAll(d.dir, 0o700), shell("mount", d.loop, d.dir)); err != nil {
		shell("losetup", "--detach", d.loop) // what went wrong before counts
		return nil, err
	}
	return d, nil
}

// copy is the disk as it is without what memory has of it.
func (d *disk) copy(image string) (*disk, error) {
	if err := shell("dd", "if="+d.image, "of="+image, "bs=4M", "iflag=direct", "conv=sparse", "status=none"); err != nil {
		return nil, err
	}
	return mount(image)
}

// remove unmounts the disk and removes it.
func (d *disk) remove() error {
	return errors.Join(shell("umount", d.dir), shell("losetup", "--detach", d.loop), os.Remove(d.image), os.Remove(d.dir))
}

func shell(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w\n%s", name, args, err, out)
	}
	return nil
}
