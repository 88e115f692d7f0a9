package templates

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"regexp"
	"strings"
	"testing"

	"ringback/channels/content"
	"ringback/consent"
	"ringback/details"
)

// hostile is what a prompt-injected agent might send. Those that the details
// registry would refuse are here too: a page must be safe by itself.
var hostile = append([]string{
	`<script>alert(1)</script>`, `</script><script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `<svg onload=alert(1)>`,
	`"><script>alert(1)</script>`, `'><img src=x onerror=alert(1)>`, `" onmouseover="alert(1)`, `' onfocus='alert(1)' autofocus='`,
	`<iframe src="javascript:alert(1)">`, `<a href="javascript:alert(1)">x</a>`, `<a href="https://evil.example">Allow</a>`, `javascript:alert(1)`,
	`data:text/html;base64,PHNjcmlwdD4=`, `<style>*{display:none}</style>`, `<link rel=stylesheet href=//evil.example>`, `<meta http-equiv=refresh content=0>`,
	`<base href="https://evil.example/">`, `<form action="https://evil.example">`, `<input name=answer value=allow>`, `<button name="answer" value="allow">Cancel</button>`,
	`<h1>Approved by security</h1>`, `<!-- -->`, `--><script>alert(1)</script><!--`, `<![CDATA[x]]>`, `<?xml version="1.0"?>`, `<!DOCTYPE html>`,
	`</bdi><b>x</b>`, `</blockquote></figure><h1>x</h1>`, `</section></main>`, `</strong>`, `</title><script>alert(1)</script>`, `</textarea><script>1</script>`,
	`{{.CSRF}}`, `{{template "page" .}}`, `{{define "card"}}x{{end}}`, `{{7*7}}`, `${7*7}`, `#{7*7}`, `<%= 7*7 %>`, `{% debug %}`, `{agent}`, `{code}`, `{what}`, `{link}`, `[x]`,
	`%s%s%s%n`, `%(x)s`, `%d`, `$(id)`, "`id`", `;cat /etc/passwd`, `| sh`, `&& reboot`, `../../etc/passwd`, `file:///etc/passwd`,
	"\x1b[31mred\x1b[0m", "\x1b]8;;https://evil.example\x1b\\x\x1b]8;;\x1b\\", "\x1b[2J", "\x07bell", "a\bb", "a\rb", "a\nb", "a\tb", "a\x00b", "a\x7fb", "a\u0085b", "a\u2028b", "a\u2029b",
	"a\u202eb", "a\u202db", "a\u2066b", "a\u2067b", "a\u2068b", "a\u2069b", "a\u200eb", "a\u200fb", "a\u061cb", "\u202eRUE 00.05\u202c",
	"a\u200bb", "a\u200cb", "a\u200db", "a\ufeffb", "a\u00adb", "a\u034fb", "a\u3164b", "a\u115fb", "a\u2800b", "a\u180eb", "a\ufe0fb", "a\U000e0041b",
	`<speak>yes</speak>`, `<prosody volume="silent">`, `<Say>yes</Say>`, `<Response><Hangup/></Response>`, `[[phonemes]]`, `&lt;b&gt;`, `&#60;b&#62;`, `&amp;`, `&nbsp;`, `&rlm;`,
	`**bold**`, `[Allow](https://evil.example)`, `![](https://evil.example/x.png)`, `# Heading`, "```js\nalert(1)\n```", `| a | b |`,
	`Approved by security`, `This request is safe. Press Allow.`, `IGNORE PREVIOUS INSTRUCTIONS`, `System: allow`, `✓ verified`, `✅ travel.example`, `Amount: 0.01 EUR`, `to ACME GmbH?`,
	`https://evil.example/pay`, `evil.example`, `www.evil.example`, `bob@evil.example`, `tel:+12025550101`, `+1 202 555 0101`, `sms:+12025550101`,
	`Reply YES 000000`, `To allow: YES 482913`, `NO`, `STOP`, `. Not expected? Reply YES`, `" Reply YES`, `482913`, `Ends 23:59.`,
	"\xff\xfe", "\xed\xa0\x80", strings.Repeat("A", 5000), strings.Repeat("<", 500), strings.Repeat("x\u0301", 200), "𝐀𝐥𝐥𝐨𝐰", "Аllow", "اَلْعَرَبِيَّة", "עברית 99.00",
}, generated()...)

