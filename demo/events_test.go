package demo_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/demo"
)

// stream is an open page.
type stream struct {
	t    *testing.T
	in   *bufio.Reader
	stop context.CancelFunc
}

func (h *house) open(person string) *stream {
	h.t.Helper()
	ctx, stop := context.WithTimeout(h.t.Context(), 30*time.Second)
	h.t.Cleanup(stop)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.url+"/dev/phone/events?person="+person, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { resp.Body.Close() })
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || ct != "text/event-stream" {
		h.t.Fatalf("the stream answers %d, %s", resp.StatusCode, ct)
	}
	return &stream{h.t, bufio.NewReader(resp.Body), stop}
}

// screen is as much of an event as the tests compare.
type screen struct {
	Name     string
	Messages []struct {
		Text string
		In   bool
	}
	Agent []demo.AgentEvent
}

// texts returns the messages, those of the person with an arrow.
func (s screen) texts() []string {
	out := []string{}
	for _, m := range s.Messages {
		if m.In {
			m.Text = "> " + m.Text
		}
		out = append(out, m.Text)
	}
	return out
}

// next reads one event.
func (s *stream) next() screen {
	s.t.Helper()
	line, err := s.in.ReadString('\n')
	if err != nil {
		s.t.Fatalf("reading an event: %v", err)
	}
	data, ok := strings.CutPrefix(line, "data: ")
	if blank, err := s.in.ReadString('\n'); !ok || err != nil || blank != "\n" {
		s.t.Fatalf("not an event: %q, %q, %v", line, blank, err)
	}
	if strings.Contains(data, ":null") {
		s.t.Errorf("the page takes lengths, and gets a null: %s", data)
	}
	var sc screen
	if err := json.Unmarshal([]byte(data), &sc); err != nil {
		s.t.Fatal(err)
	}
	return sc
}

// untilLeft returns when the server has ended a request for the stream.
func (h *house) untilLeft() {
	h.t.Helper()
	for {
		select {
		case path := <-h.left:
			if path == "/dev/phone/events" {
				return
			}
		case <-time.After(30 * time.Second):
			h.t.Fatal("the stream goes on")
		}
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.open("alice")
	if diff := cmp.Diff([]string{}, s.next().texts()); diff != "" {
		t.Errorf("first event (-want +got):\n%s", diff)
	}
	h.send(aliceNumber, "one")
	sc := s.next()
	if diff := cmp.Diff([]string{"one"}, sc.texts()); diff != "" || sc.Name != "Alice" {
		t.Errorf("%s's event (-want +got):\n%s", sc.Name, diff)
	}
	h.send(bobNumber, "for bob") // may come as an event without news
	h.want(http.StatusNoContent, "POST", "/dev/phone/reply?person=alice", map[string][]string{"text": {"<b>two</b>\n\ndata: x"}})
	for sc = s.next(); len(sc.Messages) < 2; sc = s.next() {
	}
	if diff := cmp.Diff([]string{"one", "> <b>two</b>\n\ndata: x"}, sc.texts()); diff != "" {
		t.Errorf("after the reply (-want +got):\n%s", diff)
	}
	h.server.Agent().Add(demo.AgentEvent{At: t0, What: "ask", Text: "may I?"})
	for sc = s.next(); len(sc.Agent) == 0; sc = s.next() {
	}
	if sc.Agent[0].Text != "may I?" {
		t.Errorf("the agent told %+v", sc.Agent)
	}
	s.stop()
	h.untilLeft()
}

// TestEventsDrain: an open page does not hold up the end of the service.
func TestEventsDrain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.open("alice")
	s.next()
	h.server.Drain()
	h.server.Drain()
	h.untilLeft()
	if _, err := s.in.ReadByte(); err != io.EOF {
		t.Errorf("the stream ended with %v, want EOF", err)
	}
	(*demo.Server)(nil).Drain() // a run without --dev
}
