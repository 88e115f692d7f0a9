package keys

import "testing"

// TestUserCodeTicket: such a link opens no request, and a request's handles do
// not open it.
func TestUserCodeTicket(t *testing.T) {
	t.Parallel()
	h, foreign := NewHandles(testRoot(1)), NewHandles(testRoot(2))
	id := randomID(source(7))
	ticket := h.UserCodeTicket(id)
	if got, ok := h.ParseUserCodeTicket(ticket); !ok || got != id || len(ticket) != ticketLen {
		t.Errorf("ParseUserCodeTicket(%q) = %x, %v, want %x", ticket, got, ok, id)
	}
	if by := parses(h, ticket); by != nil {
		t.Errorf("it passes for %v", by)
	}
	for name, s := range map[string]string{
		"nothing": "", "auth_req_id": h.AuthReqID(id), "ticket": h.Ticket(id, 0), "callback": h.CallbackRef(id, 0),
		"another root key": foreign.UserCodeTicket(id), "numbered": h.numbered(&h.userCode, id, 1),
		"line end": ticket[:39] + "\n", "short": ticket[1:], "long": ticket + "A",
	} {
		if _, ok := h.ParseUserCodeTicket(s); ok {
			t.Errorf("%s passes for a link to choose a code with", name)
		}
	}
	raw, err := encoding.DecodeString(ticket)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for bit := range 8 {
			raw[i] ^= 1 << bit
			if _, ok := h.ParseUserCodeTicket(encoding.EncodeToString(raw)); ok {
				t.Errorf("bit %d of byte %d flipped still passes", bit, i)
			}
			raw[i] ^= 1 << bit
		}
	}
}

func FuzzParseUserCodeTicket(f *testing.F) {
	h := NewHandles(testRoot(1))
	f.Add(h.UserCodeTicket([16]byte{1}))
	f.Add(h.Ticket([16]byte{1}, 0))
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		if id, ok := h.ParseUserCodeTicket(s); ok && h.UserCodeTicket(id) != s {
			t.Errorf("ParseUserCodeTicket(%q) = %x, which is spelt otherwise", s, id)
		}
	})
}
