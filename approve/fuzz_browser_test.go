package approve

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzGenuine: no token, cookie or header of an attacker's passes for a form of ours.
func FuzzGenuine(f *testing.F) {
	s := &Server{origin: "https://consent.example", secure: true}
	ck, token := OwnForm("ticket")
	f.Add(token, s.cookieName("ticket")+"="+ck.Value, "null", "same-origin", "ticket")
	f.Add(token, s.cookieName("ticket")+"="+ck.Value, "https://consent.example", "none", "ticket")
	f.Add("", "__Host-page=", "https://attacker.example", "cross-site", "")
	f.Fuzz(func(t *testing.T, token, cookie, origin, site, ticket string) {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header["Cookie"], r.Header["Origin"], r.Header["Sec-Fetch-Site"] = []string{cookie}, []string{origin}, []string{site}
		value := s.browser(r, ticket)
		if value != "" && (len(value) != cookieSize || !strings.Contains(cookie, value)) {
			t.Errorf("browser(%q) = %q", cookie, value)
		}
		if s.genuine(r, ticket, token) && token != token[:min(stampSize, len(token))]+seal(value, ticket, token[:min(stampSize, len(token))]) {
			t.Errorf("genuine(%q, %q, %q)", cookie, ticket, token)
		}
		if s.fromOurPage(r) && (!strings.EqualFold(origin, s.origin) && origin != "null" || site != "same-origin" && site != "none") {
			t.Errorf("fromOurPage(%q, %q)", origin, site)
		}
	})
}
