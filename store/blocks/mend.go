package blocks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Mend rewrites the damaged blocks of a stream without what cannot be read, so
// that the server does not throw away the rest. Files that are changed or removed
// are copied into keep first. It returns what was damaged.
func Mend(c Config, keep string) (*Report, error) {
	before, err := Check(c, 0, nil)
	if err != nil {
		return before, err
	}
	bad := map[string]bool{}
	for _, d := range before.Damage {
		bad[d.Block] = true
	}
	if len(bad) == 0 {
		return before, nil
	}
	if err := os.MkdirAll(keep, 0o700); err != nil {
		return before, err
	}
	list, err := files(c.Dir)
	if err != nil {
		return before, err
	}
	for _, f := range list {
		if !bad[f.path] {
			continue
		}
		if err := mend(&c, f, keep); err != nil {
			return before, fmt.Errorf("mending %s: %w", f.path, err)
		}
	}
	// What the server noted of the state is not so any more.
	if err := os.Remove(filepath.Join(c.Dir, "msgs", "index.db")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return before, err
	}
	return before, nil
}

// mend rewrites one block, or removes one of which nothing can be read.
func mend(of *Config, f file, keep string) error {
	b, err := of.open(f.index)
	for _, name := range []string{b.path, b.key} {
		if err := copyFile(name, filepath.Join(keep, of.Stream+"-"+filepath.Base(name))); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	var buf []byte
	if err == nil {
		buf, err = b.plain()
	}
	if errors.Is(err, errKey) || errors.Is(err, errCompressed) {
		return errors.Join(remove(b.path), remove(b.key))
	}
	if err != nil {
		return err
	}
	c, err := b.checker()
	if err != nil {
		return err
	}
	whole := make([]byte, 0, len(buf))
	new(Report).walk(c, buf, f.path, false, func(rec record) { whole = append(whole, rec.raw...) })
	if len(whole) == 0 {
		return errors.Join(remove(b.path), remove(b.key))
	}
	if err := b.crypt(whole); err != nil {
		return err
	}
	return replace(b.path, whole)
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// copyFile keeps a file, unless an earlier call has, which was interrupted: by now
// it may have been changed.
func copyFile(from, to string) error {
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return replace(to, data)
}

// replace writes a file so that a crash leaves the old or the new one.
func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".mend-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
