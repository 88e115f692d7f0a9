package approve

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"ringback/consent"
	"ringback/details"
	"ringback/templates"
)

// errSmaller says that the form asks for a smaller yes that is none.
var errSmaller = errors.New("not a smaller yes")

// less are the fields of a form that make the yes smaller, by position in
// details.Registry.Smaller.
type less struct {
	lower   map[int]string
	without map[int][]int
}

func (l less) empty() bool { return len(l.lower) == 0 && len(l.without) == 0 }

// take reads one field; ok is false when it is none of these.
func (l *less) take(name string, values []string) (ok bool) {
	if rest, found := strings.CutPrefix(name, templates.FieldLower); found {
		at, ok := position(rest)
		if !ok || len(values) != 1 {
			return false
		}
		if s := strings.TrimSpace(values[0]); s != "" {
			l.lower[at] = s
		}
		return true
	}
	rest, found := strings.CutPrefix(name, templates.FieldWithout)
	at, ok := position(rest)
	if !found || !ok {
		return false
	}
	for _, v := range values {
		i, ok := position(v)
		if !ok {
			return false
		}
		l.without[at] = append(l.without[at], i)
	}
	return true
}

// position reads a small number as forms of ours write it.
func position(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0 && n < 1000 && strconv.Itoa(n) == s
}

// smaller lists what the person may make smaller on the page of a request.
func (s *Server) smaller(req *consent.Request, lang string) ([]details.Smaller, error) {
	if !req.Narrowable {
		return nil, nil
	}
	list, err := s.cfg.Details.Read(req.Details)
	if err != nil {
		return nil, err
	}
	return list.Smaller(lang), nil
}

// granted returns the authorization_details of a smaller yes, nil for one as
// asked, or errSmaller.
func (s *Server) granted(req *consent.Request, l less) (json.RawMessage, error) {
	if l.empty() {
		return nil, nil
	}
	if !req.Narrowable {
		return nil, errSmaller
	}
	asked, err := s.cfg.Details.Read(req.Details)
	if err != nil {
		return nil, err
	}
	out, err := asked.Reduce(l.lower, l.without)
	if err != nil || asked.Narrow(out) != nil {
		return nil, errSmaller
	}
	if bytes.Equal(asked.Canonical(), out.Canonical()) {
		return nil, nil
	}
	return out.Canonical(), nil
}

// given returns the request as it was granted, for saying what was allowed.
func given(req *consent.Request, d *consent.Decision) *consent.Request {
	if d.Granted == nil {
		return req
	}
	out := *req
	out.Details = d.Granted
	return &out
}
