package ciba

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParseForm(t *testing.T) {
	t.Parallel()
	many := make([]string, maxParams+1)
	for i := range many {
		many[i] = "p" + strconv.Itoa(i) + "=1"
	}
	for _, tt := range []struct {
		name, body string
		want       form
		code       Code
		says       string
	}{
		{name: "empty", want: form{}},
		{name: "two", body: "a=1&b=2", want: form{{"a", "1"}, {"b", "2"}}},
		{name: "escaped", body: "sc%6fpe=openid+a%20b&h=%2B1", want: form{{"scope", "openid a b"}, {"h", "+1"}}},
		{name: "UTF-8", body: "a=%C3%A4&b=ä", want: form{{"a", "ä"}, {"b", "ä"}}},
		{name: "no value", body: "a&b=", want: form{{"a", ""}, {"b", ""}}},
		{name: "stray separators", body: "&&a=1&", want: form{{"a", "1"}}},
		{name: "equals in value", body: "a=b=c", want: form{{"a", "b=c"}}},
		{name: "semicolon is no separator", body: "a=1;b=2", want: form{{"a", "1;b=2"}}},
		{name: "repeated", body: "a=1&b=2&a=1", code: InvalidRequest, says: "a: "},
		{name: "repeated in another spelling", body: "scope=1&sc%6Fpe=1", code: InvalidRequest, says: "scope: "},
		{name: "repeated and empty", body: "a=&a=1", code: InvalidRequest, says: "a: "},
		{name: "repeated resource", body: "resource=1&resource=2", code: InvalidTarget, says: "resource: "},
		{name: "bad escape", body: "a=%zz", code: InvalidRequest, says: "a: "},
		{name: "cut escape", body: "a=%2", code: InvalidRequest, says: "a: "},
		{name: "NUL", body: "a=%00", code: InvalidRequest, says: "a: "},
		{name: "raw NUL", body: "a=\x00", code: InvalidRequest, says: "a: "},
		{name: "invalid UTF-8", body: "a=%C3", code: InvalidRequest, says: "a: "},
		{name: "raw invalid UTF-8", body: "a=\xc3", code: InvalidRequest, says: "a: "},
		{name: "overlong UTF-8", body: "a=%C0%80", code: InvalidRequest, says: "a: "},
		{name: "bad name", body: "%ff=1", code: InvalidRequest, says: "name"},
		{name: "too many", body: strings.Join(many, "&"), code: InvalidRequest, says: "parameters"},
	} {
		got, err := parseForm(tt.body)
		if tt.code == "" {
			if err != nil {
				t.Errorf("%s: parseForm(%q) = %v", tt.name, tt.body, err)
			} else if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(param{})); diff != "" {
				t.Errorf("%s: parseForm(%q): %s", tt.name, tt.body, diff)
			}
			continue
		}
		wantRefusal(t, tt.name, err, tt.code, tt.says)
	}
}

// wantRefusal checks that err is an *Error with this code whose description
// contains says.
func wantRefusal(t *testing.T, name string, err error, code Code, says string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Description, says) {
		t.Errorf("%s: error is %v, want %s with %q", name, err, code, says)
	}
}

func TestReadForm(t *testing.T) {
	t.Parallel()
	long := "a=" + strings.Repeat("x", MaxBody-2)
	for _, tt := range []struct {
		name, typ, body string
		ok              bool
	}{
		{"plain", formType, "a=1", true},
		{"charset", formType + "; charset=UTF-8", "a=1", true},
		{"case", "Application/X-WWW-Form-Urlencoded", "a=1", true},
		{"another charset", formType + "; charset=iso-8859-1", "a=1", false},
		{"JSON", "application/json", `{"a":1}`, false},
		{"multipart", "multipart/form-data; boundary=x", "", false},
		{"prefix", formType + "x", "a=1", false},
		{"no type", "", "a=1", false},
		{"longest", formType, long, true},
		{"longer than the buffer", formType, "a=" + strings.Repeat("x", keptBody), true},
		{"too long", formType, long + "x", false},
	} {
		for _, chunked := range []bool{false, true} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://a.example/", strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if tt.typ != "" {
				r.Header.Set("Content-Type", tt.typ)
			}
			if chunked {
				r.ContentLength = -1
			}
			f, err := readForm(r)
			if (err == nil) != tt.ok {
				t.Errorf("%s: readForm(…) = %v, want ok %v", tt.name, err, tt.ok)
			}
			if want, _ := strings.CutPrefix(tt.body, "a="); tt.ok && f.Get("a") != want {
				t.Errorf("%s: readForm(…) lost something: %d bytes of %d", tt.name, len(f.Get("a")), len(want))
			}
		}
	}
}

// TestReadFormAnnounced: what says that it is too long is not read at all.
func TestReadFormAnnounced(t *testing.T) {
	t.Parallel()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://a.example/", iotest.ErrReader(errors.New("read")))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", formType)
	r.ContentLength = MaxBody + 1
	if _, err := readForm(r); !errors.Is(err, errBody) {
		t.Errorf("readForm(…) = %v, want %v", err, errBody)
	}
}

// FuzzParseForm compares with the standard library on what both accept.
func FuzzParseForm(f *testing.F) {
	for _, s := range []string{"a=1&b=2", "a=%C3%A4+x&b", "a=1&a=2", "%00=1", "a=%zz", "a;b=c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, err := parseForm(body)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("parseForm(%q) = %v, not an *Error", body, err)
			}
			if text := appendDescription(nil, e.Description); bytes.ContainsAny(text, "\"\\\r\n\t\x00") || !utf8.Valid(text) {
				t.Errorf("parseForm(%q) describes itself as %q", body, text)
			}
			return
		}
		want, err := url.ParseQuery(strings.ReplaceAll(body, ";", "%3B"))
		if err != nil {
			t.Fatalf("parseForm(%q) accepts what net/url does not: %v", body, err)
		}
		if len(want) != len(got) {
			t.Errorf("parseForm(%q) has %d names, want %d", body, len(got), len(want))
		}
		for _, p := range got {
			if len(want[p.name]) != 1 || want.Get(p.name) != p.value || got.Get(p.name) != p.value {
				t.Errorf("parseForm(%q)[%q] = %q, want %q", body, p.name, p.value, want[p.name])
			}
			if !utf8.ValidString(p.name+p.value) || strings.Contains(p.name+p.value, "\x00") {
				t.Errorf("parseForm(%q) accepts %q", body, p)
			}
		}
	})
}

func FuzzIsType(f *testing.F) {
	for _, s := range []string{formType, formType + "; charset=UTF-8", "text/plain", formType + `;charset="utf-8";x`, ";", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if isType(s, formType) && !strings.HasPrefix(strings.ToLower(strings.TrimSpace(s)), formType) {
			t.Errorf("isType(%q) lets it pass", s)
		}
	})
}
