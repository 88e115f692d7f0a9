package templates

import (
	"strings"
	"testing"
)

func TestReadReply(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		body string
		want Reply
	}{
		{"YES 482913", Reply{Yes, "482913"}},
		{"yes 482913", Reply{Yes, "482913"}},
		{" Yes,  482 913. ", Reply{Yes, "482913"}},
		{"Yes482913", Reply{Yes, "482913"}},
		{"“YES 482913”", Reply{Yes, "482913"}},
		{"YES\n482913\n", Reply{Yes, "482913"}},
		{"Ja 482-913", Reply{Yes, "482913"}},
		{"ＹＥＳ ４８２９１３", Reply{Yes, "482913"}},
		{"NO 482913", Reply{No, "482913"}},
		{"nein 482913", Reply{No, "482913"}},
		{"no", Reply{No, ""}},
		{"Nein!", Reply{No, ""}},
		{"YES", Reply{}},
		{"YES 48291", Reply{}},
		{"YES 4829130", Reply{}},
		{"YES 482913 482914", Reply{}},
		{"YES 482913 or not", Reply{}},
		{"YES 482913 NO", Reply{}},
		{"NO 482913 YES", Reply{}},
		{"NO YES 482913", Reply{}},
		{"not YES 482913", Reply{}},
		{"yes please 482913", Reply{}},
		{"NO 12", Reply{}},
		{"No idea what this is", Reply{}},
		{"482913", Reply{}},
		{"482913 YES", Reply{}},
		{"YES ٤٨٢٩١٣", Reply{}},
		{"УES 482913", Reply{}}, // Cyrillic У
		{"YES\u200b 482913", Reply{Yes, "482913"}},
		{"", Reply{}},
		{"👍", Reply{}},
		{strings.Repeat("YES ", 1000), Reply{}},
		{"STOP", Reply{Keyword: Stop}},
		{" stop. ", Reply{Keyword: Stop}},
		{"Stop!!", Reply{Keyword: Stop}},
		{"STOP ALL", Reply{Keyword: Stop}},
		{"stopall", Reply{Keyword: Stop}},
		{"STOP 482913", Reply{Keyword: Stop}},
		{"STOP YES 482913", Reply{Keyword: Stop}},
		{"stop sending me these", Reply{Keyword: Stop}},
		{"unsubscribe", Reply{Keyword: Stop}},
		{"Cancel", Reply{Keyword: Stop}},
		{"END", Reply{Keyword: Stop}},
		{"quit", Reply{Keyword: Stop}},
		{"REVOKE", Reply{Keyword: Stop}},
		{"OPTOUT", Reply{Keyword: Stop}},
		{"opt-out", Reply{Keyword: Stop}},
		{"Opt out", Reply{Keyword: Stop}},
		{"ARRET", Reply{Keyword: Stop}},
		{"arrêt", Reply{Keyword: Stop}},
		{"Stopp", Reply{Keyword: Stop}},
		{"abmelden", Reply{Keyword: Stop}},
		{"START", Reply{Keyword: Start}},
		{"unstop", Reply{Keyword: Start}},
		{"HELP", Reply{Keyword: Help}},
		{"info", Reply{Keyword: Help}},
		{"Hilfe?", Reply{Keyword: Help}},
		{"HELP 482913", Reply{}},
	} {
		if got := ReadReply(tt.body); got != tt.want {
			t.Errorf("ReadReply(%q) = %+v, want %+v", tt.body, got, tt.want)
		}
	}
}

func FuzzReadReply(f *testing.F) {
	for _, s := range []string{"YES 482913", "no", "STOP", "\xff", "ja 482 913", "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		r := ReadReply(body)
		if r.Code != "" && (!sixDigits(r.Code) || r.Keyword != Yes && r.Keyword != No) || r.Keyword == Yes && r.Code == "" {
			t.Errorf("ReadReply(%q) = %+v", body, r)
		}
		for _, word := range []string{"STOP", "UNSUBSCRIBE", "CANCEL"} {
			if strings.HasPrefix(body, word+" ") && r.Keyword != Stop && len(body) <= 1600 {
				t.Errorf("ReadReply(%q) = %+v, want stop", body, r)
			}
		}
	})
}
