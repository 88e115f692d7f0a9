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
	csrf   string
	answer string // templates.AnswerAllow, AnswerDeny or AnswerBlock
	code   string // 6 digits, or ""
	match  string // 4 digits, or ""
	less   less
}

// readForm reads the body of r; ok is false for anything but a small form of
// our fields, each at most once. The query takes no part.
func readForm(r *http.Request) (f answerForm, ok bool) {
	ct, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || ct != "application/x-www-form-urlencoded" {
		return f, false
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxForm+1))
	if err != nil || len(body) > maxForm {
		return f, false
	}
	return parseForm(string(body))
}

func parseForm(body string) (f answerForm, ok bool) {
	if strings.Count(body, "&") >= maxFields {
		return f, false
	}
	v, err := url.ParseQuery(body)
	if err != nil {
		return f, false
	}
	for name, values := range v {
		for _, s := range append(values, name) {
			if !utf8.ValidString(s) {
				return f, false
			}
		}
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
	f.code, f.match = digits(f.code, 6), digits(f.match, 4)
	f.less = less{lower: map[int]string{}, without: map[int][]int{}}
	for name, values := range v {
		if !f.less.take(name, values) {
			return answerForm{}, false
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
