package audit_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"ringback/audit"
)

// mutate returns a changed copy of an export and says how it was changed.
func mutate(rnd *rand.Rand, export []byte) (how string, changed []byte) {
	lines := bytes.SplitAfter(export, []byte("\n"))
	lines = lines[:len(lines)-1] // what follows the last line end
	i, j := rnd.IntN(len(lines)), rnd.IntN(len(lines))
	at := rnd.IntN(len(export))
	join := func(parts ...[][]byte) []byte {
		var out []byte
		for _, p := range parts {
			out = append(out, bytes.Join(p, nil)...)
		}
		return out
	}
	switch kind := rnd.IntN(14); kind {
	case 0, 1, 2:
		changed = bytes.Clone(export)
		bit := rnd.IntN(8)
		changed[at] ^= 1 << bit
		return fmt.Sprintf("bit %d of byte %d flipped", bit, at), changed
	case 3:
		changed = bytes.Clone(export)
		changed[at] = byte(rnd.Uint32())
		return fmt.Sprintf("byte %d replaced", at), changed
	case 4:
		return fmt.Sprintf("byte %d deleted", at), append(bytes.Clone(export[:at]), export[at+1:]...)
	case 5:
		c := []byte(" \n\r\t\x00,}{\"0a")[rnd.IntN(11)]
		return fmt.Sprintf("%q inserted at %d", c, at), append(append(bytes.Clone(export[:at]), c), export[at:]...)
	case 6:
		return fmt.Sprintf("line %d deleted", i+1), join(lines[:i], lines[i+1:])
	case 7:
		return fmt.Sprintf("line %d repeated", i+1), join(lines[:i], lines[i:i+1], lines[i:])
	case 8:
		moved := append([][]byte{}, lines...)
		moved[i], moved[j] = moved[j], moved[i]
		return fmt.Sprintf("lines %d and %d swapped", i+1, j+1), join(moved)
	case 9:
		return fmt.Sprintf("cut after byte %d", at), bytes.Clone(export[:at])
	case 10:
		return fmt.Sprintf("cut after line %d", i), join(lines[:i])
	case 11:
		return fmt.Sprintf("line %d appended", i+1), join(lines, lines[i:i+1])
	case 12:
		return fmt.Sprintf("line %d copied over line %d", i+1, j+1), join(lines[:j], lines[i:i+1], lines[j+1:])
	default:
		edited, what := edit(rnd, bytes.TrimSuffix(lines[i], []byte("\n")))
		return fmt.Sprintf("line %d: %s", i+1, what), join(lines[:i], [][]byte{append(edited, '\n')}, lines[i+1:])
	}
}

// edit changes one member of a line, somewhere inside, and writes the line
// anew without white space, members sorted.
func edit(rnd *rand.Rand, line []byte) (out []byte, what string) {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		panic(err)
	}
	at := v
	for {
		switch c := at.(type) {
		case map[string]any:
			names := make([]string, 0, len(c))
			for name := range c {
				names = append(names, name)
			}
			// Map order is random, the test's seed is not.
			name := minimum(names, rnd)
			switch inner := c[name].(type) {
			case map[string]any, []any:
				at = inner
				continue
			case string:
				c[name] = inner + "x"
			case json.Number:
				c[name] = json.Number(inner.String() + "1")
			case bool:
				c[name] = !inner
			default:
				c[name] = 1
			}
			what = "member " + name + " edited"
			if rnd.IntN(4) == 0 {
				delete(c, name)
				what = "member " + name + " deleted"
			}
		case []any:
			if len(c) == 0 {
				return append(bytes.Clone(line), ' '), "a space appended"
			}
			n := rnd.IntN(len(c))
			switch inner := c[n].(type) {
			case map[string]any, []any:
				at = inner
				continue
			default:
				c[n] = fmt.Sprint(inner, "x")
			}
			what = "an element edited"
		}
		break
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), what
}

// minimum picks a name so that a seed always picks the same one.
func minimum(names []string, rnd *rand.Rand) string {
	salt := fmt.Sprint(rnd.Uint64())
	best := names[0]
	for _, n := range names[1:] {
		if weigh(n+salt) < weigh(best+salt) {
			best = n
		}
	}
	return best
}

func weigh(s string) (sum uint32) {
	for _, c := range []byte(s) {
		sum = sum*16777619 ^ uint32(c)
	}
	return sum
}

// TestMutations: whatever is done to an export, it no longer holds.
func TestMutations(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for n, e := range []ending{narrowed, denied, open, expired} {
		h.story(h.add(), e)
		if n%2 == 1 {
			h.export() // several records
		}
	}
	h.must(h.auditor.Erased(t.Context(), h.Pseudonym("nobody")))
	stop := h.run() // a checkpoint
	h.Eventually("a checkpoint", func() bool {
		h.auditor.Wake()
		return h.holds(h.export()).Checkpoints > 0
	})
	stop()
	h.story(h.add(), redeemed)
	export := h.export()
	h.holds(export)
	jwks := h.ring.EvidenceJWKS()
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := 0; n < mutations; {
		how, changed := mutate(rnd, export)
		if bytes.Equal(changed, export) {
			continue
		}
		n++
		report, err := audit.Verify(bytes.NewReader(changed), jwks)
		if err == nil && report.OK() {
			t.Errorf("an export with %s holds", how)
		}
		for _, f := range report.Failures {
			if f.Where == "" || f.What == "" {
				t.Errorf("%s: a failure does not say what and where: %+v", how, f)
			}
		}
	}
	// Several at once do not cancel out.
	for range mutations / 20 {
		changed := export
		var all []string
		for range 2 + rnd.IntN(3) {
			if !editable(changed) {
				break
			}
			var how string
			how, changed = mutate(rnd, changed)
			all = append(all, how)
		}
		if bytes.Equal(changed, export) {
			continue
		}
		if report, err := audit.Verify(bytes.NewReader(changed), jwks); err == nil && report.OK() {
			t.Errorf("an export with %s holds", strings.Join(all, ", "))
		}
	}
}

// editable reports whether an export still consists of lines of JSON.
func editable(export []byte) bool {
	lines := bytes.SplitAfter(export, []byte("\n"))
	for _, l := range lines[:len(lines)-1] {
		if !json.Valid(l) {
			return false
		}
	}
	return len(lines) > 1 && len(lines[len(lines)-1]) == 0
}

func FuzzVerify(f *testing.F) {
	h := newHouse(f)
	h.story(h.add(), redeemed)
	export, jwks := h.export(), h.ring.EvidenceJWKS()
	h.Close() // leaves the processor to the fuzzer
	f.Add(export)
	f.Add([]byte("{}\n"))
	f.Add([]byte(`{"v":1,"type":"export","at":"2026-01-01T00:00:00Z","first":0}` + "\n"))
	f.Add([]byte(`{"v":1,"type":"facts","seq":18446744073709551615,"prev":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","at":"2026-01-01T00:00:00Z","sealed":0,"facts":[]}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		report, err := audit.Verify(bytes.NewReader(data), jwks)
		if err == nil && report.OK() && !bytes.Equal(data, export) {
			t.Errorf("%q holds", data)
		}
	})
}
