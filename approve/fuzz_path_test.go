package approve_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzPath: no path, method or body answers but with a page or a refusal, and
// none but the ticket itself finds the request.
func FuzzPath(f *testing.F) {
	h := newHouse(f)
	m := h.sent("alice")
	f.Add("GET", "/a/x", "")
	f.Add("POST", "/a/"+h.handles.Ticket(m.req.ID, 2), "code=482913")
	f.Add("GET", "/u/"+h.handles.UserCodeTicket(m.req.ID), "")
	f.Add("POST", "/callbacks/twilio/status/x", "MessageSid=1")
	f.Add("POST", "/callbacks/twilio/sms", "Body=NO")
	f.Fuzz(func(t *testing.T, method, path, body string) {
		u, err := url.Parse("http://127.0.0.1/" + path)
		if err != nil || method == "" || url.PathEscape(method) != method {
			return
		}
		r := httptest.NewRequest("GET", "/", nil).WithContext(t.Context())
		r.Method, r.URL = method, u
		w := httptest.NewRecorder()
		h.echo.ServeHTTP(w, r)
		if w.Code >= http.StatusInternalServerError || w.Code == http.StatusOK && u.Path != "/a/"+h.handles.Ticket(m.req.ID, 1) &&
			!strings.HasPrefix(u.Path, "/assets/") && method != http.MethodOptions {
			t.Errorf("%s %s = %d", method, path, w.Code)
		}
		st, err := h.Get(t.Context(), m.req.ID)
		if err != nil || st.Decided != nil || len(st.Misses) > 0 {
			t.Fatalf("%s %s changed the request: %+v, %v", method, path, st, err)
		}
	})
}
