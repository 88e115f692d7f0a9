//go:build e2e

package templates

import (
	"encoding/json"
	"fmt"
	"html"
	"math"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// measure shows pages in frames of a phone's size and writes down where their
// parts are.
const measure = `<!doctype html><body style="margin:0">
%s
<pre id="out"></pre>
<script>
var all = {};
document.querySelectorAll("iframe").forEach(function (frame) {
  frame.addEventListener("load", function () {
    var d = frame.contentDocument, boxes = {};
    d.documentElement.style.fontSize = frame.dataset.percent + "%%";
    var parts = {amount: ".amount", headline: "h1", host: ".host bdi", deny: ".deny", allow: ".allow", block: ".block", code: ".six", match: ".four", secret: ".field:last-of-type .secret"};
    Object.keys(parts).forEach(function (name) {
      var e = d.querySelector(parts[name]);
      if (!e) return;
      var r = e.getBoundingClientRect();
      boxes[name] = {left: r.left, top: r.top, right: r.right, bottom: r.bottom, clipped: e.scrollWidth > Math.ceil(r.width) + 1};
    });
    boxes.page = {right: d.documentElement.scrollWidth, bottom: d.documentElement.scrollHeight};
    all[frame.title] = boxes;
    document.getElementById("out").textContent = JSON.stringify(all);
  });
});
document.querySelectorAll("iframe").forEach(function (frame) { frame.src = frame.dataset.src; });
</script>`

type box struct {
	Left, Top, Right, Bottom float64
	Clipped                  bool
}

var output = regexp.MustCompile(`(?s)<pre id="out">(.*?)</pre>`)

// At 360×640 amount, payee, host and both buttons are visible without
// scrolling; with text twice as large they are not cut off; buttons are of one
// size and all targets 44 pixels high.
func TestBoxes(t *testing.T) {
	browser := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" {
		t.Fatal("no chromium found; install it (Debian: apt-get install chromium)")
	}
	s := newSet(t)
	mux := http.NewServeMux()
	mux.HandleFunc(StylesheetPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css")
		w.Write(Stylesheet())
	})
	mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) {
		all := slices.Concat(samplePages, chooserPages)
		i := slices.IndexFunc(all, func(p samplePage) bool { return p.name == r.FormValue("name") })
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, renderSample(t, s, all[i], r.FormValue("lang")))
	})
	type look struct {
		lang, name string
		percent    int
	}
	var looks []look
	var frames strings.Builder
	for _, lang := range languages {
		for _, name := range []string{"asking", "asking-match", "wrong-code", "asking-access", "asking-scope", "choosing", "choosing-unequal"} {
			for _, percent := range []int{100, 200} {
				l := look{lang, name, percent}
				looks = append(looks, l)
				fmt.Fprintf(&frames, `<iframe title="%v" data-percent="%d" data-src="/page?name=%s&lang=%s" style="border:0;width:360px;height:640px"></iframe>`, l, percent, name, lang)
			}
		}
	}
	mux.HandleFunc("/measure", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, measure, frames.String()) })
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)

	out, err := exec.CommandContext(t.Context(), browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+t.TempDir(), "--virtual-time-budget=10000",
		"--window-size=800,900", "--dump-dom", srv.URL+"/measure").Output()
	if err != nil {
		t.Fatalf("running %s: %v", browser, err)
	}
	m := output.FindSubmatch(out)
	all := map[string]map[string]box{}
	if m == nil {
		t.Fatalf("nothing was measured: %s", out)
	}
	if err := json.Unmarshal([]byte(html.UnescapeString(string(m[1]))), &all); err != nil {
		t.Fatalf("reading measures %q: %v", m[1], err)
	}
	for _, l := range looks {
		boxes, at := all[fmt.Sprint(l)], fmt.Sprintf("%s/%s at %d %%", l.lang, l.name, l.percent)
		if r := boxes["page"].Right; r == 0 || r > 360 {
			t.Errorf("%s: is %v pixels wide", at, r)
		}
		if strings.HasPrefix(l.name, "choosing") { // may be scrolled
			for _, part := range []string{"headline", "code", "secret", "allow"} {
				if b, ok := boxes[part]; !ok || b.Clipped || b.Left < 0 || b.Right > 360 || part != "headline" && b.height() < 44 {
					t.Errorf("%s: %s is missing, cut off or no 44 pixels high: %+v", at, part, b)
				}
			}
			continue
		}
		parts := []string{"headline", "host", "deny", "allow"}
		if !strings.HasPrefix(l.name, "asking-a") && !strings.HasPrefix(l.name, "asking-s") {
			parts = append(parts, "amount")
		}
		for _, part := range parts {
			b, ok := boxes[part]
			if !ok || b.Clipped || b.Left < 0 || b.Right > 360 || l.percent == 100 && b.Bottom > 640 {
				t.Errorf("%s: %s is missing, cut off or below the fold: %+v", at, part, b)
			}
		}
		deny, allow := boxes["deny"], boxes["allow"]
		if math.Abs(deny.width()-allow.width()) > 0.5 || deny.height() != allow.height() {
			t.Errorf("%s: buttons differ in size: %+v, %+v", at, deny, allow)
		}
		for _, part := range []string{"deny", "allow", "block", "code"} {
			if b := boxes[part]; b.height() < 44 {
				t.Errorf("%s: %s is no 44 pixels high: %+v", at, part, b)
			}
		}
	}
}

func (b box) width() float64  { return b.Right - b.Left }
func (b box) height() float64 { return b.Bottom - b.Top }
