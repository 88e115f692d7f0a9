package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"ringback/config"
)

// operatorUsage stands in the help of every command that calls the service.
const operatorUsage = `
Environment: RINGBACK_ADMIN_TOKEN, the token that "ringback init" printed (if it
is not set, admin.token in RINGBACK_DATA, which a development run writes);
RINGBACK_ADMIN_URL, default http://127.0.0.1:8664.
`

// operator calls the management API.
type operator struct {
	base, token string
	http        *http.Client
	out         io.Writer
}

// operator reads where the service is and what lets us in.
func (a *app) operator() (*operator, error) {
	base := strings.TrimRight(a.getenv("RINGBACK_ADMIN_URL"), "/")
	if base == "" {
		base = "http://" + config.DefaultManage
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("RINGBACK_ADMIN_URL %q is not a URL: write http://127.0.0.1:8664", base)
	}
	token := a.getenv("RINGBACK_ADMIN_TOKEN")
	if dir := a.getenv("RINGBACK_DATA"); token == "" && dir != "" {
		data, err := os.ReadFile(filepath.Join(dir, adminTokenFile))
		if err == nil {
			token = strings.TrimSpace(string(data))
		}
	}
	if token == "" {
		return nil, errors.New("no management token: set RINGBACK_ADMIN_TOKEN to what `ringback init` printed; a development run writes it to admin.token in its data directory")
	}
	return &operator{base: base, token: token, out: a.stdout, http: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			ResponseHeaderTimeout: time.Minute,
		},
	}}, nil
}

// adminTokenFile is where a development run writes its management token.
const adminTokenFile = "admin.token"

// send returns the answer to one call when it is a good one.
func (o *operator) send(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, o.base+"/admin/v1"+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+o.token)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := o.http.Do(req)
	if err != nil {
		var uerr *url.Error
		if errors.As(err, &uerr) {
			err = uerr.Err
		}
		return nil, fmt.Errorf("calling the service at %s: %w; is it running there? Set RINGBACK_ADMIN_URL if it is elsewhere", o.base, err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	var e struct {
		Code string `json:"error"`
		What string `json:"error_description"`
		Next string `json:"next_step"`
	}
	if json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&e) != nil || e.What == "" {
		return nil, fmt.Errorf("%s answered %s: is that the management listener of ringback?", o.base, resp.Status)
	}
	return nil, errors.New(strings.TrimSpace(e.What + " " + e.Next))
}

// call sends in and decodes the answer into out; either may be nil.
func (o *operator) call(ctx context.Context, method, path string, in, out any) error {
	resp, err := o.send(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 16<<20)).Decode(out); err != nil {
		return fmt.Errorf("reading the answer of %s: %w", o.base, err)
	}
	return nil
}

// all reads every page of a list.
func all[T any](ctx context.Context, o *operator, path string, query url.Values) ([]T, error) {
	var out []T
	for {
		var page struct {
			Items []T    `json:"items"`
			Next  string `json:"next"`
		}
		if err := o.call(ctx, http.MethodGet, path+"?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		out = append(out, page.Items...)
		if page.Next == "" {
			return out, nil
		}
		query.Set("after", page.Next)
	}
}

// print writes a value as indented JSON.
func (o *operator) print(v any) error {
	enc := json.NewEncoder(o.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// table writes rows in columns; the first is the heading.
func (o *operator) table(rows [][]string) error { return table(o.out, rows) }

func table(out io.Writer, rows [][]string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		for i := range r {
			if r[i] == "" {
				r[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	return w.Flush()
}

// show gets one thing and prints it.
func (o *operator) show(ctx context.Context, path string) error {
	var v any
	if err := o.call(ctx, http.MethodGet, path, nil, &v); err != nil {
		return err
	}
	return o.print(v)
}

// one parses flags around exactly the words that a sub-command takes.
func one(name string, args []string, words ...string) ([]string, error) {
	got, err := parse(flags(name), args)
	if err != nil {
		return nil, err
	}
	return got, exactly(got, words...)
}

// named reads the one ID that a sub-command takes, and whom to ask about it.
func (a *app) named(name string, args []string) (*operator, string, error) {
	words, err := one(name, args, "ID")
	if err != nil {
		return nil, "", err
	}
	o, err := a.operator()
	return o, words[0], err
}

// exactly refuses more or fewer words than are named.
func exactly(got []string, words ...string) error {
	switch {
	case len(got) < len(words):
		return misused("%s is missing", words[len(got)])
	case len(got) > len(words):
		return misused("unexpected %q", got[len(words)])
	}
	return nil
}
