package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ringback/admin"
	"ringback/audit"
	"ringback/consent"
	"ringback/keys"
	"ringback/store/storetest"
)

// TestRegistrar writes the entries of clients that register themselves; what
// they may read of a refusal tells nothing of others.
func TestRegistrar(t *testing.T) {
	t.Parallel()
	h := open(t)
	r, ctx := h.door.Registrar(), t.Context()
	partner := func(name string) *consent.Client {
		return &consent.Client{Name: name, Registrant: "partner", RegistrationToken: consent.Digest{1}, People: "linked"}
	}
	first := partner("Travel Agent")
	secret, err := r.Add(ctx, first)
	if err != nil || len(secret) != 43 || !strings.HasPrefix(first.ID, "travel-agent-") {
		t.Fatalf("Add = %q, %v; client %+v", secret, err, first)
	}
	if v := h.want(200, "GET", "/clients/"+first.ID, ""); v.body["registrant"] != "partner" || strings.Contains(v.text, "sha256") || v.body["default_resource"] != "https://api.example" {
		t.Errorf("shown as %s", v.text)
	}
	if _, err := r.Add(ctx, partner("Travel Agent")); err != nil {
		t.Errorf("a second client of the same registrant and name: %v", err)
	}
	stranger := partner("TraveI Agent")
	stranger.Registrant = "another"
	for name, c := range map[string]*consent.Client{"name of a registered client": stranger, "name in the file": partner("FiIe Agent")} {
		if _, err := r.Add(ctx, c); !errors.Is(err, consent.ErrInvalid) || !strings.Contains(err.Error(), "client_name: ") || strings.Contains(err.Error(), first.ID) || strings.Contains(err.Error(), "file-agent") {
			t.Errorf("%s: %v", name, err)
		}
	}
	wrong := partner("Push Agent")
	wrong.Mode = consent.Push
	if _, err := r.Add(ctx, wrong); !errors.Is(err, consent.ErrInvalid) || !strings.Contains(err.Error(), "backchannel_client_notification_endpoint: missing") {
		t.Errorf("push to nowhere: %v", err)
	}

	second := partner("Travel Agent")
	second.ID, second.Scope = first.ID, "openid"
	if again, err := r.Replace(ctx, second); err != nil || again != "" || !second.CreatedAt.Equal(first.CreatedAt) {
		t.Errorf("Replace = %q, %v", again, err)
	}
	stored, err := h.Client(ctx, first.ID)
	if err != nil || stored.Scope != "openid" || len(stored.SecretHashes) != 1 || stored.SecretHashes[0] != keys.TokenDigest(secret) {
		t.Errorf("stored %+v, %v", stored, err)
	}
	second.AuthMethod, second.JWKS = consent.MethodPrivateKeyJWT, json.RawMessage(jwks)
	if again, err := r.Replace(ctx, second); err != nil || again != "" || second.SecretHashes != nil {
		t.Errorf("Replace by a client with keys = %q, %v", again, err)
	}
	foreign := *second
	foreign.RegistrationToken = consent.Digest{2}
	if _, err := r.Replace(ctx, &foreign); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("Replace by another token = %v, want ErrNotFound", err)
	}
	foreign.ID = "file-agent"
	if _, err := r.Replace(ctx, &foreign); !errors.Is(err, consent.ErrReadOnly) && !errors.Is(err, consent.ErrInvalid) {
		t.Errorf("Replace of an entry of the file = %v", err)
	}

	req := h.Asked("alice", func(q *consent.Request) { q.Client = consent.Party{ID: first.ID, Name: first.Name} })
	if err := r.Remove(ctx, first.ID); err != nil {
		t.Fatal(err)
	}
	if st, err := h.Get(ctx, req.ID); err != nil || st.Status() != consent.StatusWithdrawn {
		t.Errorf("what it asked is %s, %v, want it withdrawn", st.Status(), err)
	}
	if err := r.Remove(ctx, first.ID); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("second Remove = %v, want ErrNotFound", err)
	}
	if _, err := r.Replace(ctx, second); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("Replace after Remove = %v, want ErrNotFound", err)
	}
}

// TestRegistrarRoom: one registrant cannot fill the store.
func TestRegistrarRoom(t *testing.T) {
	t.Parallel()
	h := open(t)
	var clients []consent.Client
	for i := range 1000 {
		clients = append(clients, consent.Client{ID: fmt.Sprint("c", i), Registrant: "partner"})
	}
	if err := h.SetFile(clients, nil, nil); err != nil {
		t.Fatal(err)
	}
	for registrant, full := range map[string]bool{"partner": true, "another": false} {
		_, err := h.door.Registrar().Add(t.Context(), &consent.Client{Registrant: registrant})
		if full != errors.Is(err, consent.ErrInvalid) || !full && err != nil {
			t.Errorf("Add by %s = %v, want refused: %v", registrant, err, full)
		}
	}
}

// crowded is a directory in which every id is taken.
type crowded struct{ admin.Directory }

func (crowded) AddClient(context.Context, *consent.Client) error { return consent.ErrExists }

// TestRegistrarTaken: that an id which we made up is taken is not the client's
// mistake.
func TestRegistrarTaken(t *testing.T) {
	t.Parallel()
	h := open(t)
	door, err := admin.New(admin.Config{
		Directory: crowded{h.Store}, Token: keys.TokenDigest(token), Store: h.Store, Ring: h.ring, Auditor: audit.New(audit.Config{Source: h.Store, Ring: h.ring, Now: time.Now, Log: storetest.Log()}),
		Policy: func() *consent.Policy { return &consent.Policy{} }, Now: time.Now, Log: storetest.Log(),
		OfferUserCode: func(context.Context, *consent.Person) (time.Time, error) { return time.Time{}, errors.ErrUnsupported },
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := door.Registrar().Add(t.Context(), &consent.Client{Registrant: "partner", DefaultResource: "https://api.example"}); !errors.Is(err, consent.ErrUnavailable) || errors.Is(err, consent.ErrInvalid) {
		t.Errorf("Add = %v, want ErrUnavailable", err)
	}
}
