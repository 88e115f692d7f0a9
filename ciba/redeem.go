package ciba

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"ringback/clients"
	"ringback/consent"
	"ringback/keys"
)

const (
	typeAccess = "at+jwt" // RFC 9068 §2.1
	typeID     = "JWT"

	// maxClaims bounds the claims of an access token, so that it can always be
	// signed once it is settled. What is left over is for the header, the
	// signature, and what an approval adds.
	maxClaims = keys.MaxToken*3/4 - 1024
)

// accessClaims are those of an access token (RFC 9068 §2.2, RFC 9396 §9).
type accessClaims struct {
	Issuer        string                `json:"iss"`
	Subject       string                `json:"sub"`
	Audience      string                `json:"aud"`
	ClientID      string                `json:"client_id"`
	IssuedAt      int64                 `json:"iat"`
	Expiry        int64                 `json:"exp"`
	JTI           string                `json:"jti"` // the request's id, which opens nothing
	Scope         string                `json:"scope,omitempty"`
	Details       json.RawMessage       `json:"authorization_details,omitempty"`
	ACR           string                `json:"acr,omitempty"`
	AMR           []string              `json:"amr,omitempty"`
	AuthTime      int64                 `json:"auth_time,omitempty"`
	GrantedDigest consent.Digest        `json:"granted_digest,omitzero"`
	Approval      *approval             `json:"ringback_approval,omitempty"` // of a client's own token, instead of the four above
	Confirmation  *clients.Confirmation `json:"cnf,omitempty"`
}

// idClaims are those of an ID token (OpenID Connect Core §2, CIBA Core §10.3.1).
type idClaims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  string   `json:"aud"`
	Expiry    int64    `json:"exp"`
	IssuedAt  int64    `json:"iat"`
	AuthTime  int64    `json:"auth_time"`
	ACR       string   `json:"acr"`
	AMR       []string `json:"amr,omitempty"`
	ATHash    string   `json:"at_hash"`
	RTHash    string   `json:"urn:openid:params:jwt:claim:rt_hash,omitempty"`
	AuthReqID string   `json:"urn:openid:params:jwt:claim:auth_req_id"`
}

// tokens is a token response (OpenID Connect Core §3.1.3.3, RFC 9396 §7).
type tokens struct {
	AccessToken  string          `json:"access_token"`
	TokenType    string          `json:"token_type"`
	ExpiresIn    int             `json:"expires_in"`
	RefreshToken string          `json:"refresh_token,omitempty"`
	IDToken      string          `json:"id_token,omitempty"`
	Scope        string          `json:"scope,omitempty"`
	Details      json.RawMessage `json:"authorization_details,omitempty"`
}

// accessClaimsOf says what was granted by d, in a token issued at the time to
// the holder of a key.
func accessClaimsOf(req *consent.Request, d *consent.Decision, key consent.Binding, at time.Time) *accessClaims {
	c := ownClaims(req, key, at)
	if d.Granted != nil {
		c.Details = d.Granted
	}
	if req.Grant == consent.GrantClientCredentials {
		c.Approval = &approval{d.ACR, d.AMR, d.At.Unix(), d.GrantedDigest, req.ID}
		return c
	}
	c.Subject = req.Approver
	c.ACR, c.AMR, c.AuthTime, c.GrantedDigest = d.ACR, d.AMR, d.At.Unix(), d.GrantedDigest
	return c
}

// redeem settles an approved request and signs its tokens. The first writer
// settles; nothing is signed that is not settled.
func (s *Server) redeem(ctx context.Context, who clients.Caller, st *consent.State, handle string) (*tokens, error) {
	now := s.cfg.Now()
	if err := ctx.Err(); err != nil { // a caller that has gone is not settled for
		return nil, err
	}
	if !now.Before(st.RedeemUntil()) {
		if _, err := s.settle(ctx, st, consent.Settlement{Verb: consent.Lapsed, At: now}); err != nil {
			return nil, err
		}
		return nil, ended(st)
	}
	if st.Request.Grant == consent.GrantClientCredentials {
		if err := s.stillMay(ctx, who, st); err != nil {
			return nil, err
		}
	}
	c := accessClaimsOf(st.Request, st.Decided, who.Key, now)
	won, err := s.settle(ctx, st, consent.Settlement{
		Verb: consent.Redeemed, JTI: c.JTI, IssuedAt: time.Unix(c.IssuedAt, 0).UTC(), ExpiresAt: time.Unix(c.Expiry, 0).UTC(), Binding: who.Key, At: now,
	})
	if err != nil {
		return nil, err
	}
	if !won {
		return nil, ended(st)
	}
	if st.Request.Grant == consent.GrantClientCredentials {
		return s.signAccess(c, "")
	}
	return s.sign(who.Client, c, handle, s.refreshToken(st.Request, 1))
}

// settle writes m unless the request is settled, and puts into st what is
// stored then. It reports whether m was the first.
func (s *Server) settle(ctx context.Context, st *consent.State, m consent.Settlement) (bool, error) {
	m.V, m.GrantedDigest, m.Nonce = consent.Version, st.Decided.GrantedDigest, rand.Text()
	stored, err := s.cfg.Store.Settle(ctx, st.Request.ID, m)
	switch {
	case err == nil:
		s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "approval settled", slog.String("req", st.Request.ID.String()), slog.String("client", st.Request.Client.ID), slog.String("code", string(m.Verb)))
		st.Settled = &m
		return true, nil
	case errors.Is(err, consent.ErrSettled):
		st.Settled = &stored
		return false, nil
	}
	return false, err
}

// signAccess returns a token response without an ID token. There may be no
// refresh token.
func (s *Server) signAccess(c *accessClaims, refresh string) (*tokens, error) {
	access, err := s.cfg.Ring.Sign(typeAccess, c)
	if err != nil {
		return nil, err
	}
	return &tokens{
		AccessToken: access, TokenType: c.Confirmation.TokenType(), ExpiresIn: int(c.Expiry - c.IssuedAt), RefreshToken: refresh,
		Scope: c.Scope, Details: c.Details,
	}, nil
}

// sign returns the token response for settled claims of the client.
func (s *Server) sign(who *consent.Client, c *accessClaims, handle, refresh string) (*tokens, error) {
	t, err := s.signAccess(c, refresh)
	if err != nil {
		return nil, err
	}
	sign := s.cfg.Ring.Sign
	if who.IDTokenAlg == keys.PS256 {
		sign = s.cfg.Ring.SignPS256
	}
	t.IDToken, err = sign(typeID, &idClaims{
		Issuer: c.Issuer, Subject: c.Subject, Audience: c.ClientID, Expiry: c.Expiry, IssuedAt: c.IssuedAt,
		AuthTime: c.AuthTime, ACR: c.ACR, AMR: c.AMR, ATHash: halfHash(t.AccessToken), RTHash: halfHash(refresh), AuthReqID: handle,
	})
	return t, err
}

// halfHash is how an ID token names a token that came with it (OpenID Connect
// Core §3.1.3.6, CIBA Core §10.3.1); both algorithms of ours hash with SHA-256.
func halfHash(token string) string {
	if token == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
