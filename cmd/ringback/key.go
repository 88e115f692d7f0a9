package main

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"time"
)

const keyUsage = `Usage: ringback key list
       ringback key rotate [--evidence]
       ringback key evidence

rotate makes the published next key sign at once and publishes a new next one;
without it keys rotate by themselves every 30 days (evidence: every year).
Old keys verify tokens for 90 more days, and evidence for ever.
evidence prints the public keys that "ringback verify" takes. Keep a copy away
from the service: an export must not vouch for itself.
` + operatorUsage

// key looks after signing keys.
func (a *app) key(ctx context.Context, args []string) error {
	return a.turn(ctx, args, map[string]func(context.Context, []string) error{
		"list": a.keyList, "rotate": a.keyRotate, "evidence": a.keyEvidence,
	}, "list", "rotate", "evidence")
}

// signer is one line of the list of keys.
type signer struct {
	KID       string    `json:"kid"`
	Purpose   string    `json:"purpose"`
	State     string    `json:"state"`
	CreatedAt time.Time `json:"created_at"`
}

func printKeys(o *operator, list []signer) error {
	rows := [][]string{{"KID", "PURPOSE", "STATE", "CREATED"}}
	for _, k := range list {
		rows = append(rows, []string{k.KID, k.Purpose, k.State, k.CreatedAt.UTC().Format(time.RFC3339)})
	}
	return o.table(rows)
}

func (a *app) keyList(ctx context.Context, args []string) error {
	if _, err := one("list", args); err != nil {
		return err
	}
	o, err := a.operator()
	if err != nil {
		return err
	}
	list, err := all[signer](ctx, o, "/keys", url.Values{})
	if err != nil {
		return err
	}
	return printKeys(o, list)
}

func (a *app) keyRotate(ctx context.Context, args []string) error {
	fs := flags("rotate")
	evidence := fs.Bool("evidence", false, "")
	if err := alone(fs, args); err != nil {
		return err
	}
	o, err := a.operator()
	if err != nil {
		return err
	}
	purpose := "token"
	if *evidence {
		purpose = "evidence"
	}
	var out struct{ Items []signer }
	if err := o.call(ctx, http.MethodPost, "/keys/rotate?purpose="+purpose, nil, &out); err != nil {
		return err
	}
	return printKeys(o, out.Items)
}

func (a *app) keyEvidence(ctx context.Context, args []string) error {
	if _, err := one("evidence", args); err != nil {
		return err
	}
	o, err := a.operator()
	if err != nil {
		return err
	}
	resp, err := o.send(ctx, http.MethodGet, "/keys/evidence", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(a.stdout, resp.Body); err != nil {
		return err
	}
	_, err = io.WriteString(a.stdout, "\n")
	return err
}
