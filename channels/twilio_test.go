package channels_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/channels"
	"ringback/channels/channeltest"
	"ringback/channels/content"
	"ringback/channels/fakes"
)

const public = "https://consent.example.com"

// sms returns the configuration of a channel that talks to a fake.
func sms(base string) channels.Config {
	acc := channeltest.TwilioConfig()
	return channels.Config{
		PublicURL: public, Timeout: 5 * time.Second,
		SMS: &channels.SMSConfig{Provider: "twilio", AccountSID: acc.AccountSID, AuthToken: acc.AuthToken, From: acc.From, BaseURL: base},
	}
}

func open(t testing.TB, cfg channels.Config) channels.Channel {
	t.Helper()
	all, err := channels.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return all["sms"]
}

// webhook makes the request by which tw would post form to path.
func webhook(tw *fakes.Twilio, path string, form url.Values) (*http.Request, []byte) {
	body := form.Encode()
	r, err := http.NewRequest(http.MethodPost, "http://127.0.0.1"+path, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
	r.Header.Set("X-Twilio-Signature", tw.Sign(public+path, form))
	return r, []byte(body)
}

// switchable is a transport whose connections can be made to fail.
type switchable struct {
	http.RoundTripper
	down bool
}

func (s *switchable) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.down {
		s.down = false
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	}
	return s.RoundTripper.RoundTrip(r)
}

func TestTwilioConformance(t *testing.T) {
	t.Parallel()
	acc := channeltest.TwilioConfig()
	tw, base := channeltest.StartTwilio(t, acc)
	cfg := sms(base)
	net := &switchable{RoundTripper: http.DefaultTransport.(*http.Transport).Clone()}
	cfg.Transport = net
	plan := func(s fakes.Step) func(*testing.T) { return func(*testing.T) { tw.Plan(s) } }
	channeltest.Exercise(t, channeltest.Config{
		Channel: open(t, cfg), To: "+12025550101", Calls: tw.Calls,
		Sent: func() (out []string) {
			for _, e := range tw.Inbox.Sent("") {
				out = append(out, e.Text)
			}
			return out
		},
		Fail: map[channeltest.Case]func(*testing.T){
			channeltest.Undeliverable: plan(fakes.Step{Failure: fakes.Undeliverable}),
			channeltest.Stopped:       plan(fakes.Step{Failure: fakes.OptedOut}),
			channeltest.Later:         plan(fakes.Step{Failure: fakes.TooMany, RetryAfter: int(channeltest.RetryAfter / time.Second)}),
			channeltest.Refused:       plan(fakes.Step{Failure: fakes.Unauthorized}),
			channeltest.Unreachable:   func(*testing.T) { net.down = true },
			channeltest.Hang:          plan(fakes.Step{Failure: fakes.Hang}),
			channeltest.Garbage:       plan(fakes.Step{Failure: fakes.Garbage}),
			channeltest.Cut:           plan(fakes.Step{Failure: fakes.Reset}),
		},
		Secrets: []string{acc.AuthToken, acc.AccountSID},
		Webhook: func(*testing.T) (*http.Request, []byte) {
			return webhook(tw, channels.TwilioInbound, tw.Inbound("+12025550101", "YES 482913"))
		},
	})
}

