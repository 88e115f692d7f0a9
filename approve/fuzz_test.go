package approve

import (
	"strings"
	"testing"
	"unicode/utf8"

	"ringback/templates"
)

func FuzzForm(f *testing.F) {
	f.Add("csrf=x&code=482913&match_code=4711&answer=allow")
	f.Add("code=482+913&code=1&answer=deny")
	f.Add("answer=block;code=1&%zz=1")
	f.Fuzz(func(t *testing.T, body string) {
		got, ok := parseForm(body)
		if !ok {
			if got.csrf+got.answer+got.code+got.match != "" {
				t.Errorf("parseForm(%q) refused and returned %+v", body, got)
			}
			return
		}
		for value, n := range map[string]int{got.code: 6, got.match: 4} {
			if value != "" && (len(value) != n || strings.Trim(value, "0123456789") != "") {
				t.Errorf("parseForm(%q) let %q pass", body, value)
			}
		}
		switch got.answer {
		case "", templates.AnswerAllow, templates.AnswerDeny, templates.AnswerBlock:
		default:
			t.Errorf("parseForm(%q) let the answer %q pass", body, got.answer)
		}
		if !utf8.ValidString(got.csrf) {
			t.Errorf("parseForm(%q) let invalid UTF-8 pass", body)
		}
	})
}

func FuzzUserCodeForm(f *testing.F) {
	f.Add("csrf=x&code=482913&user_code=tree-4711&user_code_again=tree-4711")
	f.Add("code=482+913&user_code=%20&user_code=1")
	f.Add("answer=allow&%zz=1")
	f.Fuzz(func(t *testing.T, body string) {
		got, ok := parseUserCodeForm(body)
		if !ok {
			if got != (userCodeForm{}) {
				t.Errorf("parseUserCodeForm(%q) refused and returned %+v", body, got)
			}
			return
		}
		if got.code != "" && (len(got.code) != 6 || strings.Trim(got.code, "0123456789") != "") {
			t.Errorf("parseUserCodeForm(%q) let %q pass", body, got.code)
		}
		if !utf8.ValidString(got.csrf + got.chosen + got.again) {
			t.Errorf("parseUserCodeForm(%q) let invalid UTF-8 pass", body)
		}
	})
}
