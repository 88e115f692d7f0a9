package channels

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of one webhook.
const (
	maxWebhook    = 64 << 10 // bytes of body
	maxParameters = 64
	maxBody       = 4096 // bytes of what a person wrote
)

// A signature of Twilio's covers the URL and the sorted names and values of
// the parameters without any mark between them, and only the first value of a
// repeated name. So the same signature fits other divisions of the same
// characters. What keeps a division from changing the meaning: names from a
// list, each once, and a form for every value in which only Body, From and To
// can hold a plus sign. The sender's number, which follows "From" in the signed
// text, then fits nowhere but in From.
type form = *regexp.Regexp

var (
	parameterName = regexp.MustCompile(`^[A-Z][A-Za-z0-9]{1,39}$`)

	anyBody = regexp.MustCompile(`(?s)^.*$`)
	place   = regexp.MustCompile(`^[\p{L}\p{M}0-9 .,'’()/&#-]{0,80}$`)
	number  = regexp.MustCompile(`^[0-9]{0,6}$`)
	word    = regexp.MustCompile(`^[A-Za-z_-]{0,32}$`)
	dated   = regexp.MustCompile(`^[0-9-]{0,20}$`)
	prose   = regexp.MustCompile(`^[^+\x00-\x1f\x7f]{0,400}$`)
	mediaID = regexp.MustCompile(`^https://[A-Za-z0-9./_-]{1,300}$`)
	mime1   = regexp.MustCompile(`^[A-Za-z0-9./_-]{1,100}$`)
	indexed = regexp.MustCompile(`^(MediaUrl|MediaContentType)[0-9]$`)
)

// inbound are the parameters of a message from a person, status those of a
// status callback, as Twilio documents them for SMS and MMS.
var (
	inbound = map[string]form{
		"MessageSid": messageSID, "SmsSid": messageSID, "SmsMessageSid": messageSID,
		"AccountSid": accountSID, "MessagingServiceSid": serviceSID,
		"From": e164, "To": regexp.MustCompile(`^\+?[0-9]{3,15}$`), "Body": anyBody,
		"NumMedia": number, "NumSegments": number, "ReferralNumMedia": number,
		"SmsStatus": word, "ApiVersion": dated, "OptOutType": word,
		"FromCity": place, "FromState": place, "FromZip": place, "FromCountry": place,
		"ToCity": place, "ToState": place, "ToZip": place, "ToCountry": place,
	}
	status = map[string]form{
		"MessageSid": messageSID, "SmsSid": messageSID, "AccountSid": accountSID, "MessagingServiceSid": serviceSID,
		"From": regexp.MustCompile(`^\+?[A-Za-z0-9 ]{1,15}$`), "To": e164,
		"MessageStatus": word, "SmsStatus": word, "ErrorCode": number, "ErrorMessage": regexp.MustCompile(`^[^\x00-\x1f\x7f]{0,400}$`),
		"RawDlrDoneDate": dated, "ApiVersion": dated,
	}
	needInbound = []string{"MessageSid", "AccountSid", "From", "To", "Body"}
	needStatus  = []string{"MessageSid", "AccountSid", "MessageStatus"}
)

// forged says why a webhook is refused; errors.Is(err, ErrForged).
func forged(why string) error { return fmt.Errorf("%w: %s", ErrForged, why) }

// Receive verifies X-Twilio-Signature over the configured public URL, the path
// and body, with the auth token or the one before, and only then reads it.
func (t *Twilio) Receive(r *http.Request, body []byte) (Inbound, error) {
	path := r.URL.EscapedPath()
	ref, isStatus := strings.CutPrefix(path, TwilioStatus(""))
	if !isStatus {
		ref = ""
	}
	switch {
	case path == TwilioInbound:
	case isStatus:
	default:
		return Inbound{}, ErrNoCallback
	}
	ct, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case r.Method != http.MethodPost:
		return Inbound{}, forged("not a POST")
	case r.URL.RawQuery != "" || r.URL.ForceQuery:
		return Inbound{}, forged("a query, where none was configured")
	case err != nil || ct != "application/x-www-form-urlencoded":
		return Inbound{}, forged("not a form")
	case len(body) > maxWebhook:
		return Inbound{}, forged("a body of more than 64 KiB")
	case len(r.Header.Values("X-Twilio-Signature")) != 1:
		return Inbound{}, forged("not exactly one X-Twilio-Signature")
	}
	v, err := parse(body)
	if err != nil {
		return Inbound{}, err
	}
	if !t.verified(path, v, r.Header.Get("X-Twilio-Signature")) {
		return Inbound{}, forged("the signature does not fit; check channels.sms.auth_token and the public URL")
	}
	known, need := inbound, needInbound
	if isStatus {
		known, need = status, needStatus
	}
	if err := t.check(v, known, need, !isStatus); err != nil {
		return Inbound{}, err
	}
	in := Inbound{
		Status: isStatus, Ref: ref, From: v["From"], To: v["To"], Body: v["Body"], MessageID: v["MessageSid"],
		OptOut: v["OptOutType"] != "",
	}
	if isStatus {
		in.Code = v["ErrorCode"]
		switch v["MessageStatus"] {
		case "delivered", "read":
			in.Delivered = true
		case "failed", "undelivered", "canceled":
			in.Failed = true
			in.Stopped = in.Code == strconv.Itoa(stopped)
		}
	}
	return in, nil
}