// TestTwilioAnswers goes through everything that Twilio or what stands before
// it may answer.
func TestTwilioAnswers(t *testing.T) {
	t.Parallel()
	retry := func(after time.Duration) error { return &channels.Retry{After: after} }
	refused := errors.New("refused")
	for _, tt := range []struct {
		name string
		step fakes.Step
		want error // what errors.Is or the *Retry must say; nil: taken
		code string
	}{
		{"taken", fakes.Step{}, nil, ""},
		{"429 with a time", fakes.Step{Failure: fakes.TooMany, RetryAfter: 3}, retry(3 * time.Second), "20429"},
		{"429 without", fakes.Step{Failure: fakes.TooMany}, retry(0), "20429"},
		{"429 with a huge time", fakes.Step{Failure: fakes.TooMany, RetryAfter: 1 << 40}, retry(time.Hour), "20429"},
		{"503", fakes.Step{Failure: fakes.Unavailable, RetryAfter: 1}, retry(time.Second), "20503"},
		{"500 of the API", fakes.Step{Failure: fakes.ServerError}, retry(0), "20500"},
		{"502 of a gateway", fakes.Step{Failure: fakes.BadGateway}, channels.ErrAmbiguous, "http_502"},
		{"401", fakes.Step{Failure: fakes.Unauthorized}, refused, "20003"},
		{"307", fakes.Step{Failure: fakes.Redirect}, refused, "http_307"},
		{"no such number", fakes.Step{Failure: fakes.Undeliverable}, channels.ErrUndeliverable, "21614"},
		{"opted out", fakes.Step{Failure: fakes.OptedOut}, channels.ErrStopped, "21610"},
		{"late", fakes.Step{Failure: fakes.Late, Delay: 20 * time.Millisecond}, nil, ""},
		{"too late", fakes.Step{Failure: fakes.Late, Delay: time.Minute}, channels.ErrAmbiguous, "timeout"},
		{"garbage", fakes.Step{Failure: fakes.Garbage}, channels.ErrAmbiguous, "garbage"},
		{"truncated", fakes.Step{Failure: fakes.Truncated}, channels.ErrAmbiguous, "garbage"},
		{"reset", fakes.Step{Failure: fakes.Reset}, channels.ErrAmbiguous, "timeout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tw, base := channeltest.StartTwilio(t, channeltest.TwilioConfig())
			cfg := sms(base)
			if tt.name == "too late" {
				cfg.Timeout = 100 * time.Millisecond
			}
			tw.Plan(tt.step)
			_, err := open(t, cfg).Send(t.Context(), channels.Message{To: "+12025550101", Content: content.Text{Body: "hello"}})
			var got, want *channels.Retry
			switch {
			case errors.As(tt.want, &want):
				if !errors.As(err, &got) || got.After != want.After || errors.Is(err, channels.ErrAmbiguous) {
					t.Errorf("Send(…) = %v, want a Retry after %s", err, want.After)
				}
			case tt.want == refused:
				if err == nil || errors.As(err, &got) || errors.Is(err, channels.ErrAmbiguous) || errors.Is(err, channels.ErrUndeliverable) {
					t.Errorf("Send(…) = %v, want a plain refusal", err)
				}
			case !errors.Is(err, tt.want):
				t.Errorf("Send(…) = %v, want %v", err, tt.want)
			}
			if channels.Code(err) != tt.code {
				t.Errorf("Code(%v) = %q, want %q", err, channels.Code(err), tt.code)
			}
			if tw.Calls() != 1 {
				t.Errorf("%d calls, want one", tw.Calls())
			}
		})
	}
}

// TestTwilioNamesNoMessage: an answer without the id of a message, or with
// something else in its place, does not say that the message was taken; and
// what stands there is never kept as the provider's id.
func TestTwilioNamesNoMessage(t *testing.T) {
	t.Parallel()
	for _, sid := range []string{`null`, `""`, `"SM1"`, `"AC00000000000000000000000000000000"`, `"SM0000000000000000000000000000000g"`, `"+12025550101"`} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusCreated)
			io.WriteString(w, `{"sid":`+sid+`,"status":"queued"}`)
		}))
		t.Cleanup(srv.Close)
		got, err := open(t, sms(srv.URL)).Send(t.Context(), channels.Message{To: "+12025550101", Content: content.Text{Body: "hello"}})
		if !errors.Is(err, channels.ErrAmbiguous) || channels.Code(err) != "garbage" || got.ProviderID != "" {
			t.Errorf("sid %s: Send = %+v, %v", sid, got, err)
		}
	}
}

func TestTwilioNowhere(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	_, err = open(t, sms("http://"+ln.Addr().String())).Send(t.Context(), channels.Message{To: "+12025550101", Content: content.Text{Body: "hello"}})
	var retry *channels.Retry
	if !errors.As(err, &retry) || channels.Code(err) != "connect" {
		t.Errorf("Send to a closed port = %v (%s), want a Retry of class connect", err, channels.Code(err))
	}
}

