package approve

import (
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"ringback/templates"
)

// Bounds of a posted form.
const (
	maxForm   = 16 << 10 // bytes
	maxFields = 256
)

// answerForm is a posted form, read and of the right shape; nothing in it has
// been compared with anything.
type answerForm struct {
	body   string // as it was posted
	csrf   string
	answer string // templates.AnswerAllow, AnswerDeny or AnswerBlock
	code   string // 6 digits, or ""
	match  string // 4 digits, or ""
	less   less
}

// readForm reads the body of r; ok is false for anything but a small form of
// our fields, each at most once. The query takes no part.
func readForm(r *http.Request) (f answerForm, ok bool) {
	body, ok := readBody(r)
	if !ok {
		return f, false
	}
	return parseForm(body)
}

// readBody reads a small body of the right media type.
func readBody(r *http.Request) (string, bool) {
	ct, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || ct != "application/x-www-form-urlencoded" {
		return "", false
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxForm+1))
	return string(body), err == nil && len(body) <= maxForm
}

// parseFields reads a form of UTF-8.
func parseFields(body string) (url.Values, bool) {
	if strings.Count(body, "&") >= maxFields {
		return nil, false
	}
	v, err := url.ParseQuery(body)
	if err != nil {
		return nil, false
	}
	for name, values := range v {
		for _, s := range append(values, name) {
			if !utf8.ValidString(s) {
				return nil, false
			}
		}
	}
	return v, true
}

func parseForm(body string) (f answerForm, ok bool) {
	v, ok := parseFields(body)
	if !ok {
		return f, false
	}
	for name, into := range map[string]*string{
		templates.FieldCSRF: &f.csrf, templates.FieldAnswer: &f.answer,
		templates.FieldCode: &f.code, templates.FieldMatch: &f.match,
	} {
		if len(v[name]) > 1 {
			return answerForm{}, false
		}
		*into = v.Get(name)
		v.Del(name)
	}
	switch f.answer {
	case templates.AnswerAllow, templates.AnswerDeny, templates.AnswerBlock:
	default:
		f.answer = ""
	}
	f.body, f.code, f.match = body, digits(f.code, 6), digits(f.match, 4)
	f.less = less{lower: map[int]string{}, without: map[int][]int{}}
	for name, values := range v {
		if !f.less.take(name, values) {
			return answerForm{}, false
		}
	}
	return f, true
}

// userCodeForm is a form of the page where a user_code is chosen, read and not
// compared with anything.
type userCodeForm struct {
	body   string // as it came
	csrf   string
	code   string // of the message: 6 digits, or ""
	chosen string
	again  string
}

// readUserCodeForm is readForm for that page.
func readUserCodeForm(r *http.Request) (f userCodeForm, ok bool) {
	body, ok := readBody(r)
	if !ok {
		return f, false
	}
	return parseUserCodeForm(body)
}

func parseUserCodeForm(body string) (f userCodeForm, ok bool) {
	v, ok := parseFields(body)
	if !ok {
		return f, false
	}
	f.body = body
	for name, values := range v {
		if len(values) > 1 {
			return userCodeForm{}, false
		}
		switch name {
		case templates.FieldCSRF:
			f.csrf = values[0]
		case templates.FieldCode:
			f.code = digits(values[0], 6)
		case templates.FieldUserCode:
			f.chosen = values[0]
		case templates.FieldUserCodeAgain:
			f.again = values[0]
		default:
			return userCodeForm{}, false
		}
	}
	return f, true
}

// digits returns s without the spaces and dashes that people put between
// digits, or "" if that is not n ASCII digits.
func digits(s string, n int) string {
	if len(s) > 4*n {
		return ""
	}
	s = strings.NewReplacer(" ", "", "-", "", "\u00a0", "", "\u202f", "").Replace(s)
	if len(s) != n || strings.Trim(s, "0123456789") != "" {
		return ""
	}
	return s
}
