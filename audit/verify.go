package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"ringback/consent"
	"ringback/keys"
)

// maxLine is the longest line of an export, in bytes.
const maxLine = maxUnpacked + 64<<10

// Verify checks an export with the public evidence keys, which must come from
// elsewhere: an export must not vouch for itself. It recomputes every hash,
// digest and signature, and checks that the facts of each request follow the
// rules of deciding. The error is about reading alone; what does not hold is
// in the Report.
func Verify(r io.Reader, jwks []byte) (Report, error) {
	set, err := keys.ParseKeySet(jwks)
	if err != nil {
		return Report{}, err
	}
	v := newVerifier(set)
	err = v.read(r)
	return v.report, err
}

func newVerifier(set *keys.KeySet) *verifier {
	return &verifier{
		keys: set, sum: sha256.New(),
		traces: make(map[consent.ID]*trace), erased: make(map[consent.Pseudonym]bool),
	}
}

// read checks a whole export. The error is about reading alone.
func (v *verifier) read(r io.Reader) error {
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := readLine(in)
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, errLine) {
			v.where = fmt.Sprintf("line %d", v.lines+1)
			v.fail("%v", err)
			return nil // lines cannot be told apart from here on
		}
		if err != nil {
			return fmt.Errorf("reading an export: %w", err)
		}
		v.line(line)
	}
	v.end()
	return nil
}

var errLine = errors.New("the line does not end, or is too long")

// readLine returns the next line without its end, which must be there.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, errLine
		}
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, errLine
		default:
			return nil, err
		}
	}
}

// verifier goes through an export once, line by line.
type verifier struct {
	keys   *keys.KeySet
	report Report
	where  string // what failures are about

	stage    stage
	lines    int // read before this one
	sum      hash.Hash
	header   *exportLine
	records  int
	evidence int
	thread
	closed  bool // the chain has ended
	traces  map[consent.ID]*trace
	erased  map[consent.Pseudonym]bool
	lost    []declared
	doubts  []doubt
	lastSeq uint64 // of evidence
	kept    *kept  // to compare with another export; nil: not wanted
}

// stage is how far an export has been read.
type stage int

const (
	atHeader stage = iota
	atRecords
	atEvidence
	atEnd
)

// trace is what the chain says about one request.
type trace struct {
	person   consent.Pseudonym
	facts    []traced
	finished uint64 // by this fact; 0: not yet
	proven   bool   // there is evidence
	bad      bool   // its facts break a rule
	renewals int    // number of the last one
	late     int    // renewals after it was revoked
}

// traced is one sealed fact.
type traced struct {
	seq        uint64
	kind       consent.FactKind
	n          int
	sha256     consent.Digest
	unreadable bool
	finishes   bool
}

func (v *verifier) fail(format string, args ...any) { v.report.fail(v.where, format, args...) }

// line checks the next line.
func (v *verifier) line(data []byte) {
	v.where = fmt.Sprintf("line %d", v.lines+1)
	kind := lineType(data)
	if kind == lineTrailer && v.stage != atEnd {
		v.trailer(data)
		return
	}
	defer func() {
		v.lines++
		v.sum.Write(data)
		v.sum.Write([]byte{'\n'})
	}()
	switch {
	case v.stage == atEnd:
		v.fail("something follows the trailer")
	case v.stage == atHeader && kind != lineExport:
		v.fail("the export does not begin with its header")
		v.stage = atRecords
	case kind == lineExport:
		if v.stage != atHeader {
			v.fail("a second header")
			return
		}
		v.stage = atRecords
		h, err := decode[exportLine](data)
		if err != nil || h.V != formatVersion {
			v.fail("the header is %v", errOr(err, "of another format"))
			return
		}
		v.header, v.report.At = h, h.At
	case kind == lineFacts || kind == lineCheckpoint || kind == lineErased || kind == lineLost:
		if v.stage != atRecords {
			v.fail("a record after the evidence")
		}
		v.record(data)
	case kind == lineEvidence:
		v.stage = atEvidence
		v.endChain()
		v.evidenceLine(data)
	default:
		v.fail("the line is of no known type")
	}
}

// lineType returns the type of a line in canonical form, else nothing.
func lineType(data []byte) string {
	rest, ok := bytes.CutPrefix(data, []byte(`{"v":1,"type":"`))
	if !ok {
		return ""
	}
	name, _, ok := bytes.Cut(rest, []byte(`"`))
	if !ok || len(name) > 16 {
		return ""
	}
	return string(name)
}

func errOr(err error, text string) error {
	if err != nil {
		return err
	}
	return errors.New(text)
}

// open verifies a JWS of the evidence key and decodes its canonical payload.
func open[T any](v *verifier, jws, typ string) (*T, error) {
	payload, err := v.keys.Verify(jws, typ)
	if err != nil {
		return nil, err
	}
	return decode[T](payload)
}

// trailer checks the signature over everything before it.
func (v *verifier) trailer(data []byte) {
	v.stage = atEnd
	v.endChain()
	t, err := decode[trailerLine](data)
	if err != nil || t.V != formatVersion {
		v.fail("the trailer is %v", errOr(err, "of another format"))
		return
	}
	c, err := open[trailerClaims](v, t.JWS, typeExport)
	if err != nil {
		v.fail("the trailer's signature does not hold: %v", err)
		return
	}
	var sum consent.Digest
	v.sum.Sum(sum[:0])
	if c.V != formatVersion {
		v.fail("the trailer is of format %d, this program reads %d", c.V, formatVersion)
	}
	if c.SHA256 != sum {
		v.fail("the export is not what was signed: its bytes differ")
	}
	if c.Lines != v.lines {
		v.fail("%d lines were signed, %d are there", c.Lines, v.lines)
	}
	if c.Records != v.records {
		v.fail("%d records were signed, %d are there", c.Records, v.records)
	}
	if c.Evidence != v.evidence {
		v.fail("evidence of %d requests was signed, of %d it is there", c.Evidence, v.evidence)
	}
	var last uint64
	if v.last != nil {
		last = v.last.Seq
	}
	if c.Last != last || c.Head != v.hash {
		v.fail("the chain was signed up to record %d, here it ends with record %d or otherwise", c.Last, last)
	}
	if v.header != nil && !c.At.Equal(v.header.At) {
		v.fail("header and trailer are of different exports")
	}
}

// end checks what can only be said about the whole.
func (v *verifier) end() {
	v.endChain()
	v.where = "end"
	if v.stage != atEnd {
		v.fail("the trailer is missing: the export was cut")
	}
	for id, t := range v.traces {
		switch {
		case t.finished == 0 || t.proven:
		case v.erased[t.person]:
			v.report.Erased++
		case v.unproven(id, t.finished):
			v.report.Unproven++
		default:
			v.where = "request " + id.String()
			v.fail("the request is finished, but there is no evidence of it")
		}
	}
	slices.SortFunc(v.report.Decisions, func(a, b Decision) int {
		return cmp.Or(a.At.Compare(b.At), bytes.Compare(a.Request[:], b.Request[:]))
	})
}
