package approve

import "net/http"

// OwnForm is a cookie and a form token as an attacker's own browser can make
// them over http, without loading the page of the ticket.
func OwnForm(ticket string) (*http.Cookie, string) {
	value, stamp := random(16), random(12)
	return &http.Cookie{Name: (&Server{}).cookieName(ticket), Value: value}, stamp + seal(value, ticket, stamp)
}
