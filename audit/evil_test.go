package audit_test

import (
	"bytes"
	"strings"
	"testing"

	"ringback/audit"
)

// TestHostileExports: files made to hurt the verifier end soon, with failures.
func TestHostileExports(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.story(h.add(), redeemed)
	good := h.export()
	h.holds(good)
	jwks := h.ring.EvidenceJWKS()
	header, rest, _ := bytes.Cut(good, []byte("\n"))
	record, _, _ := bytes.Cut(rest, []byte("\n"))
	for name, bad := range map[string]string{
		"nothing":            "",
		"an empty line":      "\n",
		"a header alone":     string(header) + "\n",
		"no line end":        string(header),
		"a trailer alone":    `{"v":1,"type":"trailer","jws":""}` + "\n",
		"an endless line":    strings.Repeat("a", 8<<20),
		"deep nesting":       `{"v":1,"type":"evidence","seq":` + strings.Repeat("[", 1<<20) + "\n",
		"many lines":         strings.Repeat("{}\n", 1<<17),
		"a thousand headers": strings.Repeat(string(header)+"\n", 1000),
		"one record often":   string(header) + "\n" + strings.Repeat(string(record)+"\n", 300),
		"two exports":        string(good) + string(good),
		"a byte order mark":  "\ufeff" + string(good),
		"Windows line ends":  strings.ReplaceAll(string(good), "\n", "\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report, err := audit.Verify(strings.NewReader(bad), jwks)
			if err != nil || report.OK() {
				t.Errorf("Verify = %+v, %v, want failures", report, err)
			}
			if len(report.Failures) > 1000 {
				t.Errorf("%d failures are listed", len(report.Failures))
			}
		})
	}
}
