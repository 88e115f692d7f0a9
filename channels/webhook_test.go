package channels_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twilio/twilio-go/client"

	"ringback/channels"
	"ringback/channels/channeltest"
	"ringback/channels/content"
	"ringback/channels/fakes"
)

// tries is how many forgeries each attacker makes.
var tries = flag.Int("tries", 1000/slowdown, "forgeries of each kind")

func receiver(t testing.TB, change func(*channels.Config)) channels.Receiver {
	t.Helper()
	cfg := sms("")
	if change != nil {
		change(&cfg)
	}
	return open(t, cfg).(channels.Receiver)
}

func fake() *fakes.Twilio { return fakes.NewTwilio(channeltest.TwilioConfig()) }

var (
	inboundPath = channels.TwilioInbound
	statusPath  = channels.TwilioStatus("AbC-_0")
)

func TestReceiveInbound(t *testing.T) {
	t.Parallel()
	tw := fake()
	form := tw.Inbound("+12025550101", "YES 482913 ünï ✓ a+b&c=d")
	got, err := receiver(t, nil).Receive(webhook(tw, inboundPath, form))
	want := channels.Inbound{From: "+12025550101", To: "+12025550199", Body: form.Get("Body"), MessageID: form.Get("MessageSid")}
	if err != nil || got != want {
		t.Errorf("Receive(…) = %+v, %v, want %+v", got, err, want)
	}
	form.Set("OptOutType", "STOP")
	form.Set("NumMedia", "1")
	form.Set("MediaUrl0", "https://api.twilio.com/2010-04-01/Accounts/AC0/Messages/MM0/Media/ME0")
	form.Set("MediaContentType0", "image/jpeg")
	want.OptOut = true
	if got, err := receiver(t, nil).Receive(webhook(tw, inboundPath, form)); err != nil || got != want {
		t.Errorf("Receive(with media) = %+v, %v, want %+v", got, err, want)
	}
}

func TestReceiveStatus(t *testing.T) {
	t.Parallel()
	tw := fake()
	sid := tw.Inbound("+12025550101", "").Get("MessageSid")
	for status, want := range map[string]channels.Inbound{
		"queued": {}, "sending": {}, "sent": {}, "accepted": {}, "scheduled": {}, "whatever": {},
		"delivered": {Delivered: true}, "read": {Delivered: true},
		"undelivered": {Failed: true, Code: "30003"}, "failed": {Failed: true, Code: "30007"}, "canceled": {Failed: true},
	} {
		code := 0
		fmt.Sscan(want.Code, &code)
		form := tw.StatusForm(sid, "+12025550101", fakes.Callback{Status: status, Code: code})
		want.Status, want.Ref, want.MessageID, want.From, want.To = true, "AbC-_0", sid, form.Get("From"), form.Get("To")
		got, err := receiver(t, nil).Receive(webhook(tw, statusPath, form))
		if err != nil || got != want {
			t.Errorf("Receive(%s) = %+v, %v, want %+v", status, got, err, want)
		}
	}
}

// TestReceiveStopped: that the recipient opted out is told apart.
func TestReceiveStopped(t *testing.T) {
	t.Parallel()
	tw := fake()
	form := tw.StatusForm(tw.Inbound("+12025550101", "").Get("MessageSid"), "+12025550101", fakes.Callback{Status: "undelivered", Code: 21610})
	got, err := receiver(t, nil).Receive(webhook(tw, statusPath, form))
	if err != nil || !got.Failed || !got.Stopped {
		t.Errorf("Receive = %+v, %v, want Stopped", got, err)
	}
}

