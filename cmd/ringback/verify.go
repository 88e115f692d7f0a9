package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"ringback/audit"
	"ringback/consent"
)

const verifyUsage = `Usage: ringback verify FILE --keys JWKS [--since OLD]

  --keys JWKS   file of public evidence keys, taken earlier and by another way
                with "ringback key evidence": an export must not vouch for itself
  --since OLD   an earlier export: what it has and FILE has not is listed, with the
                record that declares it lost, if there is one

Checks chain, checkpoints and evidence of an export, offline, and says which time
and which facts it proves and what it declares lost. Exit code 0 only if all of it
holds, and with --since only if nothing is missing that nobody declares; else every
failure is listed. Only --since shows that an export ends too early, or that a store
was set back as a whole.
`

// verify checks an export with keys obtained elsewhere.
func (a *app) verify(_ context.Context, args []string) error {
	fs := flags("verify")
	keyFile := fs.String("keys", "", "")
	since := fs.String("since", "", "")
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
	if *since != "" {
		return a.verifySince(words[0], f, *since, jwks)
	}
	report, err := audit.Verify(f, jwks)
	if err != nil {
		return err
	}
	return a.reported(words[0], &report)
}

// verifySince is verify with an earlier export to compare with.
func (a *app) verifySince(name string, f *os.File, since string, jwks []byte) error {
	earlier, err := os.Open(since)
	if err != nil {
		return fmt.Errorf("reading the earlier export: %w", err)
	}
	defer earlier.Close()
	report, c, err := audit.VerifySince(f, earlier, jwks)
	if err != nil {
		return err
	}
	failed := a.reported(name, &report)
	for _, v := range c.Old.Failures {
		fmt.Fprintf(a.stderr, "%s: %s: %s\n", since, v.Where, v.What)
	}
	for _, d := range c.Differences {
		if d.Declared > 0 {
			fmt.Fprintf(a.stdout, "since %s: %s; record %d declares it lost\n", since, d.What, d.Declared)
		} else {
			fmt.Fprintf(a.stderr, "since %s: %s, and no record declares it lost\n", since, d.What)
		}
	}
	if c.More > 0 {
		fmt.Fprintf(a.stdout, "since %s: %d more differences\n", since, c.More)
	}
	fmt.Fprintf(a.stdout, "since %s: %d records and %d pieces of evidence are there as they were, %d facts were sealed again, %d have aged out, %d went with an erasure\n",
		since, c.Records, c.Evidence, c.Facts, c.Aged, c.Erased)
	switch {
	case failed != nil:
		return failed
	case !c.Old.OK():
		return &exit{1, fmt.Errorf("%s does not hold, so that nothing can be compared with it", since)}
	case !c.OK():
		return &exit{1, fmt.Errorf("%s lacks what %s had: %d differences that nobody declares", name, since, c.Undeclared)}
	}
	return nil
}

// reported prints what an export proves, and returns an error unless it holds.
func (a *app) reported(name string, report *audit.Report) error {
	if err := a.printReport(report); err != nil {
		return err
	}
	if n := len(report.Failures) + report.More; n > 0 {
		return &exit{1, fmt.Errorf("%s does not hold: %d failures", name, n)}
	}
	if report.First > 0 {
		fmt.Fprintf(a.stdout, "It proves records %d to %d, of %s to %s", report.First, report.Last, report.From.UTC().Format(time.RFC3339), report.Until.UTC().Format(time.RFC3339))
		if report.LastFact > 0 {
			fmt.Fprintf(a.stdout, ", and in them the facts %d to %d", report.FirstFact, report.LastFact)
		}
		fmt.Fprintln(a.stdout, ".")
	}
	fmt.Fprintf(a.stdout, "%s holds: %d facts, %d checkpoints, %d decisions\n", name, report.Facts, report.Checkpoints, len(report.Decisions))
	return nil
}

// printLost says what a repair has declared lost.
func (a *app) printLost(l *audit.Lost) {
	fmt.Fprintf(a.stdout, "LOST, as record %d of %s declares (repair %d):\n", l.Record, l.At.UTC().Format(time.RFC3339), l.Epoch)
	for _, loss := range l.Losses {
		fmt.Fprintf(a.stdout, "  %s\n", loss)
	}
	for _, gap := range l.Unsealed {
		fmt.Fprintf(a.stdout, "  not in the chain: %s\n", gap)
	}
	ids := func(what string, list []consent.ID) {
		for _, id := range list {
			fmt.Fprintf(a.stdout, "  %s %s\n", what, id)
		}
	}
	ids("facts are lost of request", l.Requests)
	ids("no evidence any more of request", l.Evidence)
	for _, p := range l.People {
		fmt.Fprintf(a.stdout, "  the data key is lost of person %s\n", p)
	}
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
	if r.Unproven > 0 {
		fmt.Fprintf(a.stdout, "of %d finished requests the evidence is declared lost\n", r.Unproven)
	}
	for i := range r.Lost {
		a.printLost(&r.Lost[i])
	}
	for _, v := range r.Failures {
		fmt.Fprintf(a.stderr, "%s: %s\n", v.Where, v.What)
	}
	return nil
}
