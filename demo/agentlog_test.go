package demo_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ringback/demo"
)

func TestAgentLog(t *testing.T) {
	t.Parallel()
	log := demo.New(demo.Config{}).Agent()
	if got := log.Events(); got == nil || len(got) != 0 {
		t.Errorf("no events = %#v, want an empty list: the page reads its length", got)
	}
	for _, what := range []string{"ask", "wait", "wait", "wait", "token", "wait", "end"} {
		log.Add(demo.AgentEvent{At: t0, What: what, Text: fmt.Sprint(len(log.Events()))})
	}
	want := []demo.AgentEvent{
		{At: t0, What: "ask", Text: "0"}, {At: t0, What: "wait", Text: "2"}, // the latest of three
		{At: t0, What: "token", Text: "2"}, {At: t0, What: "wait", Text: "3"}, {At: t0, What: "end", Text: "4"},
	}
	got := log.Events()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	got[0].Text = "changed"
	if log.Events()[0].Text != "0" {
		t.Error("Events gives its own memory away")
	}
	for i := range 500 {
		log.Add(demo.AgentEvent{At: t0, What: "ask", Text: fmt.Sprint(i)})
	}
	got = log.Events()
	if len(got) > 50 || got[len(got)-1].Text != "499" {
		t.Errorf("%d events kept, the last is %q", len(got), got[len(got)-1].Text)
	}
}
