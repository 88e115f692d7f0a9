package audit

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"ringback/consent"
)

const (
	// readSize is the number of records or pieces of evidence read at once;
	// each may have a few hundred kilobytes.
	readSize = 32
	// sealWithin bounds how long an export waits for the facts stored before
	// it began to be sealed.
	sealWithin = 5 * time.Second
)

// exportLine is the first line of an export.
type exportLine struct {
	V     int       `json:"v"`
	Type  string    `json:"type"`
	At    time.Time `json:"at"`
	First uint64    `json:"first"` // sequence of the first record that follows; 0: there is none
}

// evidenceLine is one finished request in an export.
type evidenceLine struct {
	V          int               `json:"v"`
	Type       string            `json:"type"`
	Seq        uint64            `json:"seq"`
	Request    consent.ID        `json:"request"`
	Person     consent.Pseudonym `json:"person"`
	Evidence   *evidence         `json:"evidence,omitempty"`
	Unreadable string            `json:"unreadable,omitempty"` // goneErased or goneDamaged
	Stored     *consent.Digest   `json:"stored_sha256,omitempty"`
}

// trailerLine is the last line of an export.
type trailerLine struct {
	V    int    `json:"v"`
	Type string `json:"type"`
	JWS  string `json:"jws"` // over trailerClaims
}

// trailerClaims are signed, so that an export cannot be cut or changed.
type trailerClaims struct {
	V        int            `json:"v"`
	At       time.Time      `json:"at"`
	Lines    int            `json:"lines"` // before the trailer
	Records  int            `json:"records"`
	Evidence int            `json:"evidence"`
	Last     uint64         `json:"last"`   // sequence of the last record
	Head     consent.Digest `json:"head"`   // hash of the last record
	SHA256   consent.Digest `json:"sha256"` // of every byte before the trailer
}

// Export writes the chain and all evidence as JSON lines: a header, the
// records as they are stored, the evidence in the clear, and a signed trailer.
// Everything that was stored before the call is in it, unless sealing is more
// than five seconds behind. What was written before an error is no export.
func (a *Auditor) Export(ctx context.Context, w io.Writer) error {
	if err := a.settle(ctx); err != nil {
		return fmt.Errorf("exporting: %w", err)
	}
	out := &exporter{source: a.cfg.Source, w: bufio.NewWriterSize(w, 64<<10), sum: sha256.New()}
	last, ok, err := a.cfg.Source.LastRecord(ctx)
	if err != nil {
		return fmt.Errorf("exporting: %w", err)
	}
	at := a.cfg.Now().UTC().Truncate(time.Millisecond)
	var upTo uint64 // facts
	if ok {
		r, err := readRecord(last.Data)
		if err == nil {
			upTo = r.Sealed
		} // else Verify says what is wrong with it
	}
	if err := out.records(ctx, at, last.Seq); err != nil {
		return fmt.Errorf("exporting records: %w", err)
	}
	if err := out.evidence(ctx, upTo); err != nil {
		return fmt.Errorf("exporting evidence: %w", err)
	}
	out.claims.V, out.claims.At = formatVersion, at
	out.sum.Sum(out.claims.SHA256[:0])
	jws, err := a.cfg.Ring.SignEvidence(typeExport, out.claims)
	if err != nil {
		return fmt.Errorf("signing an export: %w", err)
	}
	if err := out.line(trailerLine{formatVersion, lineTrailer, jws}); err != nil {
		return fmt.Errorf("exporting: %w", err)
	}
	if err := out.w.Flush(); err != nil {
		return fmt.Errorf("exporting: %w", err)
	}
	return nil
}

// settle returns when everything stored so far is sealed. While another
// process seals it waits for that, to keep out of its way, but not for long.
func (a *Auditor) settle(ctx context.Context) error {
	const looks = 20
	begun := a.cfg.Now()
	for range looks {
		var err error
		if a.standing.Load() {
			var late time.Duration
			if late, err = a.late(ctx); err == nil && late <= a.cfg.Now().Sub(begun) {
				return nil
			}
		} else if err = a.seal(ctx, begun); err == nil {
			return nil
		}
		if err != nil && !errors.Is(err, errOvertaken) {
			return err
		}
		if !pause(ctx, sealWithin/looks) {
			return ctx.Err()
		}
	}
	if err := a.seal(ctx, begun); !errors.Is(err, errOvertaken) {
		return err
	}
	return nil
}

// exporter writes lines and keeps account of them.
type exporter struct {
	source Source
	w      *bufio.Writer
	sum    hash.Hash
	claims trailerClaims
}

// line writes v as one line.
func (e *exporter) line(v any) error {
	data, err := encode(v)
	if err != nil {
		return err
	}
	return e.raw(data)
}

func (e *exporter) raw(data []byte) error {
	e.claims.Lines++
	e.sum.Write(data)
	e.sum.Write([]byte{'\n'})
	if _, err := e.w.Write(data); err != nil {
		return err
	}
	return e.w.WriteByte('\n')
}

// records writes the header and the records up to sequence last. Where older
// ones have aged out it begins with a record that is signed, which vouches for
// what it continues.
func (e *exporter) records(ctx context.Context, at time.Time, last uint64) error {
	begun := false
	for after := uint64(0); after < last; {
		batch, err := e.source.Records(ctx, after, readSize)
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			break
		}
		for _, r := range batch {
			if after = r.Seq; after > last {
				break
			}
			if !begun {
				if read, err := readRecord(r.Data); r.Seq != 1 && err == nil && read.Type != lineCheckpoint && read.Type != lineLost {
					continue
				}
				if err := e.line(exportLine{formatVersion, lineExport, at, r.Seq}); err != nil {
					return err
				}
				begun = true
			}
			if err := e.raw(r.Data); err != nil {
				return err
			}
			e.claims.Records++
			e.claims.Last, e.claims.Head = r.Seq, sha256.Sum256(r.Data)
		}
	}
	if !begun {
		return e.line(exportLine{formatVersion, lineExport, at, 0})
	}
	return nil
}

// evidence writes every piece of evidence whose facts are sealed by the
// records written before.
func (e *exporter) evidence(ctx context.Context, sealed uint64) error {
	for after := uint64(0); ; {
		batch, err := e.source.Evidence(ctx, after, readSize)
		if err != nil {
			return err
		}
		for i := range batch {
			after = batch[i].Seq
			line, upTo := readEvidence(&batch[i])
			if upTo > sealed {
				continue
			}
			if err := e.line(line); err != nil {
				return err
			}
			e.claims.Evidence++
		}
		if len(batch) < readSize {
			return nil
		}
	}
}

// readEvidence turns stored evidence into its line and returns the sequence of
// the last fact in it, 0 if it cannot be read.
func readEvidence(s *consent.StoredEvidence) (line evidenceLine, upTo uint64) {
	line = evidenceLine{V: formatVersion, Type: lineEvidence, Seq: s.Seq, Request: s.ID, Person: s.Pseudonym}
	stored := s.Stored
	if !s.Unreadable {
		if plain, err := unpack(s.Data); err == nil {
			ev, err := decode[evidence](plain)
			if err == nil {
				body, err := decode[evidenceBody](ev.Body)
				if err == nil && len(body.Facts) > 0 {
					line.Evidence = ev
					return line, body.Facts[len(body.Facts)-1].Seq
				}
			}
		}
		stored = sha256.Sum256(s.Data)
	}
	line.Unreadable, line.Stored = goneDamaged, &stored
	if s.Erased {
		line.Unreadable = goneErased
	}
	return line, 0
}