// TestTwilioRequest looks at what reaches the provider, and that neither the
// environment nor an answer can lead the call elsewhere.
func TestTwilioRequest(t *testing.T) {
	t.Setenv("TWILIO_EDGE", "sydney")
	t.Setenv("TWILIO_REGION", "au1")
	var hosts, paths []string
	var form url.Values
	cfg := sms("")
	cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		hosts, paths = append(hosts, r.URL.Scheme+"://"+r.URL.Host), append(paths, r.URL.Path)
		r.ParseForm()
		form = r.PostForm
		return nil, errors.New("seen")
	})
	cfg.SMS.MessagingServiceSID = "MG00000000000000000000000000000001"
	m := channels.Message{ID: "x.1", To: "+12025550101", Content: content.Text{Body: "a & b <c> +1"}, Ref: "ref"}
	if _, err := open(t, cfg).Send(t.Context(), m); err == nil {
		t.Fatal("want an error")
	}
	if diff := cmp.Diff([]string{"https://api.twilio.com"}, hosts); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"/2010-04-01/Accounts/" + cfg.SMS.AccountSID + "/Messages.json"}, paths); diff != "" {
		t.Error(diff)
	}
	want := url.Values{
		"To": {m.To}, "Body": {"a & b <c> +1"}, "From": {cfg.SMS.From}, "StatusCallback": {public + channels.TwilioStatus("ref")},
		"MessagingServiceSid": {cfg.SMS.MessagingServiceSID},
	}
	if diff := cmp.Diff(want, form); diff != "" {
		t.Error(diff)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTwilioAddresses(t *testing.T) {
	t.Parallel()
	cfg := sms("")
	cfg.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
		t.Error("a call was made")
		return nil, errors.New("no")
	})
	ch := open(t, cfg)
	for _, to := range []string{"", "2025550101", "+0202555010", "+1202555010a", "+120255501010000000", "whatsapp:+12025550101", "+1202\n5550101"} {
		if _, err := ch.Send(t.Context(), channels.Message{To: to, Content: content.Text{Body: "x"}}); !errors.Is(err, channels.ErrUndeliverable) {
			t.Errorf("Send to %q = %v, want ErrUndeliverable", to, err)
		}
	}
	for _, text := range []string{"", strings.Repeat("ä", 1601)} {
		if _, err := ch.Send(t.Context(), channels.Message{To: "+12025550101", Content: content.Text{Body: text}}); err == nil {
			t.Errorf("Send of %d characters succeeded", len([]rune(text)))
		}
	}
}

func TestOpenListsEveryMistake(t *testing.T) {
	t.Parallel()
	_, err := channels.Open(channels.Config{
		PublicURL: "consent.example.com/",
		SMS: &channels.SMSConfig{
			Provider: "carrier-pigeon", AccountSID: "AC1", AuthToken: "secret!secret!secret!", AuthTokenPrevious: "old:old:old:old:old",
			MessagingServiceSID: "MGx", From: "+1 202", BaseURL: "ftp://x", Parameters: []string{"Body", "x y"},
		},
	})
	if err == nil {
		t.Fatal("Open accepted it")
	}
	for _, want := range []string{
		"carrier-pigeon", "account_sid", "auth_token ", "auth_token_previous", "messaging_service_sid", "+1 202", "base_url", `"Body"`, `"x y"`, "the public URL",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "secret!") || strings.Contains(err.Error(), "old:old") {
		t.Errorf("the error shows a token: %v", err)
	}
	all, err := channels.Open(channels.Config{})
	if err != nil || len(all) != 0 {
		t.Errorf("Open of nothing = %v, %v", all, err)
	}
}

func TestCanReceive(t *testing.T) {
	t.Parallel()
	for from, want := range map[string]bool{"+12025550199": true, "12345": true, "ACME": false, "": false} {
		if got := (&channels.SMSConfig{From: from}).CanReceive(); got != want {
			t.Errorf("CanReceive with from %q = %v, want %v", from, got, want)
		}
	}
}

// shortWriter takes n bytes and then fails.
type shortWriter struct {
	text strings.Builder
	room int
}

func (w *shortWriter) Write(p []byte) (int, error) {
	n := min(w.room, len(p))
	w.text.Write(p[:n])
	if n < len(p) {
		w.room = 1 << 20
		return n, errors.New("the pipe broke")
	}
	return n, nil
}

