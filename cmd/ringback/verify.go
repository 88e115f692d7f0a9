package main

import (
	"context"
	"fmt"
	"os"

	"ringback/audit"
)

const verifyUsage = `Usage: ringback verify FILE --keys JWKS

  --keys JWKS   file of public evidence keys, taken earlier and by another way
                with "ringback key evidence": an export must not vouch for itself

Checks chain, checkpoints and evidence of an export, offline. Exit code 0 only if
all of it holds; else every failure is listed.
`

// verify checks an export with keys obtained elsewhere.
func (a *app) verify(_ context.Context, args []string) error {
	fs := flags("verify")
	keyFile := fs.String("keys", "", "")
	words, err := parse(fs, args)
	if err != nil {
		return err
	}
	if err := exactly(words, "FILE"); err != nil {
		return err
	}
	if *keyFile == "" {
		return misused("with which keys? Give --keys JWKS")
	}
	jwks, err := os.ReadFile(*keyFile)
	if err != nil {
		return fmt.Errorf("reading the keys: %w", err)
	}
	f, err := os.Open(words[0])
	if err != nil {
		return fmt.Errorf("reading the export: %w", err)
	}
	defer f.Close()
	report, err := audit.Verify(f, jwks)
	if err != nil {
		return err
	}
	for _, v := range report.Failures {
		fmt.Fprintf(a.stderr, "%s: %s\n", v.Where, v.What)
	}
	if n := len(report.Failures); n > 0 {
		return &exit{1, fmt.Errorf("%s does not hold: %d failures", words[0], n)}
	}
	fmt.Fprintf(a.stdout, "%s holds\n", words[0])
	return nil
}
