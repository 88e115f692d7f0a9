package audit_test

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/audit"
	"ringback/consent"
	"ringback/store/storetest"
)

func TestEveryEnding(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.run()
	want := map[consent.ID]audit.Decision{}
	for _, e := range endings {
		req := h.story(h.add(), e)
		d := audit.Decision{Request: req.ID, Verb: consent.Approved, Means: consent.ByReply, ACR: consent.ACRTap, Proof: audit.AttestedByServer}
		switch e {
		case redeemed:
			d.Settled, d.Revoked = consent.Redeemed, true
		case renewed:
			d.Settled, d.Renewals = consent.Redeemed, 3
		case narrowed:
			d.Settled = consent.Redeemed
		case byDev:
			d.Settled, d.Means = consent.Redeemed, consent.ByDev
		case cancelled:
			d.Settled = consent.Cancelled
		case lapsed:
			d.Settled = consent.Lapsed
		case denied:
			d.Verb, d.ACR = consent.Denied, ""
		case notMe:
			d.Verb, d.ACR, d.Means = consent.Denied, "", consent.ByPage
		case withdrawn:
			d.Verb, d.ACR, d.Means = consent.Withdrawn, "", consent.ByClient
		case operator:
			d.Verb, d.ACR, d.Means = consent.Withdrawn, "", consent.ByAdmin
		case expired:
			d.Verb, d.ACR, d.Means = consent.Expired, "", consent.ByClock
		case open, approved:
			continue
		}
		want[req.ID] = d
	}
	report := h.holds(h.export())
	got := map[consent.ID]audit.Decision{}
	for _, d := range report.Decisions {
		if d.At.IsZero() {
			t.Errorf("decision of %s has no time", d.Request)
		}
		d.At = want[d.Request].At
		got[d.Request] = d
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decisions (-want +got):\n%s", diff)
	}
	if report.Facts < 60 || report.First != 1 || report.Last == 0 || report.Erased != 0 {
		t.Errorf("report = %+v", report)
	}
	if lag := h.auditor.Lag(); lag != 0 {
		t.Errorf("Lag() = %v after everything is sealed", lag)
	}
}

func TestExportOfNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	report := h.holds(h.export())
	if report.Facts != 0 || report.Last != 0 || len(report.Decisions) != 0 || report.At.IsZero() {
		t.Errorf("report = %+v", report)
	}
}

// TestExportHoldsNoBearer looks for the codes and tokens of requests.
func TestExportHoldsNoBearer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	person := h.add()
	req := h.Asked(person, func(r *consent.Request) {
		r.Bearers = consent.Bearers{MatchCode: "7193", NotificationToken: "notification-token-9f2c"}
	})
	state, err := h.Get(t.Context(), req.ID)
	h.must(err)
	d, err := consent.Decide(state, consent.Evidence{Verb: consent.Denied, By: person, Means: consent.ByReply, Nonce: "n"}, h.types, h.Config.Now())
	h.must(err)
	_, err = h.Decide(t.Context(), req.ID, d)
	h.must(err)
	out := h.export()
	h.holds(out)
	for _, bearer := range []string{`"7193"`, "notification-token", "bearers"} {
		if bytes.Contains(out, []byte(bearer)) {
			t.Errorf("the export has %s", bearer)
		}
	}
}

// TestRecordsHoldNothingPersonal: before the evidence, an export has digests
// and pseudonyms only.
func TestRecordsHoldNothingPersonal(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	person := h.add()
	h.story(person, redeemed)
	for line := range strings.Lines(string(h.export())) {
		if strings.Contains(line, `"type":"evidence"`) {
			continue
		}
		for _, personal := range []string{person, "Alice", "agent", "W4SCT", "data_access", "api.example", "sms", "approved"} {
			if strings.Contains(line, personal) {
				t.Errorf("a record has %q: %s", personal, line)
			}
		}
	}
}

func TestErasure(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, bob := h.add(), h.add()
	for _, e := range []ending{redeemed, denied} {
		h.story(alice, e)
		h.story(bob, e)
	}
	h.holds(h.export())

	// Facts that are stored but not sealed yet when the key goes.
	h.story(alice, notMe)
	h.must(h.auditor.Erased(t.Context(), h.Pseudonym(alice)), h.RemovePerson(t.Context(), alice))
	report := h.holds(h.export())
	if report.Erased != 2 || len(report.Decisions) != 2 {
		t.Errorf("%d erased, %d decisions, want 2 and 2: what was finished before", report.Erased, len(report.Decisions))
	}

	// The same without a record of the erasure is a failure.
	h.must(h.RemovePerson(t.Context(), bob))
	if report := h.verify(h.export()); report.OK() {
		t.Error("evidence that vanished without an erasure on record holds")
	}
	h.must(h.auditor.Erased(t.Context(), h.Pseudonym(bob)))
	report = h.holds(h.export())
	if report.Erased != 4 || len(report.Decisions) != 0 {
		t.Errorf("%d erased, %d decisions, want 4 and 0", report.Erased, len(report.Decisions))
	}

	// A person added anew has a new key; the old evidence stays unreadable.
	h.must(h.AddPerson(t.Context(), &consent.Person{ID: alice}))
	h.story(alice, redeemed)
	if report := h.holds(h.export()); len(report.Decisions) != 1 || report.Erased != 4 {
		t.Errorf("%d erased, %d decisions, want 4 and 1", report.Erased, len(report.Decisions))
	}
}

