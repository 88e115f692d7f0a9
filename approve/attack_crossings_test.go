package approve_test

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"ringback/channels"
	"ringback/consent"
)

var crossings = flag.Int("crossings", manyCrossings, "tries of one person to answer for another")

// TestOnlyThePersonNamed lets bob, who is enrolled and has a request of his
// own, try to answer what alice is asked: with her code but his number, with
// her link but his code, in other people's names. She is asked all the while
// and answers in the end.
func TestOnlyThePersonNamed(t *testing.T) {
	t.Parallel()
	h := newInsideHouse(t)
	var asked []*consent.Request
	ask := func(person string) message {
		m := h.claim(h.Asked(person), 1, true)
		asked = append(asked, m.req)
		return m
	}
	var hers message
	for i := range *crossings {
		if i%10 == 0 {
			if i > 0 && !strings.Contains(h.reply(alice, "YES "+hers.code), "Allowed") {
				t.Fatal("alice could not answer")
			}
			hers = ask("alice")
		}
		cross(h, i%10, hers, ask)
	}
	if said := h.reply(alice, "NO"); !strings.Contains(said, "Not allowed") {
		t.Errorf("alice was answered %q", said)
	}
	decided := 0
	for _, req := range asked {
		st := h.state(req)
		if req.Approver == "alice" && (st.Decided == nil || len(st.Misses) > 3) {
			t.Errorf("alice's request is %s after %d guesses", st.Status(), len(st.Misses))
		}
		if st.Decided == nil {
			continue
		}
		decided++
		devices, err := h.Devices(t.Context(), req.Approver)
		if err != nil {
			t.Fatal(err)
		}
		if st.Decided.By != req.Approver || st.Tried[st.Decided.Attempt-1].Device != devices[0].ID {
			t.Errorf("%s decided what %s was asked", st.Decided.By, req.Approver)
		}
	}
	if decided < *crossings/10 {
		t.Errorf("%d decisions, want one for each of alice's requests", decided)
	}
}

// cross is one try of bob's, in one of ten ways.
func cross(h *house, way int, hers message, ask func(string) message) {
	h.t.Helper()
	before := h.state(hers.req)
	b := h.browser()
	switch way {
	case 0: // her code from his number, and from others
		for _, from := range []string{bob, carla, stranger} {
			h.reply(from, "YES "+hers.code)
			h.reply(from, "NO "+hers.code)
		}
	case 1: // no code at all, where he has no request that it could be about
		h.reply(carla, "NO")
		h.reply(stranger, "NO")
	case 2: // her code on the page of his own request
		his := ask("bob")
		if p := b.answer(his, code, hers.code, answer, allow); p.says("Allowed") && his.code != hers.code {
			h.t.Error("alice's code opened bob's page")
		}
		h.reply(bob, "NO "+his.code)
	case 3: // her link with the form of his page
		his := ask("bob")
		form := b.get(his.link).form(h.t)
		form.Set(code, hers.code)
		form.Set(answer, allow)
		if p := b.do(http.MethodPost, hers.link, form); p.status != http.StatusForbidden {
			h.t.Errorf("the form of another page got %d", p.status)
		}
		h.reply(bob, "NO "+his.code)
	case 4: // her link without the code
		for _, button := range []string{allow, deny, block} {
			b.answer(hers, answer, button, match, "4711")
		}
	case 5: // his link with her attempt, her link with his
		his := ask("bob")
		for _, link := range []string{
			h.url + "/a/" + h.handles.CallbackRef(hers.req.ID, 1), h.url + "/a/" + h.handles.AuthReqID(hers.req.ID),
			hers.link[:len(hers.link)-22] + his.link[len(his.link)-22:], his.link[:len(his.link)-22] + hers.link[len(hers.link)-22:],
		} {
			if p := b.do(http.MethodPost, link, url.Values{code: {hers.code}, answer: {allow}}); p.status != http.StatusNotFound {
				h.t.Errorf("a link put together from two got %d", p.status)
			}
		}
		h.reply(bob, "NO "+his.code)
	case 6: // evidence in another's name
		for _, by := range []string{"bob", "carla", "agent", "operator", "clock", "", "Alice", "alice "} {
			for _, means := range []consent.Means{consent.ByPage, consent.ByReply, consent.ByDev, consent.ByClient} {
				for _, verb := range []consent.Verb{consent.Approved, consent.Denied} {
					ev := consent.Evidence{
						Verb: verb, By: by, Means: means, Attempt: 1, ACR: consent.ACRPhr, Presentation: before.Tried[0].Presentation, Nonce: "n",
					}
					if _, err := consent.Decide(before, ev, nil, h.clock.Now()); !errors.Is(err, consent.ErrNotNamed) {
						h.t.Errorf("evidence of %q for alice: %v, want %v", by, err, consent.ErrNotNamed)
					}
				}
			}
		}
	case 7: // her number becomes another's, and hers again
		h.file(consent.Person{ID: "alice", Phone: "+12025550111"}, consent.Person{ID: "dave", Phone: alice})
		if said := h.reply(alice, "YES "+hers.code); strings.Contains(said, "Allowed") {
			h.t.Error("whoever got alice's number answered for her")
		}
		h.reply(alice, "NO")
		h.file()
	case 8: // a webhook of the provider's that names her beside him
		form := h.tw.Inbound(bob, "YES "+hers.code)
		form["From"] = []string{bob, alice}
		target := channels.TwilioInbound
		req, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.url+target, strings.NewReader(form.Encode()))
		if err != nil {
			h.t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("X-Twilio-Signature", h.tw.Sign(h.url+target, form))
		if resp, err := h.client.Do(req); err != nil || resp.StatusCode != http.StatusForbidden {
			h.t.Errorf("a webhook from two numbers: %v, %v", resp, err)
		}
	default: // her answer to one request for another of hers
		other := ask("alice")
		if said := h.reply(bob, fmt.Sprint("YES ", other.code)); strings.Contains(said, "Allowed") {
			h.t.Error("bob answered for alice")
		}
		h.reply(alice, "NO "+other.code)
	}
	if after := h.state(hers.req); after.Decided != nil || len(after.Misses) != len(before.Misses) {
		h.t.Errorf("way %d: alice's request is %s after %d guesses, before %d", way, after.Status(), len(after.Misses), len(before.Misses))
	}
}

// file puts people into the configuration file, in the place of those before.
func (h *house) file(people ...consent.Person) {
	h.t.Helper()
	if err := h.SetFile(nil, people, nil); err != nil {
		h.t.Fatal(err)
	}
}
