package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"

	"ringback/config"
	"ringback/demo"
)

// TestNoDevRoutes: none of the routes of a development run answers in any
// other run, on either listener, whatever the file says.
func TestNoDevRoutes(t *testing.T) {
	t.Parallel()
	public, manage := freeAddress(t), freeAddress(t)
	start(t, fmt.Sprintf(`issuer: http://%s
listen: %s
manage: %s
data: DIR/data
root_key: {file: DIR/root.key}
channels: {sms: {account_sid: AC00000000000000000000000000000000, auth_token: {env: T}, from: "+12025550199"}}
`, public, public, manage), false)
	status := func(method, url string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
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
	c := &config.Config{Listen: "0.0.0.0:8663", Issuer: "http://desk.example", People: &config.Listener{PublicURL: "http://phone.example:8700"}}
	want := []string{"0.0.0.0:8663", "desk.example", "phone.example:8700"}
	if diff := cmp.Diff(want, c.DevHosts()); diff != "" {
		t.Errorf("DevHosts() (-want +got):\n%s", diff)
	}
}
