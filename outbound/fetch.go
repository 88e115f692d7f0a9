package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// The rules that refuse an answer, as [FetchError] names them beside those of
// [RefusedError].
const (
	RuleUnreachable = "unreachable" // no connection: no such name, refused, no route
	RuleCertificate = "certificate" // the server's certificate is not good for its name
	RuleTooSlow     = "too_slow"    // the whole answer was not there in time
	RuleNoAnswer    = "no_answer"   // cut off, or not HTTP
	RuleRedirect    = "redirect"    // a status of 3xx
	RuleStatus      = "status"      // any other status than 200
	RuleMediaType   = "media_type"  // another media type, or none
	RuleEncoding    = "encoding"    // compressed
	RuleTooLarge    = "too_large"   // longer than the caller reads
)

// advice says what would satisfy a rule.
var advice = map[string]string{
	RuleURL:         "give an absolute https URL without a fragment",
	RuleScheme:      "give an https URL",
	RuleUserinfo:    "leave out the user name before the host",
	RuleHost:        "give a plain ASCII host name",
	RuleLiteral:     "give a host name instead of an IP address",
	RulePort:        "serve it on port 443",
	RuleAddress:     "its host has a private or special address, serve it at a public one",
	RuleUnreachable: "its server cannot be reached, check its name and that it listens",
	RuleCertificate: "its server needs a certificate for this name from a public authority",
	RuleTooSlow:     "the whole answer must come within a few seconds",
	RuleNoAnswer:    "its server ended the connection or does not speak HTTP/1.1",
	RuleRedirect:    "redirects are not followed, give the address that answers itself",
	RuleStatus:      "it must answer with status 200",
	RuleMediaType:   "it must be sent with its JSON media type in Content-Type",
	RuleEncoding:    "it must be sent without Content-Encoding",
}

// FetchError says which rule refused what [Client.Fetch] was to get. Its text
// has nothing of the answer and may be shown to whoever named the address.
type FetchError struct {
	Rule   string // one of the Rule constants
	Status int    // of the answer; 0: there was none
	most   int64
}

func (e *FetchError) Error() string {
	text := advice[e.Rule]
	if e.Rule == RuleTooLarge {
		text = fmt.Sprintf("%d bytes are the most", e.most)
	}
	return "refused by rule " + e.Rule + " (" + text + ")"
}

// Temporary reports whether the failure may pass by itself and says nothing
// about what stands at the address.
func (e *FetchError) Temporary() bool {
	switch e.Rule {
	case RuleUnreachable, RuleCertificate, RuleTooSlow, RuleNoAnswer:
		return true
	case RuleStatus:
		return e.Status == http.StatusTooManyRequests || e.Status >= 500
	}
	return false
}

// Fetch gets what stands at an address: an answer of status 200, of a media
// type that isType takes (lower case, without parameters), not compressed and
// at most most bytes long. An error is a *FetchError, or ctx's when that was
// cancelled.
func (c *Client) Fetch(ctx context.Context, address string, most int64, isType func(string) bool) (*Response, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, &FetchError{Rule: RuleURL}
	}
	req := &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{"Accept": {"application/json"}, "User-Agent": {"ringback"}}}
	res, err := c.do(ctx, req, most)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, ctx.Err()
	case res == nil:
		return nil, &FetchError{Rule: ruleOf(err)}
	}
	typ, _, bad := mime.ParseMediaType(res.Header.Get("Content-Type"))
	refused := &FetchError{Status: res.Status, most: most}
	switch {
	case res.Status >= 300 && res.Status < 400:
		refused.Rule = RuleRedirect
	case res.Status != http.StatusOK:
		refused.Rule = RuleStatus
	case bad != nil || len(res.Header["Content-Type"]) != 1 || !isType(typ):
		refused.Rule = RuleMediaType
	case !plain(res.Header["Content-Encoding"]):
		refused.Rule = RuleEncoding
	case err != nil:
		refused.Rule = ruleOf(err)
	default:
		return res, nil
	}
	return nil, refused
}

// plain reports whether a body is as it was before it was sent.
func plain(encodings []string) bool {
	for _, e := range encodings {
		if !strings.EqualFold(e, "identity") {
			return false
		}
	}
	return true
}

// ruleOf names the rule that an error of an exchange comes under.
func ruleOf(err error) string {
	var refused *RefusedError
	var certificate *tls.CertificateVerificationError
	var timeout net.Error
	switch {
	case errors.As(err, &refused):
		return refused.Rule
	case errors.Is(err, ErrTooLong):
		return RuleTooLarge
	case errors.As(err, &certificate):
		return RuleCertificate
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return RuleTooSlow
	case IsConnect(err):
		return RuleUnreachable
	}
	return RuleNoAnswer
}
