package ciba_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"

	"ringback/ciba"
	"ringback/consent"
	"ringback/keys"
)

// The attackers' tests come to the door without a network in between, so that
// they can come often: a request goes to the router, and its answer into
// memory. Header values and bodies arrive as they are, also those that no
// HTTP client would send.

// direct posts a form.
func (h *house) direct(path string, form url.Values, header ...string) *response {
	h.t.Helper()
	return h.arrive(h.request(path, form, header...))
}

// request is a form on its way in.
func (h *house) request(path string, form url.Values, header ...string) *http.Request {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header[http.CanonicalHeaderKey(header[i])] = []string{header[i+1]}
	}
	return r
}

func (h *house) arrive(r *http.Request) *response {
	h.t.Helper()
	w := httptest.NewRecorder()
	h.echo.ServeHTTP(w, r)
	out := &response{status: w.Code, header: w.Header(), raw: w.Body.String()}
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &out.body); err != nil {
			h.t.Errorf("%s answered no JSON object: %q", r.URL.Path, out.raw)
		}
	}
	return out
}

// directAs posts a form as a client with the common secret.
func (h *house) directAs(client, path string, form url.Values, header ...string) *response {
	h.t.Helper()
	return h.direct(path, form, append([]string{"Authorization", basic(client, secret)}, header...)...)
}

// asking are the parameters of an ordinary request; pairs as in params.
func asking(pairs ...string) url.Values {
	return params(append([]string{"scope", "openid", "login_hint", "alice"}, pairs...)...)
}

// collecting are those of a poll.
func collecting(handle string) url.Values {
	return params("grant_type", ciba.GrantCIBA, "auth_req_id", handle)
}

// idOf is the house's name for an auth_req_id.
func (h *house) idOf(handle string) consent.ID {
	h.t.Helper()
	id, ok := keys.NewHandles(h.Root).ParseAuthReqID(handle)
	if !ok {
		h.t.Fatalf("%q is no auth_req_id", handle)
	}
	return id
}

// askedDirectly asks as the client and returns the handle.
func (h *house) askedDirectly(client string, pairs ...string) string {
	h.t.Helper()
	res := h.directAs(client, "/bc-authorize", asking(pairs...))
	if res.status != http.StatusOK {
		h.t.Fatalf("asking: %d %s", res.status, res.raw)
	}
	return res.str("auth_req_id")
}

// forgetLog checks that none of the texts was logged, and empties the log.
func (h *house) forgetLog(texts ...string) {
	h.t.Helper()
	h.logMu.Lock()
	defer h.logMu.Unlock()
	for _, text := range texts {
		if strings.Contains(h.log.String(), text) {
			h.t.Errorf("the log has %.20s…", text)
		}
	}
	h.log.Reset()
}

// same reports whether two answers are the same bytes, but for the date.
func same(a, b *response) bool {
	if a.status != b.status || a.raw != b.raw {
		return false
	}
	return bytes.Equal(fields(a.header), fields(b.header))
}

func fields(h http.Header) []byte {
	var lines []string
	for name, values := range h {
		if name != "Date" {
			lines = append(lines, name+": "+strings.Join(values, "\n"))
		}
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, "\r\n"))
}