// TestResume: an auditor that stops anywhere leaves a chain that the next one
// continues.
func TestResume(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for n := range 6 {
		stop := h.run()
		h.story(h.add(), endings[n])
		if n%2 == 0 {
			h.Eventually("sealing", func() bool { h.auditor.Wake(); return h.sealed() > uint64(n) })
		}
		stop()
		h.story(h.add(), endings[n])
		fresh := over(t, h.House)
		h.auditor = fresh.auditor
	}
	report := h.holds(h.export())
	if len(report.Decisions) != 12 {
		t.Errorf("%d decisions, want 12", len(report.Decisions))
	}
}

// sealed returns the length of the chain.
func (h *house) sealed() uint64 {
	last, _, err := h.LastRecord(context.Background())
	h.must(err)
	return last.Seq
}

func TestRotationOfTheEvidenceKey(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.story(h.add(), redeemed)
	h.export()
	old := h.ring.EvidenceJWKS()
	h.must(h.ring.RotateEvidence(t.Context()))
	h.story(h.add(), redeemed)
	out := h.export()
	if report := h.holds(out); len(report.Decisions) != 2 {
		t.Errorf("%d decisions, want 2", len(report.Decisions))
	}
	// The next key was published before it signed.
	report, err := audit.Verify(bytes.NewReader(out), old)
	if err != nil || !report.OK() {
		t.Errorf("with keys taken before the rotation: %v, %v", report.Failures, err)
	}
}

func TestForeignKeys(t *testing.T) {
	t.Parallel()
	h, other := newHouse(t), newHouse(t)
	h.story(h.add(), redeemed)
	out := h.export()
	report, err := audit.Verify(bytes.NewReader(out), other.ring.EvidenceJWKS())
	if err != nil || report.OK() || len(report.Decisions) != 0 {
		t.Errorf("with another service's keys: %d decisions, %v, %v", len(report.Decisions), report.Failures, err)
	}
	if report, _ := audit.Verify(bytes.NewReader(out), h.ring.JWKS()); report.OK() {
		t.Error("the token keys vouch for evidence")
	}
	for _, bad := range []string{"", "{}", `{"keys":[]}`} {
		if _, err := audit.Verify(bytes.NewReader(out), []byte(bad)); err == nil {
			t.Errorf("Verify with keys %q succeeded", bad)
		}
	}
}

// TestAuditorsDoNotFork: several processes over one server, all of them eager.
func TestAuditorsDoNotFork(t *testing.T) {
	t.Parallel()
	first := newHouse(t, storetest.NewServer(t).Use)
	houses := []*house{first, over(t, first.Beside()), over(t, first.Beside())}
	for _, h := range houses {
		h.run()
	}
	for n := range 8 {
		for i, h := range houses {
			h.people = 100*i + n
			h.story(h.add(), endings[n])
			for _, other := range houses {
				other.auditor.Wake()
			}
		}
	}
	for _, h := range houses {
		h.must(h.auditor.Erased(t.Context(), h.Pseudonym("nobody")))
	}
	var oldest consent.ID
	for i, h := range houses {
		report := h.holds(h.export())
		if len(report.Decisions) != 24 {
			t.Errorf("%d decisions, want 24", len(report.Decisions))
		}
		if id := report.Decisions[0].Request; i > 0 && id != oldest {
			t.Error("two processes export different stories")
		} else {
			oldest = id
		}
	}
}

// TestBehind: what has waited for long is sealed in long records.
func TestBehind(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	person := h.add()
	const stories = 40 // of eight facts and more
	for range stories {
		h.story(person, redeemed)
	}
	h.must(audit.Seal(h.auditor, t.Context()))
	first := h.sealed()
	for range stories {
		h.story(person, redeemed)
	}
	h.auditor = audit.New(audit.Config{Source: h.Store, Ring: h.ring, Now: late(time.Now()), Log: storetest.Log()})
	h.auditor.Wake()
	h.must(audit.Seal(h.auditor, t.Context()))
	if more := h.sealed() - first; first < 2 || more != 1 {
		t.Errorf("%d records of what is new, then %d of what is old, want at least 2 and 1", first, more)
	}
	if report := h.holds(h.export()); len(report.Decisions) != 2*stories {
		t.Errorf("%d decisions, want %d", len(report.Decisions), 2*stories)
	}
}

// late is a clock that jumps ahead by a minute after its first reading.
func late(now time.Time) func() time.Time {
	var reads atomic.Int64
	return func() time.Time {
		if reads.Add(1) == 1 {
			return now
		}
		return now.Add(time.Minute)
	}
}
