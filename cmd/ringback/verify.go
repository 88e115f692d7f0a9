package main

import (
	"context"
	"fmt"
	"os"
	"time"

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
	if err := a.printReport(&report); err != nil {
		return err
	}
	if n := len(report.Failures) + report.More; n > 0 {
		return &exit{1, fmt.Errorf("%s does not hold: %d failures", words[0], n)}
	}
	fmt.Fprintf(a.stdout, "%s holds: %d facts, %d checkpoints, %d decisions\n", words[0], report.Facts, report.Checkpoints, len(report.Decisions))
	return nil
}

// printReport lists what was proven, and then what does not hold.
func (a *app) printReport(r *audit.Report) error {
	rows := [][]string{{"REQUEST", "DECISION", "SETTLED", "ACR", "AT", "PROOF"}}
	for _, d := range r.Decisions {
		settled := string(d.Settled)
		if d.Renewals > 0 {
			settled += fmt.Sprintf(", renewed (%d)", d.Renewals)
		}
		if d.Revoked {
			settled += ", revoked"
		}
		rows = append(rows, []string{d.Request.String(), string(d.Verb), settled, d.ACR, d.At.UTC().Format(time.RFC3339), string(d.Proof)})
	}
	if err := table(a.stdout, rows); err != nil {
		return err
	}
	if r.Erased+r.Older > 0 {
		fmt.Fprintf(a.stdout, "%d finished requests of erased people have no evidence any more; of %d the records have aged out, so that the evidence's own signature speaks for them\n", r.Erased, r.Older)
	}
	for _, v := range r.Failures {
		fmt.Fprintf(a.stderr, "%s: %s\n", v.Where, v.What)
	}
	return nil
}
