package approve

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// Sizes of what a browser carries, in characters of base64url.
const (
	cookieSize = 22 // 16 random bytes
	stampSize  = 16 // 12 random bytes: one per form
)

var encoding = base64.RawURLEncoding.Strict()

func random(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b) // never fails
	return encoding.EncodeToString(b)
}

const nonceKey = "nonce"

// guard sets the headers of every page. Its policy allows our stylesheet
// and mark, the one script with this page's nonce, and no frame of anybody's.
func (s *Server) guard(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		nonce := random(16)
		c.Set(nonceKey, nonce)
		h := c.Response().Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'nonce-"+nonce+"'; form-action 'self'; "+
			"base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
		h.Set("X-Robots-Tag", "noindex, nofollow")
		return next(c)
	}
}

// asset serves what pages load. Their paths change with the content.
func asset(contentType string, data []byte) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("Cache-Control", "public, max-age=86400")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		return c.Blob(http.StatusOK, contentType, data)
	}
}

// cookieName is one cookie per ticket, so that two pages do not disturb each
// other. Over https its prefix keeps other hosts from setting it.
func (s *Server) cookieName(ticket string) string {
	sum := sha256.Sum256([]byte(ticket))
	name := "page-" + hex.EncodeToString(sum[:4])
	if s.secure {
		return "__Host-" + name
	}
	return name
}

// browser returns the random value that this browser carries for the ticket,
// or "".
func (s *Server) browser(r *http.Request, ticket string) string {
	ck, err := r.Cookie(s.cookieName(ticket))
	if err != nil || len(ck.Value) != cookieSize {
		return ""
	}
	if _, err := encoding.DecodeString(ck.Value); err != nil {
		return ""
	}
	return ck.Value
}

// form returns the CSRF token of a new form, and sets the cookie that it is
// bound to where the browser has none.
func (s *Server) form(c echo.Context, ticket string) string {
	value := s.browser(c.Request(), ticket)
	if value == "" {
		value = random(16)
		c.SetCookie(&http.Cookie{
			Name: s.cookieName(ticket), Value: value, Path: "/", MaxAge: 3600,
			Secure: s.secure, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		})
	}
	stamp := random(12)
	return stamp + seal(value, ticket, stamp)
}

// genuine reports whether token came with a form of ours for this ticket to
// this browser. It needs no key: nobody else knows the cookie.
func (s *Server) genuine(r *http.Request, ticket, token string) bool {
	value := s.browser(r, ticket)
	if value == "" || len(token) <= stampSize {
		return false
	}
	want := seal(value, ticket, token[:stampSize])
	return subtle.ConstantTimeCompare([]byte(want), []byte(token[stampSize:])) == 1
}

func seal(value, ticket, stamp string) string {
	sum := sha256.Sum256([]byte("form " + value + " " + ticket + " " + stamp))
	return encoding.EncodeToString(sum[:])
}

// fromOurPage reports whether a browser says that the request comes from a
// page of ours. Under our Referrer-Policy browsers send "null" as Origin; then
// Sec-Fetch-Site must speak for it, which they send over https and to loopback
// only: over http, in development, the token has to do. A client that sends
// neither is no browser and cannot be made to send anything by a foreign page.
func (s *Server) fromOurPage(r *http.Request) bool {
	site := r.Header.Values("Sec-Fetch-Site")
	origin := r.Header.Values("Origin")
	if len(site) > 1 || len(origin) > 1 {
		return false
	}
	if len(site) == 1 && site[0] != "same-origin" && site[0] != "none" {
		return false
	}
	return len(origin) == 0 || strings.EqualFold(origin[0], s.origin) || origin[0] == "null" && (len(site) == 1 || !s.secure)
}
