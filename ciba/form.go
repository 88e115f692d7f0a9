package ciba

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"

	"ringback/clients"
)

const (
	formType = "application/x-www-form-urlencoded"

	// MaxBody is the longest form that is read, in bytes.
	MaxBody = 64 << 10

	maxParams = 64
)

// form is a parsed body, a clients.Form. It has every name once; parameters without a value
// count as absent (RFC 6749 §3.2).
type form []param

type param struct{ name, value string }

// Get returns the value of a parameter, "" when it is absent.
func (f form) Get(name string) string {
	if i := f.index(name); i >= 0 {
		return f[i].value
	}
	return ""
}

func (f form) index(name string) int {
	return slices.IndexFunc(f, func(p param) bool { return p.name == name })
}

// readForm reads the body of r as a form.
func readForm(r *http.Request) (form, error) {
	// OAuth requests have one media type (RFC 6749 App. B).
	if types := r.Header["Content-Type"]; len(types) != 1 || types[0] != formType && !isType(types[0], formType) {
		return nil, refuseType(formType)
	}
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	return parseForm(body)
}

// isType reports whether a Content-Type is a media type in UTF-8.
func isType(value, typ string) bool {
	kind, params, err := mime.ParseMediaType(value)
	charset := params["charset"]
	return err == nil && kind == typ && (charset == "" || strings.EqualFold(charset, "utf-8"))
}

func refuseType(typ string) error {
	return refuse(InvalidRequest, "Content-Type must be %s in UTF-8", typ)
}

// bodies keeps buffers between requests. One of a body that is larger than usual
// is not kept.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const keptBody = 4 << 10

// readBody reads the body of r.
func readBody(r *http.Request) (string, error) {
	if r.ContentLength > MaxBody {
		return "", errBody
	}
	buf := bodies.Get().(*bytes.Buffer)
	_, err := buf.ReadFrom(io.LimitReader(r.Body, MaxBody+1))
	body := buf.String()
	if buf.Cap() <= keptBody {
		buf.Reset()
		bodies.Put(buf)
	}
	switch {
	case len(body) > MaxBody:
		return "", errBody
	case err != nil:
		return "", refuse(InvalidRequest, "the body could not be read to its end")
	}
	return body, nil
}

var errBody = &Error{Code: InvalidRequest, Description: "the body is longer than 65536 bytes"}

// parseForm parses application/x-www-form-urlencoded text that is valid UTF-8
// without NULs and repeats no name (RFC 6749 §3.2).
func parseForm(body string) (form, error) {
	f := make(form, 0, 8)
	for body != "" {
		var pair string
		pair, body, _ = strings.Cut(body, "&")
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, ok := clients.FormDecode(rawName)
		if !ok {
			return nil, refuse(InvalidRequest, "a parameter's name is not percent-encoded UTF-8 without NULs")
		}
		value, ok := clients.FormDecode(rawValue)
		if !ok {
			return nil, refuse(InvalidRequest, "%.64s: the value is not percent-encoded UTF-8 without NULs", name)
		}
		if f.index(name) >= 0 {
			return nil, refuseRepeat(name)
		}
		if len(f) == maxParams {
			return nil, refuse(InvalidRequest, "the request has more than %d parameters", maxParams)
		}
		f = append(f, param{name, value})
	}
	return f, nil
}

// refuseRepeat has its own code where a specification allows repeating and we
// serve one value only (RFC 8707 §2).
func refuseRepeat(name string) error {
	if name == "resource" {
		return refuse(InvalidTarget, "resource: ask for one resource at a time")
	}
	return refuse(InvalidRequest, "%.64s: the parameter must not be repeated", name)
}
