// Package audittest helps tests of exported audit chains.
package audittest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
)

// Mutate returns a copy of an export that one change was made to, and says
// which. The change may leave it as it was.
func Mutate(rnd *rand.Rand, export []byte) (how string, changed []byte) {
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
