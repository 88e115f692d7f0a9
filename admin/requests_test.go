package admin_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/audit"
	"ringback/consent"
)

// TestWithdraw takes requests back in every state.
func TestWithdraw(t *testing.T) {
	t.Parallel()
	h := open(t)
	now := time.Now()
	settle := func(verb consent.SettleVerb) func(*consent.Request, consent.Decision) error {
		return func(req *consent.Request, d consent.Decision) error {
			_, err := h.Settle(t.Context(), req.ID, consent.Settlement{V: 1, Verb: verb, GrantedDigest: d.GrantedDigest, At: now, Nonce: "n"})
			return err
		}
	}
	for _, tt := range []struct {
		name   string
		verb   consent.Verb // empty: undecided
		then   func(*consent.Request, consent.Decision) error
		status int
		want   consent.Status
	}{
		{"pending", "", nil, 200, consent.StatusWithdrawn},
		{"approved", consent.Approved, nil, 200, consent.StatusCancelled},
		{"redeemed", consent.Approved, settle(consent.Redeemed), 200, consent.StatusRevoked},
		{"denied", consent.Denied, nil, 409, consent.StatusDenied},
		{"expired", consent.Expired, nil, 409, consent.StatusExpired},
		{"lapsed", consent.Approved, settle(consent.Lapsed), 409, consent.StatusExpired},
		{"cancelled", consent.Approved, settle(consent.Cancelled), 409, consent.StatusCancelled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := h.Asked("alice")
			if tt.verb != "" {
				d := h.Decision(req, tt.verb)
				if _, err := h.Decide(t.Context(), req.ID, d); err != nil {
					t.Fatal(err)
				}
				if tt.then != nil {
					if err := tt.then(req, d); err != nil {
						t.Fatal(err)
					}
				}
			}
			a := h.want(tt.status, "POST", "/requests/"+req.ID.String()+"/withdraw", "")
			st, err := h.Get(t.Context(), req.ID)
			if err != nil {
				t.Fatal(err)
			}
			if st.Status() != tt.want || !strings.Contains(a.text, string(tt.want)) {
				t.Errorf("withdrawing = %s, then it is %s, want %s", a.text, st.Status(), tt.want)
			}
			h.want(409, "POST", "/requests/"+req.ID.String()+"/withdraw", "") // again changes nothing
		})
	}
	h.want(404, "POST", "/requests/"+consent.NewID().String()+"/withdraw", "")
	h.want(404, "POST", "/requests/x/withdraw", "")
}

// TestWithdrawRace withdraws while the person approves: one of them wins, and
// the answer tells which.
func TestWithdrawRace(t *testing.T) {
	t.Parallel()
	h := open(t)
	for range 20 {
		req := h.Asked("alice")
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = h.Decide(t.Context(), req.ID, h.Decision(req, consent.Approved)) })
		var a answer
		wg.Go(func() { a = h.call("POST", "/requests/"+req.ID.String()+"/withdraw", "") })
		wg.Wait()
		st, err := h.Get(t.Context(), req.ID)
		if err != nil {
			t.Fatal(err)
		}
		// An approval that came first is cancelled: either way nothing is granted.
		if s := st.Status(); a.status != 200 || s != consent.StatusWithdrawn && s != consent.StatusCancelled || a.body["status"] != string(s) {
			t.Errorf("withdraw = %d %s; then the request is %s", a.status, a.text, s)
		}
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	h := open(t)
	var pending []string
	for range 5 {
		pending = append(pending, h.Asked("alice").ID.String())
	}
	bearers := h.Asked("alice", func(r *consent.Request) {
		r.Bearers = consent.Bearers{MatchCode: "4711", NotificationToken: "canary-token"}
	})
	denied := h.Asked("alice", func(r *consent.Request) { r.Client = consent.Party{ID: "other", Name: "Other"} })
	if _, err := h.Decide(t.Context(), denied.ID, h.Decision(denied, consent.Denied)); err != nil {
		t.Fatal(err)
	}
	h.Eventually("all in memory", func() bool { return len(h.want(200, "GET", "/requests", "").items("id")) == 7 })
	if got := h.want(200, "GET", "/requests?status=denied", "").items("id"); !slices.Equal(got, []string{denied.ID.String()}) {
		t.Errorf("denied = %v", got)
	}
	if got := h.want(200, "GET", "/requests?client=other", "").items("id"); !slices.Equal(got, []string{denied.ID.String()}) {
		t.Errorf("of other = %v", got)
	}
	var paged []string
	after := ""
	for range 10 {
		a := h.want(200, "GET", "/requests?status=pending&limit=2&after="+after, "")
		paged = append(paged, a.items("id")...)
		if after, _ = a.body["next"].(string); after == "" {
			break
		}
	}
	for _, id := range pending {
		if n := strings.Count(fmt.Sprint(paged), id); n != 1 {
			t.Errorf("request %s is %d times on the pages", id, n)
		}
	}
	a := h.want(200, "GET", "/requests/"+bearers.ID.String(), "")
	for _, s := range []string{"4711", "canary-token", "match_code", "salt"} {
		if strings.Contains(a.text, s) {
			t.Errorf("a request shows %q: %s", s, a.text)
		}
	}
	if a.body["approver"] != "alice" || a.body["status"] != "pending" {
		t.Errorf("request = %s", a.text)
	}
	for _, q := range []string{"status=open", "stuck=yes"} {
		h.want(400, "GET", "/requests?"+q, "")
	}
	h.want(404, "GET", "/requests/x", "")
	h.want(404, "GET", "/requests/"+consent.NewID().String(), "")
	if got := h.want(200, "GET", "/requests?stuck=true", "").items("id"); len(got) != 0 {
		t.Errorf("stuck = %v, want none", got)
	}
}

// TestRemoveClient ends what a client has open.
func TestRemoveClient(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.want(201, "POST", "/clients", `{"client_id":"gone","client_name":"Gone"}`)
	of := func(r *consent.Request) { r.Client = consent.Party{ID: "gone", Name: "Gone"} }
	open, approved := h.Asked("alice", of), h.Asked("alice", of)
	if _, err := h.Decide(t.Context(), approved.ID, h.Decision(approved, consent.Approved)); err != nil {
		t.Fatal(err)
	}
	h.Eventually("both in memory", func() bool { return len(h.want(200, "GET", "/requests?client=gone", "").items("id")) == 2 })
	if a := h.want(200, "DELETE", "/clients/gone", ""); a.body["withdrawn"] != 2.0 {
		t.Errorf("removing = %s, want two withdrawn", a.text)
	}
	for id, want := range map[consent.ID]consent.Status{open.ID: consent.StatusWithdrawn, approved.ID: consent.StatusCancelled} {
		if st, err := h.Get(t.Context(), id); err != nil || st.Status() != want {
			t.Errorf("request is %v (%v), want %s", st.Status(), err, want)
		}
	}
}

// TestExport writes what verify accepts with keys taken another way.
func TestExport(t *testing.T) {
	t.Parallel()
	h := open(t)
	req := h.Asked("alice")
	h.want(200, "POST", "/requests/"+req.ID.String()+"/withdraw", "")
	var text string
	h.Eventually("the request in the export", func() bool {
		text = h.want(200, "GET", "/export", "").text
		return strings.Contains(text, req.ID.String())
	})
	report, err := audit.Verify(strings.NewReader(text), []byte(h.want(200, "GET", "/keys/evidence", "").text))
	if err != nil || len(report.Failures) > 0 {
		t.Errorf("Verify(export) = %+v, %v", report.Failures, err)
	}
}
