//go:build e2e

package audit_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// recipe is what docs/formats.md tells an auditor to run.
func recipe(t *testing.T) string {
	t.Helper()
	doc, err := os.ReadFile("../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, m := range shellBlock.FindAllSubmatch(doc, -1) {
		out.Write(m[1])
	}
	return out.String()
}

// follow runs the recipe on an export, in a directory of its own.
func follow(t *testing.T, script, request string, export, jwks []byte) ([]byte, error) {
	t.Helper()
	dir := t.TempDir()
	for name, data := range map[string][]byte{"export.jsonl": export, "evidence.jwks": jwks} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "REQUEST=" + request}
	return cmd.CombinedOutput()
}

var evidenceOf = regexp.MustCompile(`(?m)^\{"v":1,"type":"evidence","seq":[0-9]+,"request":"([a-z2-7]+)","person":"[a-z2-7]+","evidence":.*$`)

// TestCheckingByHand runs the recipe of docs/formats.md on every decision of the
// golden export, as it is and after somebody changed it.
func TestCheckingByHand(t *testing.T) {
	t.Parallel()
	script, export, jwks := recipe(t), goldenFile(t, "export.jsonl"), goldenFile(t, "../../keys/testdata/evidence.json")
	found := evidenceOf.FindAllSubmatch(export, -1)
	if len(found) < 5 {
		t.Fatalf("the golden export has evidence of %d requests", len(found))
	}
	for _, m := range found {
		t.Run(string(m[1]), func(t *testing.T) {
			t.Parallel()
			if out, err := follow(t, script, string(m[1]), export, jwks); err != nil || !bytes.Contains(out, []byte("ok: decision digest")) {
				t.Errorf("the recipe ends with %v:\n%s", err, out)
			}
		})
	}
	line := found[goldenEvidence-1]
	request := string(line[1])
	in := func(part, with string) func() []byte { // in the evidence
		return func() []byte {
			changed := bytes.Replace(line[0], []byte(part), []byte(with), 1)
			return bytes.Replace(export, line[0], changed, 1)
		}
	}
	anywhere := func(part, with string) func() []byte {
		return func() []byte { return bytes.Replace(export, []byte(part), []byte(with), 1) }
	}
	for name, change := range map[string]func() []byte{
		"what was granted":          in(`"granted":[{"actions":["read"]`, `"granted":[{"actions":["read","write"]`),
		"what was asked":            in(`"scope":["openid","read"]`, `"scope":["openid","admin"]`),
		"what was shown":            in("asks to read", "asks to wash"),
		"who decided":               in(`"by":"person-3"`, `"by":"person-4"`),
		"the canonical object":      in(`"asked":{"acr":["urn:ringback:acr:tap"]`, `"asked":{"acr":["phr"]`),
		"the signature":             in(`,"jws":"eyJ`, `,"jws":"eyK`),
		"the end of the signature":  in(`"}}`, `A"}}`),
		"a sealed digest":           anywhere(`"fact":"asked","person":"zh726abeglr563l3","sha256":"`, `"fact":"asked","person":"zh726abeglr563l3","sha256":"A`),
		"a fact that finishes":      anywhere(`"finishes":true`, `"finishes":null`),
		"a record":                  anywhere(`"type":"facts","seq":1,`, `"type":"facts","seq":0,`),
		"an erasure":                anywhere(`"type":"erased"`, `"type":"erasen"`),
		"when it was exported":      anywhere(`{"v":1,"type":"export","at":"2026`, `{"v":1,"type":"export","at":"2027`),
		"a record that is left out": func() []byte { return dropLine(export, 2) },
		"the evidence twice": func() []byte {
			return bytes.Replace(export, line[0], bytes.Join([][]byte{line[0], line[0]}, []byte("\n")), 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changed := change()
			if bytes.Equal(changed, export) {
				t.Fatal("nothing was changed")
			}
			if out, err := follow(t, script, request, changed, jwks); err == nil {
				t.Errorf("the recipe says that all is well:\n%s", out)
			}
		})
	}
	t.Run("the keys of somebody else", func(t *testing.T) {
		t.Parallel()
		foreign := bytes.Replace(jwks, []byte(`"x":"rZ`), []byte(`"x":"OvXF_AlbCmU3BPXhhywzd33uQZMo8e6Gafx9kje1yGY","y":"96oM7-QsTbvOFzBw0AhrBPrhL2ycu5jvF4jQxlKwkB4","x0":"rZ`), 1)
		foreign = bytes.Replace(foreign, []byte(`"y":"_o`), []byte(`"y0":"_o`), 1)
		if out, err := follow(t, script, request, export, foreign); err == nil {
			t.Errorf("the recipe says that all is well:\n%s", out)
		}
	})
}

// dropLine is text without its n-th line, counted from 0.
func dropLine(text []byte, n int) []byte {
	lines := bytes.SplitAfter(text, []byte("\n"))
	return bytes.Join(append(append([][]byte{}, lines[:n]...), lines[n+1:]...), nil)
}
