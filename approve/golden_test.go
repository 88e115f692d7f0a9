package approve_test

import (
	"net/http"
	"testing"

	"ringback/channels"
)

// TestMarksOfMessagesStay pins under what a message is remembered for a year:
// what was sent to an earlier release counts once all the same.
func TestMarksOfMessagesStay(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.sent("alice")
	form := h.tw.Inbound(alice, "YES "+m.code)
	form.Set("MessageSid", "SM00112233445566778899aabbccddeeff")
	if status, body, err := h.tw.Post(t.Context(), h.url+channels.TwilioInbound, form); err != nil || status != http.StatusOK {
		t.Fatalf("the webhook answered %d %s, %v", status, body, err)
	}
	if seen, err := h.Seen(t.Context(), "message twilio SM00112233445566778899aabbccddeeff"); err != nil || !seen {
		t.Errorf("Seen = %v, %v, want true", seen, err)
	}
}
