package fakes_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/channels/channeltest"
	"ringback/channels/fakes"
)

const alice = "+12025550101"

// send posts a message as an HTTP client of Twilio's does.
func send(t *testing.T, base string, form url.Values) (int, map[string]any) {
	t.Helper()
	acc := channeltest.TwilioConfig()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/2010-04-01/Accounts/"+acc.AccountSID+"/Messages.json", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(acc.AccountSID, acc.AuthToken)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, out
}

func message(to, text string) url.Values {
	return url.Values{"To": {to}, "From": {"+12025550199"}, "Body": {text}}
}

func TestRefusesAsTwilioDoes(t *testing.T) {
	t.Parallel()
	_, base := channeltest.StartTwilio(t, channeltest.TwilioConfig())
	for code, change := range map[int]func(url.Values){
		21604: func(v url.Values) { v.Del("To") },
		21211: func(v url.Values) { v.Set("To", "alice") },
		21603: func(v url.Values) { v.Del("From") },
		21606: func(v url.Values) { v.Set("From", "+12025550198") },
		21266: func(v url.Values) { v.Set("To", "+12025550199") },
		21602: func(v url.Values) { v.Del("Body") },
		21617: func(v url.Values) { v.Set("Body", strings.Repeat("x", 1601)) },
		21609: func(v url.Values) { v.Set("StatusCallback", "javascript:1") },
	} {
		form := message(alice, "hello")
		change(form)
		status, got := send(t, base, form)
		if status != http.StatusBadRequest || got["code"] != float64(code) {
			t.Errorf("status %d, code %v, want 400 and %d", status, got["code"], code)
		}
	}
}

func TestInbox(t *testing.T) {
	t.Parallel()
	tw, base := channeltest.StartTwilio(t, channeltest.TwilioConfig())
	live, stop := tw.Inbox.Subscribe()
	for i := range fakes.MaxKept + 5 {
		if status, _ := send(t, base, message(alice, fmt.Sprintf("%d: open https://x.example/a/b?c=d. Or http://y.example/)", i))); status != http.StatusCreated {
			t.Fatalf("message %d: status %d", i, status)
		}
	}
	all := tw.Inbox.All()
	if len(all) != fakes.MaxKept || !strings.HasPrefix(all[0].Text, "5: ") {
		t.Errorf("%d messages kept, the first is %q", len(all), all[0].Text)
	}
	if diff := cmp.Diff([]string{"https://x.example/a/b?c=d", "http://y.example/"}, all[0].Links); diff != "" {
		t.Error(diff)
	}
	if e := <-live; !strings.HasPrefix(e.Text, "5: ") {
		t.Errorf("a slow subscriber got %q first, want the oldest that fits", e.Text)
	}
	stop()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if e, err := tw.Inbox.Wait(ctx, func(e fakes.Entry) bool { return strings.HasPrefix(e.Text, "900: ") }); err != nil {
		t.Errorf("Wait(kept) = %+v, %v", e, err)
	}
	if _, err := tw.Inbox.Wait(ctx, func(fakes.Entry) bool { return false }); err == nil {
		t.Error("Wait(never) returned no error")
	}
}

// service is the other side: it keeps what it is posted and answers TwiML.
func service(t *testing.T, answer string) (string, func() []url.Values) {
	var got []url.Values
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		got = append(got, form)
		io.WriteString(w, answer)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func() []url.Values { return got }
}

func TestReply(t *testing.T) {
	t.Parallel()
	acc := channeltest.TwilioConfig()
	acc.OptOut = true
	tw, base := channeltest.StartTwilio(t, acc)
	if _, err := tw.Reply(t.Context(), alice, "x"); err != fakes.ErrNoWebhook {
		t.Errorf("Reply without a webhook = %v", err)
	}
	hook, got := service(t, `<?xml version="1.0"?><Response><Message>A &amp; B</Message><Message><Body>C</Body></Message></Response>`)
	tw.SetWebhook(hook + "/callbacks/twilio/sms")
	said, err := tw.Reply(t.Context(), alice, "YES 482913")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"A & B", "C"}, said); diff != "" {
		t.Error(diff)
	}
	if form := got()[0]; form.Get("Body") != "YES 482913" || form.Get("From") != alice {
		t.Errorf("the webhook got %v", form)
	}
	var thread []string
	for _, e := range tw.Inbox.Thread(alice) {
		thread = append(thread, e.Text)
	}
	if diff := cmp.Diff([]string{"YES 482913", "A & B", "C"}, thread); diff != "" {
		t.Error(diff)
	}
	if _, err := tw.Reply(t.Context(), alice, " stop "); err != nil {
		t.Fatal(err)
	}
	if n := len(tw.Inbox.Sent(alice)); n != 2 {
		t.Errorf("a number that wrote STOP was sent %d messages, want 2", n)
	}
	if status, out := send(t, base, message(alice, "x")); status != http.StatusBadRequest || out["code"] != float64(21610) {
		t.Errorf("sending after STOP: %d, %v", status, out["code"])
	}
	if _, err := tw.Reply(t.Context(), alice, "START"); err != nil {
		t.Fatal(err)
	}
	if status, _ := send(t, base, message(alice, "x")); status != http.StatusCreated {
		t.Errorf("sending after START: %d", status)
	}
}

