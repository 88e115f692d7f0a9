package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing/fstest"
	"time"

	"ringback/keys"
	"ringback/store"
)

// root is that of every house of a process, so that all can have copies of one
// blank.
var root = sync.OnceValue(keys.NewRoot)

// kind is what Init writes down of a configuration.
type kind struct {
	fingerprint, prefix string
	maxBytes            int64
	dev                 bool
}

// blanks are data directories as Init makes them, by kind. Making one takes a
// server's start and dozens of synced writes; copying it takes neither.
var blanks sync.Map // of func() (fstest.MapFS, error)

// initialise does what store.Init does, with an instance id of its own.
func initialise(ctx context.Context, cfg store.Config) error {
	if cfg.URL != "" {
		return store.Init(ctx, cfg)
	}
	made, _ := blanks.LoadOrStore(kind{cfg.Vault.Fingerprint(), cfg.Prefix, cfg.MaxBytes, cfg.Dev}, sync.OnceValues(func() (fstest.MapFS, error) {
		return blank(store.Config{Prefix: cfg.Prefix, MaxBytes: cfg.MaxBytes, Dev: cfg.Dev, Vault: cfg.Vault, Now: time.Now, Log: Log()})
	}))
	files, err := made.(func() (fstest.MapFS, error))()
	if err != nil {
		return err
	}
	if err := os.CopyFS(cfg.Dir, files); err != nil {
		return fmt.Errorf("copying a data directory: %w", err)
	}
	return rename(filepath.Join(cfg.Dir, "instance.json"))
}

// blank returns the files of a new data directory.
func blank(cfg store.Config) (fstest.MapFS, error) {
	dir, err := os.MkdirTemp("", "storetest-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cfg.Dir = dir
	if err := store.Init(ctx, cfg); err != nil {
		return nil, err
	}
	from, files := os.DirFS(dir), fstest.MapFS{}
	return files, fs.WalkDir(from, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		file := &fstest.MapFile{Mode: info.Mode()}
		if !d.IsDir() {
			if file.Data, err = fs.ReadFile(from, path); err != nil {
				return err
			}
		}
		files[path] = file
		return nil
	})
}

// rename gives the instance in a file another id.
func rename(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var in struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(data, &in); err != nil || in.ID == "" {
		return fmt.Errorf("reading the id in %s: %q", file, data)
	}
	var id [16]byte
	rand.Read(id[:]) // never fails
	return os.WriteFile(file, bytes.Replace(data, []byte(in.ID), []byte(hex.EncodeToString(id[:])), 1), 0o600)
}
