package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

const exportUsage = `Usage: ringback export --out FILE

  --out FILE   where to; "-" is standard output

Writes evidence and audit records as lines of JSON, readable by the owner of the
file only: it names people and what they were asked. "ringback verify" checks it.
` + operatorUsage

// export writes everything that proves what happened.
func (a *app) export(ctx context.Context, args []string) error {
	fs := flags("export")
	out := fs.String("out", "", "")
	if err := alone(fs, args); err != nil {
		return err
	}
	if *out == "" {
		return misused("where to? Give --out FILE")
	}
	o, err := a.operator()
	if err != nil {
		return err
	}
	resp, err := o.send(ctx, http.MethodGet, "/export", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if *out == "-" {
		_, err := io.Copy(a.stdout, resp.Body)
		return err
	}
	n, err := writeWhole(*out, resp.Body)
	if err != nil {
		return fmt.Errorf("writing the export: %w; nothing was left at %s", err, *out)
	}
	fmt.Fprintf(a.stderr, "wrote %d bytes to %s; check it with: ringback verify %s --keys JWKS\n", n, *out, *out)
	return nil
}

// writeWhole writes a file that appears under its name only when it is whole.
func writeWhole(name string, r io.Reader) (n int64, err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".export-*") // mode 0600
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	n, err = io.Copy(f, r)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return n, err
	}
	return n, os.Rename(f.Name(), name)
}