// Answer writes TwiML with at most one message, or nothing after a status. Words
// of ours after a STOP, START or HELP that Twilio has answered would be the second.
func (t *Twilio) Answer(w http.ResponseWriter, in Inbound, words string) error {
	if in.Status {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	var b bytes.Buffer
	b.WriteString(xml.Header + "<Response>")
	if words != "" && !in.OptOut {
		b.WriteString("<Message>")
		if err := xml.EscapeText(&b, []byte(words)); err != nil {
			return err
		}
		b.WriteString("</Message>")
	}
	b.WriteString("</Response>")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	_, err := w.Write(b.Bytes())
	return err
}

// parse reads a form in which every name occurs once.
func parse(body []byte) (map[string]string, error) {
	for pair := range strings.SplitSeq(string(body), "&") {
		if !strings.Contains(pair, "=") { // ParseQuery would let it pass
			return nil, forged("a parameter without a value")
		}
	}
	q, err := url.ParseQuery(string(body))
	if err != nil || len(q) == 0 || len(q) > maxParameters {
		return nil, forged("not a form of 1 to 64 parameters")
	}
	v := make(map[string]string, len(q))
	for name, values := range q {
		if len(values) != 1 {
			return nil, forged("a repeated parameter")
		}
		if !parameterName.MatchString(name) || !utf8.ValidString(values[0]) {
			return nil, forged("a parameter that is no text")
		}
		v[name] = values[0]
	}
	return v, nil
}

// verified compares the signature with every one that would be right: each
// token, and the public URL with and without its port. All are computed, in
// constant time each.
func (t *Twilio) verified(path string, v map[string]string, given string) bool {
	sum, err := base64.StdEncoding.Strict().DecodeString(given)
	if err != nil || len(sum) != sha1.Size {
		return false
	}
	names := make([]string, 0, len(v))
	for name := range v {
		names = append(names, name)
	}
	sort.Strings(names)
	var tail strings.Builder
	tail.WriteString(path)
	for _, name := range names {
		tail.WriteString(name)
		tail.WriteString(v[name])
	}
	ok := false
	for _, key := range t.signed {
		for _, base := range bothPorts(t.public) {
			mac := hmac.New(sha1.New, key)
			mac.Write([]byte(base))
			mac.Write([]byte(tail.String()))
			if hmac.Equal(mac.Sum(nil), sum) {
				ok = true
			}
		}
	}
	return ok
}

// bothPorts returns a base URL as it is configured, and as it reads with its
// port left out or its scheme's port put in: the provider signs either.
func bothPorts(base string) []string {
	u, err := url.Parse(base)
	if err != nil {
		return []string{base}
	}
	other := *u
	switch {
	case u.Port() != "":
		other.Host = strings.TrimSuffix(u.Host, ":"+u.Port())
	case u.Scheme == "https":
		other.Host = u.Host + ":443"
	default:
		other.Host = u.Host + ":80"
	}
	return []string{base, other.String()}
}

// check holds the parameters of a verified webhook against the list: names,
// forms, what must be there, and that account and receiver are ours.
func (t *Twilio) check(v map[string]string, known map[string]form, need []string, fromPerson bool) error {
	for name, value := range v {
		f := known[name]
		if fromPerson && f == nil && indexed.MatchString(name) {
			f = mime1
			if strings.HasPrefix(name, "MediaUrl") {
				f = mediaID
			}
		}
		if f == nil && t.params[name] {
			f = prose
		}
		if f == nil {
			return forged("parameter " + name + " is not known; if the provider's documentation names it, add it to channels.sms.parameters")
		}
		if !f.MatchString(value) && !(value == "" && name == "MessagingServiceSid") {
			return forged("parameter " + name + " has not its form")
		}
	}
	for _, name := range need {
		if _, ok := v[name]; !ok {
			return forged("parameter " + name + " is missing")
		}
	}
	if v["AccountSid"] != t.cfg.AccountSID {
		return forged("another account")
	}
	if !fromPerson {
		return nil
	}
	if len(v["Body"]) > maxBody {
		return forged("a message of more than 4096 bytes")
	}
	// A number of the account that is not ours to answer on must not count.
	switch {
	case t.cfg.MessagingServiceSID != "" && v["MessagingServiceSid"] == t.cfg.MessagingServiceSID:
	case t.cfg.From != "" && v["To"] == t.cfg.From:
	default:
		return forged("written to another number or service than ours")
	}
	return nil
}
