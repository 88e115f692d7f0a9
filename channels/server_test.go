package channels_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// newServer serves f until the test ends and returns its base URL.
func newServer(t *testing.T, f func(http.ResponseWriter, *http.Request, []byte)) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		f(w, r, body)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}
