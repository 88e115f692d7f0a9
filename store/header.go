package store

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ringback/consent"
)

// headerName is the one header of a stored fact.
const headerName = "Ringback"

// label is what of a fact is stored in the clear, for the index. It holds no
// personal data. Its text form is "v=1;p=…;…", members in any order; unknown
// members are skipped.
type label struct {
	V         int               // v: format version of the fact
	Pseudonym consent.Pseudonym // p
	Expires   time.Time         // e: end of the request
	At        time.Time         // a: when the fact says it happened
	Writer    uint32            // w: which process wrote it
	Client    string            // c: client id; asked only
	Group     string            // g: what counts instead of the client, if anything; asked only
	Interval  int               // i: asked only
	Same      [8]byte           // s: asked only
	Binding   [8]byte           // b: tag of the key that asked, if any; asked only
	Verb      string            // d: decided and settled; notified: verbAgain or nothing

	// What only the process knows that has asked; no member of the text.
	Mode   consent.DeliveryMode
	Digest consent.Digest // asked digest
}

// verbAgain marks a notified that did not come through: the client is told
// once more.
const verbAgain = "again"

// String returns the text form. Members that are empty are left out.
func (c *label) String() string {
	b := make([]byte, 0, 160)
	b = append(b, "v="...)
	b = strconv.AppendInt(b, int64(c.V), 10)
	b = append(b, ";p="...)
	b = append(b, c.Pseudonym...)
	b = append(b, ";e="...)
	b = strconv.AppendInt(b, c.Expires.UnixNano(), 36)
	b = append(b, ";a="...)
	b = strconv.AppendInt(b, c.At.UnixNano(), 36)
	b = append(b, ";w="...)
	b = strconv.AppendUint(b, uint64(c.Writer), 36)
	if c.Client != "" {
		b = append(b, ";c="...)
		b = append(b, url.QueryEscape(c.Client)...)
		b = append(b, ";i="...)
		b = strconv.AppendInt(b, int64(c.Interval), 10)
		b = append(b, ";s="...)
		b = hex.AppendEncode(b, c.Same[:])
		if c.Group != "" {
			b = append(b, ";g="...)
			b = append(b, url.QueryEscape(c.Group)...)
		}
		if c.Binding != ([8]byte{}) {
			b = append(b, ";b="...)
			b = hex.AppendEncode(b, c.Binding[:])
		}
	}
	if c.Verb != "" {
		b = append(b, ";d="...)
		b = append(b, c.Verb...)
	}
	return string(b)
}

// errVersion is returned for a fact of a format that this release does not
// know. It is never skipped or discarded.
var errVersion = errors.New("a fact of an unknown format version: upgrade this process")

// maxHeader bounds what parseLabel looks at.
const maxHeader = 4 << 10

// parseLabel reads the text form.
func parseLabel(text string) (label, error) {
	var c label
	if len(text) > maxHeader {
		return c, errors.New("reading a fact's header: too long")
	}
	for text != "" {
		var member string
		member, text, _ = strings.Cut(text, ";")
		name, value, _ := strings.Cut(member, "=")
		var err error
		switch name {
		case "v":
			c.V, err = strconv.Atoi(value)
		case "p":
			c.Pseudonym = consent.Pseudonym(value)
		case "e":
			c.Expires, err = parseNano(value)
		case "a":
			c.At, err = parseNano(value)
		case "w":
			var w uint64
			w, err = strconv.ParseUint(value, 36, 32)
			c.Writer = uint32(w)
		case "c":
			c.Client, err = url.QueryUnescape(value)
		case "g":
			c.Group, err = url.QueryUnescape(value)
		case "i":
			c.Interval, err = strconv.Atoi(value)
		case "s":
			c.Same, err = parseTag(value)
		case "b":
			c.Binding, err = parseTag(value)
		case "d":
			c.Verb = value
		}
		if err != nil {
			return label{}, fmt.Errorf("reading a fact's header: %s: %w", name, err)
		}
	}
	if c.V != consent.Version {
		return c, fmt.Errorf("reading a fact's header: version %d: %w", c.V, errVersion)
	}
	return c, nil
}

func parseNano(text string) (time.Time, error) {
	n, err := strconv.ParseInt(text, 36, 64)
	return time.Unix(0, n).UTC(), err
}

func parseTag(text string) (tag [8]byte, err error) {
	if len(text) != 2*len(tag) {
		return tag, errors.New("not 8 bytes")
	}
	_, err = hex.Decode(tag[:], []byte(text))
	return tag, err
}

// place is where a fact stands: its subject without prefix.
type place struct {
	ID   consent.ID
	Kind consent.FactKind
	N    int // 0 for kinds that are not numbered
}

// numbered tells the kinds that carry a number from those that do not.
var numbered = map[consent.FactKind]bool{
	consent.FactAsked: false, consent.FactDecided: false, consent.FactSettled: false, consent.FactRevoked: false,
	consent.FactTried: true, consent.FactOutcome: true, consent.FactReceipt: true, consent.FactMissed: true, consent.FactRenewed: true,
	consent.FactNotice: true, consent.FactNotified: true,
}

// fact is the subject of one fact.
func (n names) fact(p place) string {
	b := make([]byte, 0, 96)
	b = append(b, n.prefix...)
	b = append(b, ".consent."...)
	b = append(b, p.ID.String()...)
	b = append(b, '.')
	b = append(b, p.Kind...)
	if p.N > 0 {
		b = append(b, '.')
		b = strconv.AppendInt(b, int64(p.N), 10)
	}
	return string(b)
}

// facts is the filter for every fact of one request.
func (n names) facts(id consent.ID) string { return n.subject("consent", id.String(), ">") }

// errSubject is returned for a subject that no fact has.
var errSubject = errors.New("not the subject of a fact")

// parseFact is the inverse of fact.
func (n names) parseFact(subject string) (place, error) {
	rest, ok := strings.CutPrefix(subject, n.prefix+".consent.")
	if !ok {
		return place{}, errSubject
	}
	text, rest, _ := strings.Cut(rest, ".")
	id, err := consent.ParseID(text)
	if err != nil {
		return place{}, errSubject
	}
	kind, number, _ := strings.Cut(rest, ".")
	p := place{ID: id, Kind: consent.FactKind(kind)}
	wants, known := numbered[p.Kind]
	if !known {
		return place{}, errSubject
	}
	if wants {
		if p.N, err = strconv.Atoi(number); err != nil || p.N < 1 {
			return place{}, errSubject
		}
	}
	if n.fact(p) != subject { // one spelling only
		return place{}, errSubject
	}
	return p, nil
}
