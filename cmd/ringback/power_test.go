//go:build e2e

package main

import (
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

var powerCuts = flag.Int("powercuts", 5, "how often the power-cut test cuts the power")

// TestPowerCut keeps the data on a file system of its own and cuts its power:
// what had not been forced to the disk when the service died is gone, because
// the disk is copied past the page cache and the copy is what goes on. It
// needs root, for loop devices.
func TestPowerCut(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("the power-cut test mounts a loop device and needs root: run it as root, or without -tags e2e")
	}
	dir := t.TempDir()
	image := filepath.Join(dir, "disk0")
	shell(t, "truncate", "-s", "768M", image)
	shell(t, "mkfs.ext4", "-q", "-F", image)
	disk := mountImage(t, image)
	*crashes = max(*crashes, *powerCuts)
	w := newCrashWorld(t, disk)
	for i := range *powerCuts {
		p := w.start(t)
		stop := w.load(t, p)
		time.Sleep(100*time.Millisecond + rand.N(600*time.Millisecond))
		p.kill(t)
		after := filepath.Join(dir, "disk"+string(rune('1'+i%9)))
		shell(t, "dd", "if="+image, "of="+after, "bs=4M", "iflag=direct", "conv=sparse", "status=none")
		stop()
		shell(t, "umount", disk)
		os.Remove(image)
		image, disk = after, mountImage(t, after)
		w.data = filepath.Join(disk, "data")
	}
	w.finish(t)
}

// mountImage mounts a disk image through a loop device that keeps nothing in
// memory, and returns where.
func mountImage(t *testing.T, image string) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command("losetup", "--find", "--show", "--direct-io=on", image).Output()
	if err != nil {
		t.Fatalf("attaching a loop device: %v", err)
	}
	loop := string(out[:len(out)-1])
	t.Cleanup(func() { exec.Command("losetup", "--detach", loop).Run() })
	shell(t, "mount", loop, dir)
	t.Cleanup(func() { exec.Command("umount", dir).Run() })
	return dir
}

func shell(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}