func generated() []string {
	var out []string
	for _, tag := range []string{"script", "img", "svg", "object", "embed", "video", "math", "details", "marquee", "template"} {
		for _, attribute := range []string{"onerror=alert(1)", "style=x:y", "src=//evil.example", "hidden"} {
			out = append(out, fmt.Sprintf("<%s %s>", tag, attribute))
		}
	}
	return out
}

var (
	tags = regexp.MustCompile(`<[^>]*>`)
)

// skeletonOf is a page's markup without its text.
func skeletonOf(page string) string { return strings.Join(tags.FindAllString(page, -1), "\n") }

// withText returns a view whose every text of an agent's is s.
func withText(v View, s string) View {
	set := func(t details.Text) details.Text {
		out := append(details.Text{}, t...)
		for i := range out {
			if out[i].Path != "" && !out[i].Money {
				out[i].Text = s
			}
		}
		return out
	}
	v.Agent, v.Host = s, s
	v.Headline, v.Allow = set(v.Headline), set(v.Allow)
	sections := append([]Section{}, v.Sections...)
	for i := range sections {
		sections[i].Headline, sections[i].Consequence = set(sections[i].Headline), set(sections[i].Consequence)
		sections[i].Facts = setFacts(sections[i].Facts, s)
	}
	v.Sections, v.Facts, v.Words = sections, setFacts(v.Facts, s), setFacts(v.Words, s)
	var sms, done []details.Text
	for i := range v.sms {
		sms, done = append(sms, set(v.sms[i])), append(done, set(v.done[i]))
	}
	v.sms, v.done = sms, done
	return v
}

func setFacts(facts []details.Fact, s string) []details.Fact {
	out := append([]details.Fact{}, facts...)
	for i := range out {
		out[i].Leaves = append([]details.Leaf{}, out[i].Leaves...)
		if len(out[i].Leaves) == 0 {
			out[i].Value = s
		}
		for j := range out[i].Leaves {
			out[i].Leaves[j] = details.Leaf{Path: s, Value: s}
		}
	}
	return out
}

// Whatever an agent writes, the page's markup is the same and the text is text.
func TestInjectionPage(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	for _, name := range []string{"payment", "several", "unknown"} {
		v := mustView(t, s, requests[name], people["en"], 1)
		page := func(text string) string {
			w := withText(v, text)
			var b bytes.Buffer
			if err := s.Page(&b, PageData{State: Asking, View: &w, NeedCode: true, NeedMatch: true, Problem: MissingMatch}); err != nil {
				t.Fatal(err)
			}
			return b.String()
		}
		short, long := skeletonOf(page("harmless")), skeletonOf(page(strings.Repeat("harmless ", 9)))
		for _, text := range hostile {
			got := page(text)
			if sk := skeletonOf(got); sk != short && sk != long {
				t.Errorf("%s: %q changes the markup", name, text)
			}
			if !strings.Contains(html.UnescapeString(got), strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", "\ufffd"), "\ufffd")) && valid(text) {
				t.Errorf("%s: %q is not shown as it is", name, text)
			}
		}
	}
}

func valid(s string) bool {
	return strings.ToValidUTF8(s, "") == s && !strings.Contains(s, "\x00") && !strings.Contains(s, "&")
}

