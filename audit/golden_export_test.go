package audit_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/audit"
	"ringback/consent"
	"ringback/keys"
)

// golden is a store that was written down: the facts of one request of every
// ending, as they were stored, and a chain and evidence over them in memory.
// Other than in a store of today, nothing in it depends on when it is made.
type golden struct {
	mu       sync.Mutex
	now      time.Time
	facts    []consent.StoredFact
	shown    int // of facts
	records  []consent.StoredRecord
	evidence []consent.StoredEvidence
	erased   map[consent.Pseudonym]bool
}

// goldenFact is one line of testdata/facts.jsonl.
type goldenFact struct {
	Seq    uint64            `json:"seq"`
	ID     consent.ID        `json:"request"`
	Kind   consent.FactKind  `json:"kind"`
	N      int               `json:"n,omitempty"`
	Person consent.Pseudonym `json:"person"`
	At     time.Time         `json:"at"`
	Data   json.RawMessage   `json:"data"`
}

// makeGoldenFacts writes down what a store of today has of every ending, the
// requests one after the other.
func makeGoldenFacts(t *testing.T) {
	t.Helper()
	h := newHouse(t)
	for _, e := range endings {
		h.story(h.add(), e)
	}
	facts, err := h.Facts(t.Context(), 0, 1000)
	h.must(err)
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	for _, f := range facts {
		h.must(enc.Encode(goldenFact{f.Seq, f.ID, f.Kind, f.N, f.Pseudonym, f.At.UTC(), f.Data}))
	}
	audit.WriteGolden(t, "facts.jsonl", out.Bytes())
}

