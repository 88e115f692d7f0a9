package journal

import (
	"testing"

	"ringback/consent"
	"ringback/keys"
)

// TestNames reads what the service makes.
func TestNames(t *testing.T) {
	t.Parallel()
	handles := keys.NewHandles(keys.NewRoot())
	for range 100 {
		id := consent.NewID()
		if got, ok := ParseHandle(handles.AuthReqID(id)); !ok || string(got) != id.String() {
			t.Errorf("ParseHandle(an auth_req_id of %s) = %s, %v", id, got, ok)
		}
		for _, n := range []int{1, 3, 300} {
			got, attempt, ok := ParseReference("http://127.0.0.1:1/callbacks/x/status/" + handles.CallbackRef(id, n))
			if !ok || string(got) != id.String() || attempt != n {
				t.Errorf("ParseReference(attempt %d of %s) = %s, %d, %v", n, id, got, attempt, ok)
			}
		}
	}
	for _, text := range []string{"", "x", "http://127.0.0.1:1/", handles.Ticket(consent.NewID(), 1) + "x"} {
		if id, ok := ParseHandle(text); ok {
			t.Errorf("ParseHandle(%q) = %s", text, id)
		}
		if id, _, ok := ParseReference(text); ok {
			t.Errorf("ParseReference(%q) = %s", text, id)
		}
	}
}