// TestReceivePath: other paths are no callbacks.
func TestReceivePath(t *testing.T) {
	t.Parallel()
	tw := fake()
	for _, path := range []string{"/callbacks/twilio/", "/callbacks/twilio/sms/", "/callbacks/twilio/voice", "/callbacks/twilio/status", "/callbacks/other/sms"} {
		if _, err := receiver(t, nil).Receive(webhook(tw, path, tw.Inbound("+12025550101", "NO"))); !errors.Is(err, channels.ErrNoCallback) {
			t.Errorf("Receive at %s = %v, want ErrNoCallback", path, err)
		}
	}
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	const head, text = `<?xml version="1.0" encoding="UTF-8"?>` + "\n", "text/xml; charset=utf-8"
	for _, tt := range []struct {
		in     channels.Inbound
		words  string
		status int
		typ    string
		body   string
	}{
		{channels.Inbound{Status: true}, "", http.StatusNoContent, "", ""},
		{channels.Inbound{}, "", http.StatusOK, text, head + "<Response></Response>"},
		{channels.Inbound{}, "<b>&", http.StatusOK, text, head + "<Response><Message>&lt;b&gt;&amp;</Message></Response>"},
		{channels.Inbound{OptOut: true}, "stopped", http.StatusOK, text, head + "<Response></Response>"},
	} {
		w := httptest.NewRecorder()
		if err := receiver(t, nil).Answer(w, tt.in, tt.words); err != nil {
			t.Error(err)
		}
		if w.Code != tt.status || w.Body.String() != tt.body || w.Header().Get("Content-Type") != tt.typ {
			t.Errorf("Answer(%+v, %q) = %d %s %q", tt.in, tt.words, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
	}
}

// TestReceiveURL: the signature may be over the public URL with or without its
// port, and only over that.
func TestReceiveURL(t *testing.T) {
	t.Parallel()
	tw := fake()
	for _, tt := range []struct {
		public, signed string
		want           bool
	}{
		{"https://consent.example.com", "https://consent.example.com", true},
		{"https://consent.example.com", "https://consent.example.com:443", true},
		{"https://consent.example.com", "https://consent.example.com:8443", false},
		{"https://consent.example.com", "http://consent.example.com", false},
		{"https://consent.example.com", "https://CONSENT.example.com", false},
		{"https://consent.example.com:8443", "https://consent.example.com:8443", true},
		{"https://consent.example.com:8443", "https://consent.example.com", true},
		{"https://consent.example.com:8443", "https://consent.example.com:443", false},
		{"http://127.0.0.1:8663", "http://127.0.0.1:8663", true},
		{"http://localhost", "http://localhost:80", true},
		{"http://[::1]:8663", "http://[::1]", true},
		{"https://example.com/consent", "https://example.com/consent", true},
		{"https://example.com/consent", "https://example.com", false},
	} {
		r, body := webhook(tw, inboundPath, tw.Inbound("+12025550101", "NO"))
		form, _ := url.ParseQuery(string(body))
		r.Header.Set("X-Twilio-Signature", tw.Sign(tt.signed+inboundPath, form))
		_, err := receiver(t, func(c *channels.Config) { c.PublicURL = tt.public }).Receive(r, body)
		if got := err == nil; got != tt.want {
			t.Errorf("public URL %s, signed over %s: accepted = %v, want %v (%v)", tt.public, tt.signed, got, tt.want, err)
		}
	}
}

func TestReceiveRotation(t *testing.T) {
	t.Parallel()
	old := channeltest.TwilioConfig()
	old.AuthToken = "ffffffffffffffffffffffffffffffff"
	r, body := webhook(fakes.NewTwilio(old), inboundPath, fake().Inbound("+12025550101", "NO"))
	if _, err := receiver(t, nil).Receive(r, body); !errors.Is(err, channels.ErrForged) {
		t.Errorf("another token: %v, want ErrForged", err)
	}
	rotating := receiver(t, func(c *channels.Config) { c.SMS.AuthTokenPrevious = old.AuthToken })
	if _, err := rotating.Receive(r, body); err != nil {
		t.Errorf("the token before: %v", err)
	}
	if _, err := rotating.Receive(webhook(fake(), inboundPath, fake().Inbound("+12025550101", "NO"))); err != nil {
		t.Errorf("the token itself: %v", err)
	}
}

// TestReceiveRefuses: signed by the provider, and still not for us or not
// beyond doubt.
func TestReceiveRefuses(t *testing.T) {
	t.Parallel()
	tw := fake()
	for _, tt := range []struct {
		name   string
		path   string
		change func(url.Values)
	}{
		{"unknown parameter", inboundPath, func(v url.Values) { v.Set("Digits", "1234") }},
		{"lower case parameter", inboundPath, func(v url.Values) { v.Set("body", "YES 1") }},
		{"empty name", inboundPath, func(v url.Values) { v.Set("", "YES 1") }},
		{"a status parameter", inboundPath, func(v url.Values) { v.Set("MessageStatus", "delivered") }},
		{"a message at the status path", statusPath, func(url.Values) {}},
		{"repeated Body", inboundPath, func(v url.Values) { v.Add("Body", "YES 482913") }},
		{"another account", inboundPath, func(v url.Values) { v.Set("AccountSid", "AC0000000000000000000000000000000f") }},
		{"another number", inboundPath, func(v url.Values) { v.Set("To", "+12025550198") }},
		{"another service", inboundPath, func(v url.Values) {
			v.Set("MessagingServiceSid", "MG0000000000000000000000000000000f")
			v.Del("To")
		}},
		{"no sender", inboundPath, func(v url.Values) { v.Del("From") }},
		{"a sender that is no number", inboundPath, func(v url.Values) { v.Set("From", "whatsapp:+12025550101") }},
		{"no message id", inboundPath, func(v url.Values) { v.Del("MessageSid") }},
		{"no text", inboundPath, func(v url.Values) { v.Del("Body") }},
		{"a long text", inboundPath, func(v url.Values) { v.Set("Body", strings.Repeat("x", 4097)) }},
		{"invalid UTF-8", inboundPath, func(v url.Values) { v.Set("Body", "\xff") }},
		{"a city with a number", inboundPath, func(v url.Values) { v.Set("FromCity", "XFrom+12025550101") }},
		{"a foreign media URL with a plus", inboundPath, func(v url.Values) { v.Set("MediaUrl0", "https://x/From+12025550101") }},
		{"an eleventh picture", inboundPath, func(v url.Values) { v.Set("MediaUrl10", "https://x/y") }},
		{"another provider's path", "/callbacks/other/sms", func(url.Values) {}},
		{"another path", "/callbacks/twilio/sms/", func(url.Values) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			form := tw.Inbound("+12025550101", "YES 482913")
			tt.change(form)
			in, err := receiver(t, nil).Receive(webhook(tw, tt.path, form))
			if !errors.Is(err, channels.ErrForged) || in != (channels.Inbound{}) {
				t.Errorf("Receive(…) = %+v, %v, want ErrForged", in, err)
			}
		})
	}
	form := tw.Inbound("+12025550101", "YES 482913")
	form.Set("CarrierName", "Example")
	more := receiver(t, func(c *channels.Config) { c.SMS.Parameters = []string{"CarrierName"} })
	if _, err := more.Receive(webhook(tw, inboundPath, form)); err != nil {
		t.Errorf("a parameter that was configured: %v", err)
	}
	service := receiver(t, func(c *channels.Config) {
		c.SMS.From, c.SMS.MessagingServiceSID = "", "MG00000000000000000000000000000001"
	})
	form = tw.Inbound("+12025550101", "NO")
	form.Set("MessagingServiceSid", "MG00000000000000000000000000000001")
	if _, err := service.Receive(webhook(tw, inboundPath, form)); err != nil {
		t.Errorf("our messaging service: %v", err)
	}
}

// TestReceiveBytes is the attacker without the token: random bytes of body,
// signature and path are changed.
func TestReceiveBytes(t *testing.T) {
	t.Parallel()
	tw := fake()
	rc := receiver(t, nil)
	rnd := rand.New(rand.NewPCG(1, 2))
	form := tw.Inbound("+12025550101", "YES 482913")
	genuine, _ := rc.Receive(webhook(tw, inboundPath, form))
	for range *tries {
		r, body := webhook(tw, inboundPath, form)
		for range 1 + rnd.IntN(3) {
			switch rnd.IntN(3) {
			case 0:
				body[rnd.IntN(len(body))] ^= byte(1 << rnd.IntN(8))
			case 1:
				sig := []byte(r.Header.Get("X-Twilio-Signature"))
				sig[rnd.IntN(len(sig))] ^= byte(1 << rnd.IntN(7))
				r.Header.Set("X-Twilio-Signature", string(sig))
			default:
				r.URL.Path = r.URL.Path[:rnd.IntN(len(r.URL.Path))] + string(rune('a'+rnd.IntN(26)))
			}
		}
		// A change that spells the same, like %2B and %2b, is no forgery.
		if in, err := rc.Receive(r, body); err == nil && in != genuine {
			t.Fatalf("accepted as %+v: %s", in, body)
		}
	}
}

// TestReceiveResplit is the attacker who holds a genuine request: the
// signature fits every other division of the same characters into names and
// values, and none may change who wrote. Every text tried is the best that a
// sender could write for it.
func TestReceiveResplit(t *testing.T) {
	t.Parallel()
	tw := fake()
	const sender, victim = "+12025550166", "+12025550101"
	rc := receiver(t, func(c *channels.Config) { c.SMS.Parameters = []string{"CarrierName"} })
	rnd := rand.New(rand.NewPCG(3, 4))
	names := []string{
		"AccountSid", "ApiVersion", "Body", "CarrierName", "From", "FromCity", "FromCountry", "FromState", "FromZip", "MediaContentType0",
		"MediaUrl0", "MessageSid", "MessagingServiceSid", "NumMedia", "NumSegments", "OptOutType", "ReferralNumMedia", "SmsMessageSid",
		"SmsSid", "SmsStatus", "To", "ToCity", "ToCountry", "ToState", "ToZip",
	}
	pieces := []string{
		"From" + victim, "FromCity", "FromCityX", "FromZip", "MediaUrl0https://x/", "MessageSidSM" + strings.Repeat("0", 32), "To+12025550199",
		"YES 482913", "NumMedia0", "CarrierName", "AccountSidAC00000000000000000000000000000001", " ", "X",
	}
	accepted := 0
	for range *tries / 10 {
		text := "YES 482913"
		for range 1 + rnd.IntN(6) {
			text += pieces[rnd.IntN(len(pieces))]
		}
		form := tw.Inbound(sender, text)
		signature := tw.Sign(public+inboundPath, form)
		sorted := slices.Sorted(maps.Keys(form))
		var flat strings.Builder
		for _, n := range sorted {
			flat.WriteString(n + form.Get(n))
		}
		for range 200 {
			split := resplit(rnd, flat.String(), names)
			if split == nil {
				continue
			}
			r, _ := webhook(tw, inboundPath, split)
			r.Header.Set("X-Twilio-Signature", signature)
			in, err := rc.Receive(r, []byte(split.Encode()))
			if err != nil {
				continue
			}
			accepted++
			if in.From != sender || in.To != "+12025550199" || in.MessageID != form.Get("MessageSid") || !strings.HasPrefix(text, in.Body) {
				t.Fatalf("%q was accepted as %+v", text, in)
			}
		}
	}
	t.Logf("%d divisions were accepted, with the same meaning", accepted)
}

// resplit divides flat into names and values at random, in an order that sorts
// to flat again; nil when it chose badly.
func resplit(rnd *rand.Rand, flat string, names []string) url.Values {
	type cut struct {
		at   int
		name string
	}
	var cuts []cut
	for _, n := range names {
		for at := 0; ; {
			i := strings.Index(flat[at:], n)
			if i < 0 {
				break
			}
			cuts = append(cuts, cut{at + i, n})
			at += i + 1
		}
	}
	slices.SortFunc(cuts, func(a, b cut) int { return a.at - b.at })
	out := url.Values{}
	last, from := "", 0
	for _, c := range cuts {
		if c.at < from+len(last) || c.name <= last || c.at > 0 && rnd.IntN(5) == 0 {
			continue
		}
		if last != "" {
			out.Set(last, flat[from+len(last):c.at])
		} else if c.at != 0 {
			return nil
		}
		last, from = c.name, c.at
	}
	if last != "" {
		out.Set(last, flat[from+len(last):])
	}
	return out
}

// TestFakeSigns holds the fake's signature against the provider's own SDK.
func TestFakeSigns(t *testing.T) {
	t.Parallel()
	tw := fake()
	sdk := client.NewRequestValidator(channeltest.TwilioConfig().AuthToken)
	form := tw.Inbound("+12025550101", "YES 482913 ünï ✓ a+b&c=d")
	flat := map[string]string{}
	for k := range form {
		flat[k] = form.Get(k)
	}
	if !sdk.Validate(public+inboundPath, flat, tw.Sign(public+inboundPath, form)) {
		t.Error("the SDK does not accept the fake's signature")
	}
}

func TestCallbacksArrive(t *testing.T) {
	t.Parallel()
	tw, base := channeltest.StartTwilio(t, channeltest.TwilioConfig())
	rc := receiver(t, nil)
	got := make(chan channels.Inbound, 100)
	hooks := newServer(t, func(w http.ResponseWriter, r *http.Request, body []byte) {
		if _, err := rc.Receive(r, body); err == nil {
			t.Error("a signature over another URL than ours was accepted")
		}
		// The fake signs what it was given; sign what our public URL would get.
		form, _ := url.ParseQuery(string(body))
		r.Header.Set("X-Twilio-Signature", tw.Sign(public+r.URL.Path, form))
		in, err := rc.Receive(r, body)
		if err != nil {
			t.Errorf("Receive(callback) = %v", err)
		}
		got <- in
	})
	tw.Plan(fakes.Step{Callbacks: []fakes.Callback{{Status: "delivered"}, {Status: "sent"}, {Status: "undelivered", Code: 30003}}, Repeat: 1})
	cfg := sms(base)
	cfg.PublicURL = hooks
	m := channels.Message{To: "+12025550101", Content: content.Text{Body: "x"}, Ref: "AbC-_0"}
	if _, err := open(t, cfg).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	var seen []string
	for range 6 {
		in := <-got
		seen = append(seen, fmt.Sprintln(in.Delivered, in.Failed, in.Code))
	}
	want := []string{"true false \n", "true false \n", "false false \n", "false false \n", "false true 30003\n", "false true 30003\n"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
}

func FuzzReceive(f *testing.F) {
	tw := fake()
	rc := receiver(f, nil)
	_, body := webhook(tw, inboundPath, tw.Inbound("+12025550101", "YES 482913"))
	f.Add(string(body), false)
	f.Add(tw.StatusForm("SM"+strings.Repeat("0", 32), "+12025550101", fakes.Callback{Status: "failed", Code: 30003}).Encode(), true)
	f.Add("Body=1&Body=2&From=%2B1", false)
	f.Fuzz(func(t *testing.T, body string, isStatus bool) {
		path := inboundPath
		if isStatus {
			path = statusPath
		}
		// The worst case: the provider signed whatever this is.
		form, err := url.ParseQuery(body)
		if err != nil {
			return
		}
		r, _ := webhook(tw, path, form)
		in, err := rc.Receive(r, []byte(body))
		if err != nil {
			if in != (channels.Inbound{}) || !errors.Is(err, channels.ErrForged) {
				t.Errorf("Receive(%q) = %+v, %v", body, in, err)
			}
			return
		}
		if in.Status != isStatus || !isStatus && (in.From != form.Get("From") || len(form["From"]) != 1 || in.Body != form.Get("Body")) {
			t.Errorf("Receive(%q) = %+v", body, in)
		}
	})
}