func TestConsoleConformance(t *testing.T) {
	t.Parallel()
	w := &shortWriter{room: 1 << 20}
	all, err := channels.Open(channels.Config{Console: w})
	if err != nil {
		t.Fatal(err)
	}
	channeltest.Exercise(t, channeltest.Config{
		Channel: all["console"], To: "+12025550101",
		Sent: func() []string { return strings.Split(w.text.String(), "\n") },
		Fail: map[channeltest.Case]func(*testing.T){
			channeltest.Refused:     func(*testing.T) { w.room = 0 },
			channeltest.Unreachable: func(*testing.T) { w.room = 0 },
			channeltest.Cut:         func(*testing.T) { w.room = 10 },
		},
		Cannot: []channeltest.Case{
			channeltest.Undeliverable, channeltest.Stopped, channeltest.Later, channeltest.Hang, channeltest.Garbage,
		},
	})
	if _, err := all["console"].Send(t.Context(), channels.Message{To: "x", Content: content.Text{Body: "a\x1b[2Jb\nmessage for y: c\u202e"}}); err != nil {
		t.Fatal(err)
	}
	if got := w.text.String(); strings.Contains(got, "\x1b") || strings.Contains(got, "\nmessage for y") || strings.Contains(got, "\u202e") {
		t.Errorf("control characters reached the terminal: %q", got)
	}
}

// TestCancelInFlight ends a call whose provider does not answer.
func TestCancelInFlight(t *testing.T) {
	t.Parallel()
	tw, base := channeltest.StartTwilio(t, channeltest.TwilioConfig())
	tw.Plan(fakes.Step{Failure: fakes.Hang})
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	ch := open(t, sms(base))
	go func() {
		_, err := ch.Send(ctx, channels.Message{To: "+12025550101", Content: content.Text{Body: "hello"}})
		done <- err
	}()
	for tw.Calls() == 0 {
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
	cancel(fmt.Errorf("stopping"))
	if err := <-done; !errors.Is(err, channels.ErrAmbiguous) {
		t.Errorf("Send = %v, want ErrAmbiguous", err)
	}
}

// spoken is a provider that answers anything.
type spoken struct {
	status int
	header http.Header
	body   string
}

func (s spoken) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: s.status, Header: s.header, Body: io.NopCloser(strings.NewReader(s.body)), Request: r}, nil
}

// FuzzAnswer: whatever a provider answers is a receipt or an error with a code
// that tells neither number nor text.
func FuzzAnswer(f *testing.F) {
	sid := "SM" + strings.Repeat("0", 32)
	f.Add(201, `{"sid":"`+sid+`","status":"queued"}`, "", "")
	f.Add(200, `{"sid":"`+sid+`","status":"failed","error_code":21610}`, "", "")
	f.Add(400, `{"code":21211,"message":"The 'To' number +12025550101 is not valid","status":400}`, "", "")
	f.Add(429, `{"code":20429}`, "Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 1999 23:59:00 GMT")
	f.Add(503, "<html>", "99999999999999999999", "")
	f.Add(302, "null", "-1", "x")
	f.Fuzz(func(t *testing.T, status int, body, retry, date string) {
		if status < 200 || status > 599 {
			return
		}
		cfg := sms("http://127.0.0.1:9")
		cfg.Transport = spoken{status, http.Header{"Retry-After": {retry}, "Date": {date}}, body}
		m := channels.Message{To: "+12025550101", Content: content.Text{Body: "Reply YES 482913"}}
		receipt, err := open(t, cfg).Send(t.Context(), m)
		var again *channels.Retry
		switch {
		case err == nil:
			if status > 299 || !strings.HasPrefix(receipt.ProviderID, "SM") && !strings.HasPrefix(receipt.ProviderID, "MM") {
				t.Errorf("status %d, %q: %+v", status, body, receipt)
			}
		case receipt != (channels.Receipt{}) || channels.Code(err) == "" || strings.Contains(err.Error(), m.To) || strings.Contains(err.Error(), "482913"):
			t.Errorf("status %d, %q: %+v, %v", status, body, receipt, err)
		case errors.As(err, &again) && (again.After < 0 || again.After > time.Hour || status < 400):
			t.Errorf("status %d, Retry-After %q: %v", status, retry, again.After)
		}
	})
}
