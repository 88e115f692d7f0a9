package templates

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"ringback/details"
)

func TestSmallerInEveryLanguage(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	view := &View{Agent: "Agent"}
	for _, lang := range Languages() {
		words := reflect.ValueOf(less[lang])
		for i := range words.NumField() {
			if words.Field(i).String() == "" {
				t.Errorf("%s: %s has no words", lang, words.Type().Field(i).Name)
			}
		}
		view.Lang = lang
		var b bytes.Buffer
		err := s.Page(&b, PageData{
			State: Asking, View: view, CSRF: "token", NeedCode: true, Problem: BadSmaller,
			Smaller: []details.Smaller{
				{Label: "<b>Amount", Value: "50.00 EUR", Currency: "EUR"}, {Label: "May", Value: "read, write", Choices: []string{"read", "<i>write"}},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			`<details class="less" open>`, `name="lower.0"`, `inputmode="decimal"`, `name="without.1" value="0"`, `name="without.1" value="1"`,
			"&lt;i&gt;write", "&lt;b&gt;Amount", less[lang].Bad[:20],
		} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: the page lacks %s", lang, want)
			}
		}
		b.Reset()
		if err := s.Page(&b, PageData{State: Asking, View: view, NeedPhr: true, Smaller: []details.Smaller{{Label: "Amount"}}}); err != nil || strings.Contains(b.String(), "<details") {
			t.Errorf("%s: a smaller yes where none can be given: %v", lang, err)
		}
	}
}
