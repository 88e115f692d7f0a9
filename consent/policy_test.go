package consent_test

import (
	"testing"

	"ringback/consent"
)

func TestRouteFor(t *testing.T) {
	t.Parallel()
	p := consent.Policy{Routes: []consent.Route{
		{ACR: phr, Steps: []consent.RouteStep{{Channel: "push"}}},
		{Client: "other", Steps: []consent.RouteStep{{Channel: "voice"}}},
		{Client: "third", Type: "payment_initiation", Steps: []consent.RouteStep{{Channel: "pager"}}},
		{Type: "payment_initiation", Steps: []consent.RouteStep{{Channel: "sms"}}},
		{Steps: []consent.RouteStep{{Channel: "console"}}},
	}}
	for _, tt := range []struct {
		acr         []string
		client, typ string
		want        string
	}{
		{[]string{phr}, "agent", "", "push"},
		{[]string{phr, tap}, "agent", "", "console"}, // something weaker satisfies it
		{[]string{match}, "agent", "", "console"},
		{[]string{tap}, "other", "", "voice"},
		{[]string{phr}, "other", "", "push"}, // the first that fits
		{[]string{tap}, "agent", "payment_initiation", "sms"},
		{[]string{tap}, "third", "payment_initiation", "pager"},
		{[]string{tap}, "third", "tool_call", "console"},
		{[]string{tap}, "agent", "tool_call", "console"},
	} {
		r := request()
		r.ACR, r.Client.ID = tt.acr, tt.client
		reads := 0
		got := p.RouteFor(r, func() []string { reads++; return []string{"x", tt.typ} })
		if got == nil || got.Steps[0].Channel != tt.want {
			t.Errorf("RouteFor(%+v) = %+v", tt, got)
		}
		if reads > 1 {
			t.Errorf("RouteFor(%+v) reads the types %d times", tt, reads)
		}
	}
	none := consent.Policy{Routes: []consent.Route{{ACR: phr}, {Client: "other"}, {Type: "payment_initiation"}, {Type: "tool_call"}}}
	reads := 0
	if got := none.RouteFor(request(), func() []string { reads++; return nil }); got != nil || reads != 1 {
		t.Errorf("RouteFor() = %+v after reading the types %d times, want nil after once", got, reads)
	}
	if got := new(consent.Policy).RouteFor(request(), func() []string { t.Error("types are read though no route asks"); return nil }); got != nil {
		t.Errorf("RouteFor() = %+v, want nil", got)
	}
}