func openGolden(t *testing.T) *golden {
	t.Helper()
	data, err := os.ReadFile("testdata/facts.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	g := &golden{erased: map[consent.Pseudonym]bool{}}
	for line := range bytes.Lines(data) {
		var f goldenFact
		if err := json.Unmarshal(line, &f); err != nil {
			t.Fatal(err)
		}
		g.facts = append(g.facts, consent.StoredFact{Seq: f.Seq, ID: f.ID, Kind: f.Kind, N: f.N, Pseudonym: f.Person, At: f.At, Data: f.Data})
	}
	g.now = g.facts[len(g.facts)-1].At.Add(time.Hour).Truncate(time.Second).Add(123456789)
	return g
}

// readable is f, without its content when the person's key is gone.
func (g *golden) readable(f consent.StoredFact) consent.StoredFact {
	if g.erased[f.Pseudonym] {
		f.Unreadable, f.Erased, f.Stored, f.Data = true, true, sha256.Sum256(f.Data), nil
	}
	return f
}

func (g *golden) Facts(_ context.Context, after uint64, limit int) (out []consent.StoredFact, err error) {
	for _, f := range g.facts[:g.shown] {
		if f.Seq > after && len(out) < limit {
			out = append(out, g.readable(f))
		}
	}
	return out, nil
}

func (g *golden) FactsOf(_ context.Context, ids ...consent.ID) (out []consent.StoredFact, err error) {
	for _, f := range g.facts[:g.shown] {
		if slices.Contains(ids, f.ID) {
			out = append(out, g.readable(f))
		}
	}
	return out, nil
}

func (g *golden) Written() uint64 { return g.facts[len(g.facts)-1].Seq }

func (g *golden) Append(_ context.Context, data []byte, after uint64) (uint64, error) {
	if n := uint64(len(g.records)); n != after {
		return 0, consent.ErrClaimed
	}
	g.records = append(g.records, consent.StoredRecord{Seq: after + 1, At: g.now, Data: data})
	return after + 1, nil
}

func (g *golden) LastRecord(context.Context) (consent.StoredRecord, bool, error) {
	if len(g.records) == 0 {
		return consent.StoredRecord{}, false, nil
	}
	return g.records[len(g.records)-1], true, nil
}

func (g *golden) Records(_ context.Context, after uint64, limit int) (out []consent.StoredRecord, err error) {
	for _, r := range g.records {
		if r.Seq > after && len(out) < limit {
			out = append(out, r)
		}
	}
	return out, nil
}

func (g *golden) PutEvidence(_ context.Context, p consent.Pseudonym, id consent.ID, data []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.evidence = append(g.evidence, consent.StoredEvidence{Seq: uint64(len(g.evidence) + 1), ID: id, Pseudonym: p, At: g.now, Data: data})
	return nil
}

func (g *golden) Evidence(_ context.Context, after uint64, limit int) (out []consent.StoredEvidence, err error) {
	for _, e := range g.evidence {
		if g.erased[e.Pseudonym] {
			e.Unreadable, e.Erased, e.Stored, e.Data = true, true, sha256.Sum256(e.ID[:]), nil
		}
		if e.Seq > after && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, nil
}

// ring is the golden ring of package keys, the evidence key of which signs.
func (g *golden) ring(t *testing.T) *keys.Ring {
	t.Helper()
	root, err := keys.ParseRoot([]byte("bm90IGEgc2VjcmV0OiB0aGlzIGtleSBpcyBnb2xkZW4="))
	if err != nil {
		t.Fatal(err)
	}
	r, err := keys.OpenRing(t.Context(), keys.RingConfig{Root: root, Store: sealedRing{}, Now: func() time.Time { return g.now }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sealedRing is that ring as it is stored.
type sealedRing struct{}

func (sealedRing) LoadKeys(context.Context) ([]byte, uint64, error) {
	data, err := os.ReadFile("../keys/testdata/ring.sealed")
	return data, 1, err
}

func (sealedRing) SaveKeys(context.Context, []byte, uint64) error { return consent.ErrReadOnly }

// seal lets an auditor see one request after the other, as if each had come
// and ended alone, with a checkpoint after some and two people erased: one
// whose request is sealed, one whose facts are still to be.
func (g *golden) seal(t *testing.T) *audit.Auditor {
	t.Helper()
	ctx := t.Context()
	a := audit.New(audit.Config{Source: g, Ring: g.ring(t), Now: func() time.Time { return g.now }, Log: slog.New(slog.DiscardHandler)})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const sealedOf, unsealedOf = 6, 9
	erase := func(p consent.Pseudonym) {
		must(a.Erased(ctx, p))
		g.erased[p] = true
	}
	for n := 0; g.shown < len(g.facts); n++ {
		id, p := g.facts[g.shown].ID, g.facts[g.shown].Pseudonym
		if n == unsealedOf {
			erase(p)
		}
		for g.shown < len(g.facts) && g.facts[g.shown].ID == id {
			g.shown++
		}
		must(audit.Seal(a, ctx))
		if n == sealedOf {
			erase(p)
		}
		if n%4 == 3 {
			must(audit.Checkpoint(ctx, a))
		}
		g.now = g.now.Add(61 * time.Second)
	}
	return a
}

// goldenFile is the content of a file under testdata.
func goldenFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// figures are a report in words.
func figures(r audit.Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s records=%d-%d facts=%d checkpoints=%d erased=%d older=%d failures=%d\n",
		r.At.Format(time.RFC3339Nano), r.First, r.Last, r.Facts, r.Checkpoints, r.Erased, r.Older, len(r.Failures)+r.More)
	for _, d := range r.Decisions {
		fmt.Fprintf(&b, "%s %s %s by=%s acr=%s renewals=%d revoked=%v %s\n", d.At.Format(time.RFC3339Nano), d.Verb, d.Settled, d.Means, d.ACR, d.Renewals, d.Revoked, d.Proof)
	}
	return b.String()
}

// TestExportStays pins a chain over facts of every kind, the evidence of
// requests of every ending, and the export of both, whole and without the
// records that have aged out: what is sealed and signed today is what was
// sealed and signed then, and Verify says of that what it said then.
func TestExportStays(t *testing.T) {
	t.Parallel()
	if *audit.Golden {
		makeGoldenFacts(t)
	}
	g := openGolden(t)
	a := g.seal(t)
	jwks := goldenFile(t, "../../keys/testdata/evidence.json")
	if *audit.Golden {
		var out bytes.Buffer
		if err := a.Export(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		audit.WriteGolden(t, "export.jsonl", out.Bytes())
	}
	whole := slices.Collect(strings.Lines(string(goldenFile(t, "export.jsonl"))))
	aged := append([]string{goldenAgedHeader}, whole[goldenCheckpoint:len(whole)-1]...)
	aged = append(aged, goldenAgedTrailer)
	for _, row := range []struct {
		name   string
		export []string
		first  uint64 // record that is left
		want   string
	}{{"the whole export", whole, 1, goldenReport}, {"the aged export", aged, goldenCheckpoint, goldenAgedReport}} {
		g.records = slices.DeleteFunc(g.records, func(r consent.StoredRecord) bool { return r.Seq < row.first })
		var out strings.Builder
		if err := a.Export(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(row.export, slices.Collect(strings.Lines(out.String()))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.name, diff)
		}
		report, err := audit.Verify(strings.NewReader(strings.Join(row.export, "")), jwks)
		if err != nil || !report.OK() {
			t.Errorf("Verify of %s = %v, %+v", row.name, err, report.Failures)
		}
		if diff := cmp.Diff(row.want, figures(report)); diff != "" {
			t.Errorf("report of %s (-want +got):\n%s", row.name, diff)
		}
	}
}

// TestPackedEvidenceStays pins evidence as it is stored: it unpacks to what
// the export shows of it.
func TestPackedEvidenceStays(t *testing.T) {
	t.Parallel()
	if *audit.Golden {
		g := openGolden(t)
		g.seal(t)
		audit.WriteGolden(t, "evidence.s2", g.evidence[goldenEvidence-1].Data)
	}
	plain, err := audit.Unpack(goldenFile(t, "evidence.s2"))
	if err != nil {
		t.Fatal(err)
	}
	line := []byte(`{"v":1,"type":"evidence","seq":` + strconv.Itoa(goldenEvidence) + `,`)
	for shown := range bytes.Lines(goldenFile(t, "export.jsonl")) {
		if bytes.HasPrefix(shown, line) {
			if !bytes.Contains(shown, append([]byte(`,"evidence":`), plain...)) {
				t.Errorf("unpacked evidence = %s\nwant that of %s", plain, shown)
			}
			return
		}
	}
	t.Error("the export has no such evidence")
}

const (
	goldenCheckpoint = 5 // a checkpoint's record
	goldenEvidence   = 3 // the richest one: less was granted than was asked

	goldenAgedHeader  = `{"v":1,"type":"export","at":"2026-12-01T13:55:57.123Z","first":5}` + "\n"
	goldenAgedTrailer = `{"v":1,"type":"trailer","jws":"eyJhbGciOiJFUzI1NiIsImtpZCI6Il9fY29WVWJWQ2hqLUpfLTUiLCJ0eXAiOiJleHBvcnQrandzIn0.eyJ2IjoxLCJhdCI6IjIwMjYtMTItMDFUMTM6NTU6NTcuMTIzWiIsImxpbmVzIjoyNSwicmVjb3JkcyI6MTQsImV2aWRlbmNlIjoxMCwibGFzdCI6MTgsImhlYWQiOiIzUjYtbDhBcnUtbThOUmN1alIwQXNveV9KSE1ia1FIelBPWEp6SmNONDlvIiwic2hhMjU2Ijoia2Y1bTJQTDNobm5uWXpMMFZqb2xtY2N5MFZ4aU9UbUtPeWsyVVhiNlRFMCJ9.3jGexWjLTOhyFlfsqeyUNbrozmrG-jaaSq4_q0DrZeoAJJbT_w-WZ2K3cZoQNf1RkBcwitwkkAQ69J0RIzsWeg"}` + "\n"

	goldenReport = `2026-12-01T13:55:57.123Z records=1-18 facts=107 checkpoints=3 erased=1 older=0 failures=0
2026-12-01T12:42:44.086424012Z approved redeemed by=reply acr=urn:ringback:acr:tap renewals=0 revoked=true attested-by-server
2026-12-01T12:42:44.097762109Z approved redeemed by=reply acr=urn:ringback:acr:tap renewals=3 revoked=false attested-by-server
2026-12-01T12:42:44.106022612Z approved redeemed by=reply acr=urn:ringback:acr:tap renewals=0 revoked=false attested-by-server
2026-12-01T12:42:44.114371862Z approved redeemed by=dev acr=urn:ringback:acr:tap renewals=0 revoked=false attested-by-server
2026-12-01T12:42:44.11875413Z approved cancelled by=reply acr=urn:ringback:acr:tap renewals=0 revoked=false attested-by-server
2026-12-01T12:42:44.12552959Z approved lapsed by=reply acr=urn:ringback:acr:tap renewals=0 revoked=false attested-by-server
2026-12-01T12:42:44.145934743Z denied  by=page acr= renewals=0 revoked=false attested-by-server
2026-12-01T12:42:44.151976183Z withdrawn  by=client acr= renewals=0 revoked=false attested-by-server
2026-12-01T12:47:45.165358187Z expired  by=clock acr= renewals=0 revoked=false attested-by-server
`

	goldenAgedReport = `2026-12-01T13:55:57.123Z records=5-18 facts=71 checkpoints=3 erased=1 older=4 failures=0
2026-12-01T12:42:44.086424012Z approved redeemed by=reply acr=urn:ringback:acr:tap renewals=0 revoked=false attested-by-server
2026-12-01T12:42:44.097762109Z approved redeemed by=reply acr=urn:ringback:acr:tap renewals=0 revoked=false attested-by-server
2026-12-01T12:42:44.106022612Z approved redeemed by=reply acr=urn:ringback:acr:tap renewals=0 revoked=false attested-by-server
2026-12-01T12:42:44.114371862Z approved redeemed by=dev acr=urn:ringback:acr:tap renewals=0 revoked=false attested-by-server
2026-12-01T12:42:44.11875413Z approved cancelled by=reply acr=urn:ringback:acr:tap renewals=0 revoked=false attested-by-server
2026-12-01T12:42:44.12552959Z approved lapsed by=reply acr=urn:ringback:acr:tap renewals=0 revoked=false attested-by-server
2026-12-01T12:42:44.145934743Z denied  by=page acr= renewals=0 revoked=false attested-by-server
2026-12-01T12:42:44.151976183Z withdrawn  by=client acr= renewals=0 revoked=false attested-by-server
2026-12-01T12:47:45.165358187Z expired  by=clock acr= renewals=0 revoked=false attested-by-server
`
)