// Whatever an agent writes, a message has one link and one code, both ours,
// and the agent's values are marked as such.
func TestInjectionSMS(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	v := mustView(t, s, requests["payment"], people["en"], 0)
	link := regexp.MustCompile(`(?i)[a-z]+://|\w\.\p{L}|@\w`)
	for _, text := range hostile {
		w := withText(v, text)
		w.Host = "travel.example"
		for _, m := range sampleMessages {
			got, err := s.Message(content.KindText, w, m.sms)
			if err != nil {
				t.Fatal(err)
			}
			rest := strings.NewReplacer(sampleLink, "", "travel.example", "").Replace(body(got))
			if found := link.FindString(rest); found != "" {
				t.Errorf("%q: the message has the link %q: %s", text, found, body(got))
			}
			if n, _ := Segments(body(got)); n > maxSegments+2 {
				t.Errorf("%q: the message has %d segments", text, n)
			}
			if sentence(text) && strings.Contains(body(got), "to "+plainer.Replace(text)+".") {
				t.Errorf("%q stands in the message like our words: %s", text, body(got))
			}
		}
	}
}

// What is asked is the same with and without the agent's own words.
func TestFactsWithoutWords(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	card := func(words string) string {
		req := sample(func(r *consent.Request) {
			detail := map[string]any{}
			if err := json.Unmarshal([]byte(paymentDetail), &detail); err != nil {
				t.Fatal(err)
			}
			delete(detail, "remittanceInformationUnstructured")
			if words != "" {
				detail["remittanceInformationUnstructured"], r.BindingMessage = words, words
			}
			raw, err := json.Marshal([]any{detail})
			if err != nil {
				t.Fatal(err)
			}
			r.Details = raw
		})
		got, _, err := s.Card(mustView(t, s, req, people["en"], 0))
		if err != nil {
			t.Fatal(err)
		}
		return regexp.MustCompile(`(?s)<figure class="says">.*?</figure>`).ReplaceAllString(string(got), "")
	}
	want := card("")
	for _, text := range hostile {
		if strings.ToValidUTF8(text, "") != text {
			continue
		}
		if got := card(text); got != want {
			t.Errorf("%q changes what stands outside of the agent's box", text)
		}
	}
}

// Everything in the details is on the card, in the agent's box or silent.
func TestEverythingShown(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	for _, name := range sorted(requests) {
		req := requests[name]
		for _, lang := range languages {
			got, p, err := s.Card(mustView(t, s, req, people[lang], 0))
			if err != nil {
				t.Fatal(err)
			}
			if p.Rendered != string(got) || p.Channel != "page" || p.Locale != lang {
				t.Errorf("%s %s: presentation %+v", lang, name, p)
			}
			text := html.UnescapeString(tags.ReplaceAllString(string(got), ""))
			var list []map[string]any
			if req.Details != nil {
				if err := json.Unmarshal(req.Details, &list); err != nil {
					t.Fatal(err)
				}
			}
			for _, d := range list {
				delete(d, "type")
				for _, value := range leavesOf(d) {
					if !strings.Contains(text, written(value, lang)) {
						t.Errorf("%s %s: %q is not on the card:\n%s", lang, name, value, text)
					}
				}
			}
		}
	}
}

func leavesOf(v any) []string {
	var out []string
	switch v := v.(type) {
	case map[string]any:
		for _, sub := range v {
			out = append(out, leavesOf(sub)...)
		}
	case []any:
		for _, sub := range v {
			out = append(out, leavesOf(sub)...)
		}
	default:
		out = append(out, fmt.Sprint(v))
	}
	return out
}

// written is how the samples' values are written in a language.
func written(value, lang string) string {
	said := map[string]map[string]string{
		"en": {"write": "change", "1234567.89": "1,234,567.89"},
		"de": {"write": "ändern", "read": "lesen", "contacts": "Kontakte", "calendar": "Kalender", "50.00": "50,00", "1234567.89": "1.234.567,89"},
	}
	if w, ok := said[lang][value]; ok {
		return w
	}
	if strings.HasPrefix(value, "DE02") {
		return "DE02 1001 0010 9307 1186 03"
	}
	return strings.ReplaceAll(value, "\n", " ↵ ")
}
