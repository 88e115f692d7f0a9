package ciba

import (
	"testing"
	"time"
)

func TestWaitOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		prefer []string
		want   int
	}{
		{nil, 0},
		{[]string{"wait=10"}, 10},
		{[]string{"Wait = 10"}, 10},
		{[]string{"wait=25"}, 25},
		{[]string{"wait=26"}, 25},
		{[]string{"wait=99999999999999999999"}, 25},
		{[]string{"wait=0"}, 0},
		{[]string{"wait=-1"}, 0},
		{[]string{"wait=1.5"}, 0},
		{[]string{"wait=x"}, 0},
		{[]string{"wait"}, 0},
		{[]string{"waiting=10"}, 0},
		{[]string{"respond-async, wait=7"}, 7},
		{[]string{"respond-async; a=b; wait=9, wait=7"}, 7},
		{[]string{"wait=7; a=b"}, 7},
		{[]string{"wait=7, wait=9"}, 7},
		{[]string{"respond-async", "wait=7"}, 7},
		{[]string{`a="x, wait=9"`, "wait=7"}, 7},
		{[]string{`a="\", wait=9", wait=7`}, 7},
		{[]string{`a="x`, `wait=7`}, 7},
		{[]string{",,,", "wait=7"}, 7},
	} {
		if got := waitOf(tt.prefer); got != time.Duration(tt.want)*time.Second {
			t.Errorf("waitOf(%q) = %v, want %d s", tt.prefer, got, tt.want)
		}
	}
}

func FuzzWaitOf(f *testing.F) {
	f.Add("wait=10, respond-async", `a="\",", wait=5`)
	f.Fuzz(func(t *testing.T, a, b string) {
		if got := waitOf([]string{a, b}); got < 0 || got > maxWait || got%time.Second != 0 {
			t.Errorf("waitOf(%q, %q) = %v", a, b, got)
		}
	})
}
