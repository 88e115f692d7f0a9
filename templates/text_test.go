package templates

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"

	"ringback/channels/content"
	"ringback/consent"
)

const (
	sampleCode = "482913"
	sampleLink = "https://consent.example.com/a/AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKA"
)

var sampleMessages = []struct {
	name string
	sms  Ask
}{
	{"reply", Ask{Code: sampleCode, Link: sampleLink, Reply: true}},
	{"link", Ask{Code: sampleCode, Link: sampleLink}},
	{"match", Ask{Code: sampleCode, Link: sampleLink, Match: true}},
	{"match-reply", Ask{Code: sampleCode, Link: sampleLink, Match: true, Reply: true}},
}

func TestSMS(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	for _, lang := range languages {
		for _, m := range sampleMessages {
			var b strings.Builder
			for _, name := range sorted(requests) {
				v := mustView(t, s, requests[name], people[lang], 0)
				got, err := s.Message(content.KindText, v, m.sms)
				if err != nil {
					t.Fatal(err)
				}
				n, gsm := Segments(body(got))
				fmt.Fprintf(&b, "%s: %d segments, GSM %v, reply %v, %s\n%s\n\n", name, n, gsm, got.Reply, got.Presentation.Template, body(got))
				checkMessage(t, lang+" "+m.name+" "+name, requests[name], v, m.sms, got)
			}
			golden(t, "sms/"+lang+"/"+m.name+".txt", b.String())
		}
	}
}

func checkMessage(t *testing.T, name string, req *consent.Request, v View, sms Ask, got Message) {
	t.Helper()
	if n, _ := Segments(body(got)); n > maxSegments {
		t.Errorf("%s: %d segments", name, n)
	}
	if !strings.Contains(body(got), sms.Code) {
		t.Errorf("%s: lacks the code", name)
	}
	if p := got.Presentation; strings.Contains(p.Rendered, sms.Code) || strings.Contains(p.Rendered, sms.Link) || !strings.Contains(p.Rendered, blankCode) ||
		p.AskedDigest != v.Asked || p.Locale != v.Lang || p.TemplateDigest == (consent.Digest{}) {
		t.Errorf("%s: presentation %+v", name, p)
	}
	if req.BindingMessage != "" && strings.Contains(body(got), req.BindingMessage) || strings.Contains(body(got), "Hotel deposit") {
		t.Errorf("%s: has the agent's own words", name)
	}
	for _, control := range body(got) {
		if control < ' ' {
			t.Errorf("%s: has a control character", name)
		}
	}
	yes := strings.Contains(body(got), "YES "+sms.Code) || strings.Contains(body(got), "JA "+sms.Code)
	if yes && (!got.Reply || sms.Match) {
		t.Errorf("%s: offers YES where it cannot count", name)
	}
	if got.Reply && !sms.Reply {
		t.Errorf("%s: says that replies count where they do not", name)
	}
	if links := strings.Count(body(got), "://"); links > 1 || links == 1 && (!strings.Contains(body(got), sms.Link) || yes) {
		t.Errorf("%s: has a link that it should not have: %s", name, body(got))
	}
}

// What fits into one segment takes one.
func TestSMSOneSegment(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	for _, lang := range languages {
		for _, name := range []string{"payment", "scope", "identity"} {
			got, err := s.Message(content.KindText, mustView(t, s, requests[name], people[lang], 0), Ask{Code: sampleCode, Reply: true})
			if err != nil {
				t.Fatal(err)
			}
			if n, gsm := Segments(body(got)); n != 1 || !gsm {
				t.Errorf("%s %s: %d segments, GSM %v: %s", lang, name, n, gsm, body(got))
			}
		}
	}
	got, err := s.Message(content.KindText, mustView(t, s, requests["payment"], people["en"], 0), Ask{Code: sampleCode, Reply: true})
	if err != nil {
		t.Fatal(err)
	}
	want := "Travel Agent (travel.example) asks to PAY 50.00 EUR to ACME GmbH. Not expected? Reply NO 482913. To allow: YES 482913. Ends 14:35."
	if body(got) != want {
		t.Errorf("SMS = %q, want %q", body(got), want)
	}
}

func TestSMSRefuses(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	v := mustView(t, s, requests["payment"], people["en"], 0)
	for _, m := range []Ask{{}, {Code: "12345", Reply: true}, {Code: "12345a", Reply: true}, {Code: sampleCode}, {Code: sampleCode, Match: true, Reply: true}} {
		if got, err := s.Message(content.KindText, v, m); err == nil {
			t.Errorf("SMS(%+v) = %q, want an error", m, body(got))
		}
	}
	// What cannot be shown whole cannot be allowed by message.
	if got, err := s.Message(content.KindText, mustView(t, s, requests["unknown"], people["en"], 0), Ask{Code: sampleCode, Reply: true}); err == nil {
		t.Errorf("SMS = %q, want an error", body(got))
	}
}

