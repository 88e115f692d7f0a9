package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"

	"ringback/demo"
)

// TestNoDevRoutes: none of the routes of a development run answers in any
// other run, on either listener, whatever the file says.
func TestNoDevRoutes(t *testing.T) {
	t.Parallel()
	dir, public, manage := t.TempDir(), freeAddress(t), freeAddress(t)
	file := filepath.Join(dir, "ringback.yaml")
	text := fmt.Sprintf(`issuer: http://%s
listen: %s
manage: %s
data: %s
root_key: {file: %s}
channels: {sms: {account_sid: AC00000000000000000000000000000000, auth_token: {env: T}, from: "+12025550199"}}
`, public, public, manage, filepath.Join(dir, "data"), filepath.Join(dir, "root.key"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	a := &app{stdout: &said, stderr: &said, now: time.Now, getenv: environ("T", strong)}
	if code := a.run(t.Context(), []string{"init", "--config", file}); code != 0 {
		t.Fatalf("init = %d:\n%s", code, said.String())
	}
	s := a.newService(Sources{File: file, Getenv: a.getenv})
	up, ended := make(chan struct{}), make(chan error, 1)
	s.up = func() { close(up) }
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- s.run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("stopping: %v", err)
		}
	}()
	select {
	case <-up:
	case err := <-ended:
		ended <- err
		t.Fatalf("serve: %v\n%s", err, said.String())
	}
	status := func(method, url string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := status("GET", "http://"+public+"/jwks"); got != http.StatusOK {
		t.Fatalf("the service does not serve: %d", got)
	}
	e := echo.New()
	d := demo.New(demo.Config{})
	d.Register(e)
	d.RegisterResource(e)
	found := 0
	for _, r := range e.Routes() {
		if !strings.HasPrefix(r.Path, "/dev/") {
			t.Errorf("the demo's route %s is not under /dev/", r.Path)
		}
		found++
		for _, base := range []string{public, manage} {
			for _, method := range []string{r.Method, "OPTIONS"} {
				if got := status(method, "http://"+base+r.Path); got != http.StatusNotFound {
					t.Errorf("%s %s%s = %d, want 404", method, base, r.Path, got)
				}
			}
		}
	}
	if found < 9 {
		t.Errorf("%d routes tried", found)
	}
}

// TestDevHosts: the phone answers at the address that the banner prints.
func TestDevHosts(t *testing.T) {
	t.Parallel()
	c := &Config{Listen: "0.0.0.0:8663", Issuer: "http://desk.example", People: &Listener{PublicURL: "http://phone.example:8700"}}
	want := []string{"0.0.0.0:8663", "desk.example", "phone.example:8700"}
	if diff := cmp.Diff(want, c.devHosts()); diff != "" {
		t.Errorf("devHosts() (-want +got):\n%s", diff)
	}
}
