package keys

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestReadObject(t *testing.T) {
	t.Parallel()
	many := func(last string) string {
		var b strings.Builder
		for i := range 3 * fewNames {
			fmt.Fprintf(&b, `"name%d":%[1]d,`, i)
		}
		return "{" + b.String() + last + "}"
	}
	for name, row := range map[string]struct {
		text string
		want []string // nil: refused
	}{
		"empty":             {`{}`, []string{}},
		"values":            {`{"a":1,"b":"x","c":[1,{"d":[]}],"d":{"a":null},"e":true}`, []string{"a=1", `b="x"`, `c=[1,{"d":[]}]`, `d={"a":null}`, "e=true"}},
		"white space":       {"{ \"a\"\t:\r\n-1.5e3 , \"b\" : [ ] , \"c\":[ 1 , 2 ]\n}", []string{"a=-1.5e3", "b=[ ]", "c=[ 1 , 2 ]"}},
		"brackets in text":  {`{"}":"]\"}{","{":"\\"}`, []string{`}="]\"}{"`, `{="\\"`}},
		"escaped name":      {`{"\u0061\"":1}`, []string{`a"=1`}},
		"same in and out":   {`{"a":{"a":{"a":1}},"b":{"a":1}}`, []string{`a={"a":{"a":1}}`, `b={"a":1}`}},
		"twice":             {`{"a":1,"a":1}`, nil},
		"twice inside":      {`{"x":[{"a":1,"a":1}]}`, nil},
		"two cases":         {`{"a":1,"A":1}`, nil},
		"two cases, folded": {`{"s":1,"` + "\u017f" + `":1}`, nil},
		"by escape":         {`{"a":1,"\u0041":1}`, nil},
		"lone surrogates":   {`{"\ud800":1,"\ud801":2}`, nil},
		"many, one twice":   {many(`"NAME0":1`), nil},
		"many, last twice":  {many(`"x":1,"X":1`), nil},
		"comma at the end":  {`{"a":1,}`, nil},
		"no comma":          {`{"a":1 "b":2}`, nil},
		"no colon":          {`{"a" 1}`, nil},
		"comment":           {`{"a":1/**/}`, nil},
		"cut":               {`{"a":"`, nil},
		"list":              {`[{}]`, nil},
		"space in front":    {` {}`, nil},
		"space behind":      {`{} `, nil},
		"two":               {`{}{}`, nil},
		"line end in text":  {"{\"a\":\"\n\"}", nil},
		"16 deep":           {strings.Repeat(`{"a":`, 15) + "{}" + strings.Repeat("}", 15), []string{"a=" + strings.Repeat(`{"a":`, 14) + "{}" + strings.Repeat("}", 14)}},
		"17 deep":           {strings.Repeat(`{"a":`, 16) + "{}" + strings.Repeat("}", 16), nil},
		"17 deep in lists":  {`{"a":` + strings.Repeat("[", 16) + strings.Repeat("]", 16) + `}`, nil},
	} {
		var got []string
		err := readObject([]byte(row.text), func(name, value []byte) error {
			got = append(got, string(name)+"="+string(value))
			return nil
		})
		if (err == nil) != (row.want != nil) {
			t.Errorf("%s: readObject = %v, refused: want %v", name, err, row.want == nil)
		} else if diff := cmp.Diff(row.want, got); err == nil && len(got)+len(row.want) > 0 && diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if err := checkObject([]byte(many(`"x":1`))); err != nil {
		t.Errorf("checkObject of many members = %v", err)
	}
	stop := errors.New("stop")
	if err := readObject([]byte(`{"a":1,"b":2}`), func([]byte, []byte) error { return stop }); err != stop {
		t.Errorf("readObject = %v, want the error of take", err)
	}
}

// slowly is checkObject by the decoder of encoding/json alone.
func slowly(data []byte) error {
	if !json.Valid(data) || !utf8.Valid(data) || data[0] != '{' || data[len(data)-1] != '}' {
		return errObject
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var value func(depth int) error
	value = func(depth int) error {
		token, err := dec.Token()
		if err != nil {
			return err
		}
		delim, ok := token.(json.Delim)
		if !ok {
			return nil
		}
		if depth == maxDepth {
			return errors.New("deep")
		}
		seen := map[string]bool{}
		for dec.More() {
			if delim == '{' {
				token, err := dec.Token()
				if err != nil {
					return err
				}
				name := fold([]byte(token.(string)))
				if seen[name] {
					return errors.New("twice")
				}
				seen[name] = true
			}
			if err := value(depth + 1); err != nil {
				return err
			}
		}
		_, err = dec.Token()
		return err
	}
	return value(0)
}

func FuzzCheckObject(f *testing.F) {
	for _, s := range []string{
		`{"a":1}`, `{"a":{"b":[1,{"c":null}]}}`, `{"a":1,"A":2}`, `{}`, `{"a":"\u00e9"}`, `{"\u0061":[],"b":[ ],"c":-1e5}`,
		`{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":0,"k":1,"l":2,"m":3,"n":4,"o":5,"p":6,"q":7,"Q":8}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := checkObject(data)
		if want := slowly(data); (err == nil) != (want == nil) {
			t.Fatalf("checkObject(%q) = %v, encoding/json finds %v", data, err, want)
		}
		if err != nil {
			return
		}
		var v map[string]any
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatalf("checkObject takes %q, encoding/json does not: %v", data, err)
		}
		members := 0
		if err := readObject(data, func(name, value []byte) error {
			members++
			if _, there := v[string(name)]; !there || !json.Valid(value) {
				t.Errorf("readObject(%q) yields %q: %q", data, name, value)
			}
			return nil
		}); err != nil || members != len(v) {
			t.Errorf("readObject(%q) yields %d members, %v, want %d", data, members, err, len(v))
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkObject(again); err != nil {
			t.Errorf("checkObject takes %q and refuses %q: %v", data, again, err)
		}
	})
}

func BenchmarkCheckObject(b *testing.B) {
	data := []byte(`{"iss":"agent","sub":"agent","aud":"https://consent.example.com","exp":1800000300,"iat":1800000000,"jti":"abcdefghijklmnopqrstuvwxyz012345"}`)
	b.ReportAllocs()
	for b.Loop() {
		if err := checkObject(data); err != nil {
			b.Fatal(err)
		}
	}
}
