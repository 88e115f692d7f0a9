package ciba

import (
	"errors"
	"io"
	"mime"
	"net/http"
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

// get returns the value of a parameter, "" when it is absent.
func (f form) Get(name string) string {
	for i := range f {
		if f[i].name == name {
			return f[i].value
		}
	}
	return ""
}

// bodies keeps buffers between requests. A body that is larger than usual is
// not kept.
var bodies = sync.Pool{New: func() any { return new([keptBody]byte) }}

const keptBody = 4 << 10

// readForm reads the body of r as a form.
func readForm(r *http.Request) (form, error) {
	if err := checkFormType(r.Header["Content-Type"]); err != nil {
		return nil, err
	}
	if r.ContentLength > MaxBody {
		return nil, errBody
	}
	buf := bodies.Get().(*[keptBody]byte)
	defer bodies.Put(buf)
	body := buf[:0]
	for {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)] // grows away from the pooled array
		}
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if len(body) > MaxBody {
			return nil, errBody
		}
		if errors.Is(err, io.EOF) {
			return parseForm(string(body))
		}
		if err != nil {
			return nil, refuse(InvalidRequest, "the body could not be read to its end")
		}
	}
}

var errBody = &Error{Code: InvalidRequest, Description: "the body is longer than 65536 bytes"}

// checkFormType accepts the one media type of OAuth requests (RFC 6749 App. B).
func checkFormType(values []string) error {
	if len(values) == 1 {
		if values[0] == formType {
			return nil
		}
		typ, params, err := mime.ParseMediaType(values[0])
		charset := params["charset"]
		if err == nil && typ == formType && (charset == "" || strings.EqualFold(charset, "utf-8")) {
			return nil
		}
	}
	return refuse(InvalidRequest, "Content-Type must be %s in UTF-8", formType)
}

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
		if f.has(name) {
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

func (f form) has(name string) bool {
	for i := range f {
		if f[i].name == name {
			return true
		}
	}
	return false
}