func TestControl(t *testing.T) {
	t.Parallel()
	tw, base := channeltest.StartTwilio(t, channeltest.TwilioConfig())
	hook, _ := service(t, `<Response/>`)
	call := func(method, path, body string, want int) string {
		t.Helper()
		req, _ := http.NewRequestWithContext(t.Context(), method, base+path, bytes.NewReader([]byte(body)))
		if body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		out, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != want {
			t.Errorf("%s %s %s = %d %s, want %d", method, path, body, resp.StatusCode, out, want)
		}
		return string(out)
	}
	if got := call("GET", "/fakes/messages", "", 200); got != "[]\n" {
		t.Errorf("no messages = %q", got)
	}
	call("POST", "/fakes/reply", `{"from":"`+alice+`","text":"NO"}`, 502)
	call("PUT", "/fakes/webhook", `{"url":"nowhere"}`, 400)
	call("PUT", "/fakes/webhook", `{"url":"`+hook+`"}`, 204)
	call("POST", "/fakes/reply", `{"from":"alice","text":"NO"}`, 400)
	if got := call("POST", "/fakes/reply", `{"from":"`+alice+`","text":"NO"}`, 200); got != `{"answers":[]}`+"\n" {
		t.Errorf("answers = %q", got)
	}
	call("POST", "/fakes/plan", `[{"failure":"429","retry_after":3}]`, 204)
	call("PUT", "/fakes/plan", `{"failure":"500","nonsense":1}`, 400)
	call("PUT", "/fakes/plan", ``, 415)
	status, _ := send(t, base, message(alice, "x"))
	if again, _ := send(t, base, message(alice, "x")); status != 429 || again != 201 {
		t.Errorf("planned 429 once, got %d and %d", status, again)
	}
	call("PUT", "/fakes/plan", `{"failure":"500"}`, 204)
	for range 3 {
		if status, _ := send(t, base, message(alice, "x")); status != 500 {
			t.Errorf("planned 500 for all, got %d", status)
		}
	}
	call("DELETE", "/fakes/plan", "", 204)
	if status, _ := send(t, base, message("+12025550102", "last")); status != 201 {
		t.Errorf("after DELETE: %d", status)
	}
	var out []fakes.Entry
	if err := json.Unmarshal([]byte(call("GET", "/fakes/messages?to=%2B12025550102", "", 200)), &out); err != nil || len(out) != 1 || out[0].Text != "last" {
		t.Errorf("messages = %+v, %v", out, err)
	}
	if len(tw.Webhooks()) != 1 || !strings.Contains(call("GET", "/fakes/webhooks", "", 200), `"Body":["NO"]`) {
		t.Error("the webhook posted is not listed")
	}
}

// TestFailuresAreKnown sends one message under every failure: none may take
// the fake down.
func TestFailuresAreKnown(t *testing.T) {
	t.Parallel()
	tw, base := channeltest.StartTwilio(t, channeltest.TwilioConfig())
	acc := channeltest.TwilioConfig()
	for _, f := range fakes.Failures {
		tw.Plan(fakes.Step{Failure: f, Delay: time.Minute})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, base+"/2010-04-01/Accounts/"+acc.AccountSID+"/Messages.json", strings.NewReader(message(alice, "x").Encode()))
		req.SetBasicAuth(acc.AccountSID, acc.AuthToken)
		resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
		if err == nil {
			if resp.StatusCode == http.StatusCreated && f != fakes.Truncated {
				t.Errorf("failure %q: %d", f, resp.StatusCode)
			}
			resp.Body.Close()
		}
		cancel()
	}
	if status, _ := send(t, base, message(alice, "x")); status != 201 {
		t.Errorf("after every failure: %d", status)
	}
}

// FuzzServeHTTP: the fake takes or refuses anything.
func FuzzServeHTTP(f *testing.F) {
	acc := channeltest.TwilioConfig()
	f.Add("POST", "/2010-04-01/Accounts/"+acc.AccountSID+"/Messages.json", message(alice, "x").Encode())
	f.Add("POST", "/fakes/plan", `[{"failure":"429","retry_after":3,"callbacks":[{"status":"sent","code":1}],"repeat":-1}]`)
	f.Add("PUT", "/fakes/plan", `{"failure":"garbage","delay":-1}`)
	f.Add("PUT", "/fakes/webhook", `{"url":"http://a"}`)
	f.Add("GET", "/fakes/messages?to=%zz", "")
	f.Fuzz(func(t *testing.T, method, target, body string) {
		u, err := url.Parse("http://127.0.0.1/" + strings.TrimPrefix(target, "/"))
		if err != nil || method == "" || url.PathEscape(method) != method || strings.Contains(body, "hang") || strings.Contains(body, "delay") {
			return
		}
		r := httptest.NewRequest("GET", "/", strings.NewReader(body)).WithContext(t.Context())
		r.Method, r.URL = method, u
		r.SetBasicAuth(acc.AccountSID, acc.AuthToken)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if strings.HasPrefix(u.Path, "/fakes/") {
			r.Header.Set("Content-Type", "application/json")
		}
		w := httptest.NewRecorder()
		fakes.NewTwilio(acc).ServeHTTP(w, r)
		if w.Code == http.StatusInternalServerError {
			t.Errorf("%s %s %q = %d", method, target, body, w.Code)
		}
	})
}
