package templates

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var property = regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`)

// Every colour of text has a contrast of 4.5 at least with what it stands on,
// in both themes (WCAG 2.2, 1.4.3), and borders of fields 3 (1.4.11).
func TestContrast(t *testing.T) {
	t.Parallel()
	light, dark, ok := strings.Cut(string(Stylesheet()), "@media (prefers-color-scheme: dark)")
	if !ok {
		t.Fatal("the stylesheet has no dark theme")
	}
	for theme, css := range map[string]string{"light": light, "dark": dark} {
		colours := map[string]float64{}
		for _, m := range property.FindAllStringSubmatch(css, -1) {
			colours[m[1]] = luminance(t, m[2])
		}
		for _, tt := range []struct {
			text, ground string
			least        float64
		}{
			{"ink", "card", 4.5}, {"quiet", "card", 4.5}, {"danger", "card", 4.5}, {"good", "card", 4.5}, {"accent", "card", 4.5},
			{"quiet", "quote", 4.5}, {"danger", "danger-ground", 4.5}, {"on-accent", "accent", 4.5}, {"field", "card", 3}, {"accent", "ground", 3},
		} {
			a, ok1 := colours[tt.text]
			b, ok2 := colours[tt.ground]
			if !ok1 || !ok2 {
				t.Fatalf("%s: no colour %s or %s", theme, tt.text, tt.ground)
			}
			if ratio := (math.Max(a, b) + 0.05) / (math.Min(a, b) + 0.05); ratio < tt.least {
				t.Errorf("%s: %s on %s has a contrast of %.2f, want %.1f", theme, tt.text, tt.ground, ratio, tt.least)
			}
		}
	}
}

// luminance is the relative luminance of #rrggbb (WCAG 2.2).
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	out := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(colour[1+2*i:3+2*i], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		out += weight * c
	}
	return out
}
