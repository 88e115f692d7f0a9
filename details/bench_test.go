package details

import "testing"

func BenchmarkParse(b *testing.B) {
	r := newRegistry(b, "")
	for b.Loop() {
		if _, err := r.Parse([]byte(payment)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExplain(b *testing.B) {
	r := newRegistry(b, "")
	l := mustParse(b, r, payment)
	for b.Loop() {
		l.Explain("de")
	}
}
