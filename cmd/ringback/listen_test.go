package main

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

// TestPanic: a fault in a handler is logged, its text reaches nobody outside,
// and an answer that has begun does not look complete.
func TestPanic(t *testing.T) {
	t.Parallel()
	for name, begun := range map[string]bool{"before the answer": false, "in the answer": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var logged bytes.Buffer
			e := newEcho(nil, slog.New(slog.NewJSONHandler(&logged, nil)))
			e.GET("/", func(c echo.Context) error {
				if begun {
					c.Response().WriteHeader(http.StatusOK)
				}
				panic("a detail")
			})
			w := httptest.NewRecorder()
			aborted := func() (p any) {
				defer func() { p = recover() }()
				e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
				return nil
			}()
			if begun != (aborted == http.ErrAbortHandler) {
				t.Errorf("aborted with %v", aborted)
			}
			if !begun && w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "detail") {
				t.Errorf("answered %d %s", w.Code, w.Body)
			}
			if got := logged.String(); strings.Count(got, "panic: a detail") != 1 || !strings.Contains(got, "listen_test.go") {
				t.Errorf("logged %s", got)
			}
		})
	}
}
