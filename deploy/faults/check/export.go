package check

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"

	"ringback/deploy/faults/journal"
)

// Export is what an export says, read without the service's own reader.
type Export struct {
	Facts    map[journal.ID]map[string]bool // sealed, by name ("asked", "tried.1")
	Evidence map[journal.ID]Evidence
	Records  map[uint64]string // digests of the chain's records, by number
	Broken   []string          // what does not hold
}

// Evidence is what is kept of a finished request.
type Evidence struct{ Verb, Settled string }

// maxLine is the longest line of an export.
const maxLine = 4 << 20

// sealedLine has the members of all kinds of lines that are looked at.
type sealedLine struct {
	Type    string
	Seq     uint64
	Prev    string
	JWS     string
	Request journal.ID
	Person  string
	Facts   []struct {
		Seq        uint64
		Request    journal.ID
		Person     string
		Fact       string
		SHA256     string
		Unreadable string
	}
	Evidence *struct {
		Body json.RawMessage
		JWS  string
	}
	Unreadable string
}

// ReadExport reads an export and checks that its chain is whole, that every
// piece of evidence is of facts that are sealed, and every signature.
func ReadExport(r io.Reader, keys []byte) (*Export, error) {
	signers, err := readKeys(keys)
	if err != nil {
		return nil, err
	}
	x := &reading{
		Export:  Export{Facts: map[journal.ID]map[string]bool{}, Evidence: map[journal.ID]Evidence{}, Records: map[uint64]string{}},
		signers: signers, digests: map[uint64]string{}, erased: map[string]bool{},
	}
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxLine)
	whole := sha256.New()
	for in.Scan() {
		data := in.Bytes()
		if x.ended {
			x.broken("something follows its end")
		}
		x.line(data, whole.Sum(nil))
		whole.Write(data)
		whole.Write([]byte{'\n'})
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("reading an export: %w", err)
	}
	if !x.ended {
		x.broken("its end is missing")
	}
	return &x.Export, nil
}

// reading is an export that is being read.
type reading struct {
	Export
	signers map[string]signer
	digests map[uint64]string // of sealed facts, by sequence
	erased  map[string]bool   // persons whose facts may be unreadable
	lines   int
	seq     uint64 // of the last record
	hash    string // of the last record
	ended   bool
}

func (x *reading) broken(format string, args ...any) {
	x.Broken = append(x.Broken, fmt.Sprintf("line %d: ", x.lines)+fmt.Sprintf(format, args...))
}

// line reads one line; before is the digest of every line before it.
func (x *reading) line(data, before []byte) {
	x.lines++
	var l sealedLine
	if err := json.Unmarshal(data, &l); err != nil {
		x.broken("it is no JSON: %v", err)
		return
	}
	switch l.Type {
	case "export":
	case "facts", "checkpoint", "erased":
		x.record(&l, data)
	case "evidence":
		x.evidence(&l)
	case "trailer":
		var claims struct{ SHA256 string }
		if err := open(x.signers, l.JWS, &claims); err != nil {
			x.broken("its end: %v", err)
		} else if claims.SHA256 != base64.RawURLEncoding.EncodeToString(before) {
			x.broken("its end signs other lines than those before it")
		}
		x.ended = true
	default:
		x.broken("a line of type %q", l.Type)
	}
}

// record reads a link of the chain.
func (x *reading) record(l *sealedLine, data []byte) {
	if x.seq > 0 && (l.Seq != x.seq+1 || l.Prev != x.hash) {
		x.broken("record %d does not follow record %d", l.Seq, x.seq)
	}
	x.seq, x.hash = l.Seq, digest(data)
	x.Records[x.seq] = x.hash
	if l.Type == "erased" {
		x.erased[l.Person] = true
	}
	for _, f := range l.Facts {
		if f.Unreadable != "" && !(f.Unreadable == "erased" && x.erased[f.Person]) {
			x.broken("fact %d (%s of %s) was %s when it was sealed", f.Seq, f.Fact, f.Request, f.Unreadable)
		}
		of := x.Facts[f.Request]
		if of == nil {
			of = map[string]bool{}
			x.Facts[f.Request] = of
		}
		if of[f.Fact] {
			x.broken("fact %d: %s has a second %s", f.Seq, f.Request, f.Fact)
		}
		of[f.Fact] = true
		x.digests[f.Seq] = f.SHA256
	}
	if l.Type == "checkpoint" {
		var claims struct{ Hash string }
		if err := open(x.signers, l.JWS, &claims); err != nil {
			x.broken("a checkpoint: %v", err)
		} else if claims.Hash != l.Prev {
			x.broken("a checkpoint signs another chain")
		}
	}
}

// evidence reads what is kept of a request.
func (x *reading) evidence(l *sealedLine) {
	if l.Evidence == nil && l.Unreadable == "erased" && x.erased[l.Person] {
		return
	}
	if l.Evidence == nil {
		x.broken("the evidence of %s is %s", l.Request, l.Unreadable)
		return
	}
	var body struct {
		Verb, Settled string
		Facts         []struct {
			Seq  uint64
			Fact string
			Data json.RawMessage
		}
	}
	var claims struct{ SHA256 string }
	if err := json.Unmarshal(l.Evidence.Body, &body); err != nil {
		x.broken("the evidence of %s: %v", l.Request, err)
		return
	}
	if err := open(x.signers, l.Evidence.JWS, &claims); err != nil {
		x.broken("the evidence of %s: %v", l.Request, err)
	} else if claims.SHA256 != digest(l.Evidence.Body) {
		x.broken("the evidence of %s is not what was signed", l.Request)
	}
	for _, f := range body.Facts {
		if x.digests[f.Seq] != digest(bytes.TrimSpace(f.Data)) {
			x.broken("the evidence of %s has another %s than was sealed", l.Request, f.Fact)
		}
	}
	x.Evidence[l.Request] = Evidence{body.Verb, body.Settled}
}

// sealing: what was acknowledged is in the chain, and there is evidence of how it
// ended.
func (c *Case) sealing(f *findings) {
	for _, b := range c.Sealed.Broken {
		f.all = append(f.all, Violation{Unsealed, "export: " + b})
	}
	for id, a := range c.Seen.Asked {
		sealed, final := c.Sealed.Facts[id], c.Final[id]
		for fact, must := range map[string]bool{
			"asked": true, "decided": a.Said != "" || final.Verb != "", "settled": len(a.Tokens) > 0 || final.Settled != "",
		} {
			if must && !sealed[fact] {
				f.add(Unsealed, id, "its %s is not in the chain", fact)
			}
		}
		if final.Verb != journal.Denied && final.Settled == "" {
			continue // it may still go on, or nobody answered
		}
		if e := c.Sealed.Evidence[id]; e.Verb != final.Verb || e.Settled != final.Settled {
			f.add(Unsealed, id, "it is %s %s, and its evidence says %q %q", final.Verb, final.Settled, e.Verb, e.Settled)
		}
	}
}

// since: whatever an earlier export has stands in this one too, as it was.
func (c *Case) since(f *findings) {
	for seq, hash := range c.Before.Records {
		if now := c.Sealed.Records[seq]; now != hash {
			f.all = append(f.all, Violation{Unsealed, fmt.Sprintf("export: record %d is %q now, and was %q in one of before", seq, now, hash)})
		}
	}
	for id, e := range c.Before.Evidence {
		if now := c.Sealed.Evidence[id]; now.Verb != e.Verb || e.Settled != "" && now.Settled != e.Settled {
			f.add(Unsealed, id, "its evidence says %q %q, and said %q %q before", now.Verb, now.Settled, e.Verb, e.Settled)
		}
	}
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