func TestSegments(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		n    int
		gsm  bool
	}{
		{"", 1, true},
		{strings.Repeat("a", 160), 1, true},
		{strings.Repeat("a", 161), 2, true},
		{strings.Repeat("a", 306), 2, true},
		{strings.Repeat("a", 307), 3, true},
		{strings.Repeat("€", 80), 1, true},
		{strings.Repeat("€", 81), 2, true},
		{"Öffnen Sie ß ñ à", 1, true},
		{strings.Repeat("ş", 70), 1, false},
		{strings.Repeat("ş", 71), 2, false},
		{strings.Repeat("😀", 35), 1, false},
		{strings.Repeat("😀", 36), 2, false},
		{"a·b", 1, false},
	} {
		if n, gsm := Segments(tt.text); n != tt.n || gsm != tt.gsm {
			t.Errorf("Segments(%d × …%q) = %d, %v, want %d, %v", len(tt.text), tt.text[max(0, len(tt.text)-4):], n, gsm, tt.n, tt.gsm)
		}
	}
}

func TestInline(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"ACME GmbH", "ACME GmbH"},
		{"50.00", "50.00"},
		{"shop.example", "shop. example"},
		{"https://evil.example/pay", "evil. example/pay"},
		{"bob@evil.example", "bob@ evil. example"},
		{"ftp://x", "ftp x"},
		{"St. Mary", `"St. Mary"`},
		{"ACME. Reply YES to stop", `"ACME. Reply YES to stop"`},
		{"Info GmbH", `"Info GmbH"`},
		{`A "B"`, `"A 'B'"`},
		{"O’Neil – Söhne", "O'Neil - Söhne"},
		{"בנק", "\u2068בנק\u2069"},
		{strings.Repeat("x", 41), `"` + strings.Repeat("x", 41) + `"`},
	} {
		if got := inline(tt.in); got != tt.want {
			t.Errorf("inline(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestSay(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	answers := []Answer{AnswerAllowed, AnswerRefused, AnswerWrong, AnswerTooMany, AnswerEnded, AnswerAmbiguous, AnswerNotHere, AnswerStopped, AnswerStarted, AnswerHelp, AnswerNothing}
	for _, lang := range languages {
		var b strings.Builder
		v := mustView(t, s, requests["payment"], people[lang], 0)
		for _, a := range answers {
			view := &v
			if !slices.Contains([]Answer{AnswerAllowed, AnswerRefused}, a) {
				view = nil
			}
			for _, tries := range []int{2, 1, 0} {
				got := s.Say(a, lang, view, tries)
				if tries < 2 && a != AnswerWrong {
					continue
				}
				fmt.Fprintf(&b, "%s: %s\n", a, got)
				if n, gsm := Segments(got); n != 1 || !gsm {
					t.Errorf("%s %s: %d segments, GSM %v: %s", lang, a, n, gsm, got)
				}
			}
		}
		golden(t, "sms/"+lang+"/answers.txt", b.String())
	}
}

// FuzzInline: nothing that an agent writes becomes a link in a message.
func FuzzInline(f *testing.F) {
	for _, s := range []string{"https://a.b", "hthttps://tps://a.b", "shop.example", "a@b.example", "x. Y", "\u202e.a", "…", "a.́b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got := inline(value)
		runes := []rune(got)
		for i := 1; i+1 < len(runes); i++ {
			if (runes[i] == '.' || runes[i] == '@') && unicode.IsLetter(runes[i+1]) && (unicode.IsLetter(runes[i-1]) || unicode.IsDigit(runes[i-1])) {
				t.Errorf("inline(%q) = %q, which a phone would make a link of", value, got)
			}
		}
		if strings.Contains(got, "://") {
			t.Errorf("inline(%q) = %q", value, got)
		}
		if n, _ := Segments(got); n < 1 {
			t.Errorf("Segments(%q) = %d", got, n)
		}
	})
}

// body is the text of a message; "" where it has none.
func body(m Message) string {
	text, _ := m.Content.(content.Text)
	return text.Body
}

// TestMessageKind: a kind without words is refused, and a message names its
// channel in evidence.
func TestMessageKind(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	v := mustView(t, s, requests["payment"], people["en"], 0)
	if got, err := s.Message("smoke", v, Ask{Code: sampleCode, Link: sampleLink}); err == nil {
		t.Errorf("Message(smoke) = %+v, want an error", got)
	}
	got, err := s.Message(content.KindText, v, Ask{Channel: "pigeon", Code: sampleCode, Link: sampleLink})
	if err != nil || got.Presentation.Channel != "pigeon" || got.Content.(content.Text).Link != sampleLink {
		t.Errorf("Message = %+v, %v", got, err)
	}
}
