package ciba

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
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

// unaskedJTI begins the jti of a token that was issued without a request.
const unaskedJTI = "unasked."

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

// approval says in a client's own token how it was approved, but not by whom.
type approval struct {
	ACR           string         `json:"acr"`
	AMR           []string       `json:"amr,omitempty"`
	ApprovedAt    int64          `json:"approved_at"`
	GrantedDigest consent.Digest `json:"granted_digest"`
	Request       consent.ID     `json:"request"`
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

// claimsOf says what the holder of a key was granted by d, in a token issued at
// the time. Where nobody was asked there is no d.
func claimsOf(req *consent.Request, d *consent.Decision, key consent.Binding, at time.Time) *accessClaims {
	c := &accessClaims{
		Issuer: req.Issuer, Subject: req.Client.ID, Audience: req.Resource, ClientID: req.Client.ID,
		IssuedAt: at.Unix(), Expiry: at.Unix() + int64(req.GrantLifetime), JTI: req.ID.String(),
		Scope: strings.Join(req.Scope, " "), Details: req.Details, Confirmation: clients.Confirm(key),
	}
	if d == nil {
		c.JTI = unaskedJTI + c.JTI
		return c
	}
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

// renewed makes c the claims of what refresh token n yields. No token lives
// longer than what renews it, which is until the end.
func (c *accessClaims) renewed(n int, end time.Time) *accessClaims {
	c.JTI += "." + strconv.Itoa(n)
	c.Expiry = min(c.Expiry, end.Unix())
	return c
}

// issued and ends are when the token was issued and when it ends.
func (c *accessClaims) issued() time.Time { return time.Unix(c.IssuedAt, 0).UTC() }
func (c *accessClaims) ends() time.Time   { return time.Unix(c.Expiry, 0).UTC() }

// unasked reports whether the token was issued without asking a person.
func (c *accessClaims) unasked() bool { return strings.HasPrefix(c.JTI, unaskedJTI) }

// halfHash is how an ID token names a token that came with it (OpenID Connect
// Core §3.1.3.6, CIBA Core §10.3.1); both algorithms of ours hash with SHA-256.
func halfHash(token string) string {
	if token == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
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

// refreshToken returns the n-th refresh token of a request, or nothing.
func (s *Server) refreshToken(req *consent.Request, n int) string {
	if req.Renewable == 0 || n > consent.MaxRenewals {
		return ""
	}
	return s.cfg.Handles.RefreshToken(req.ID, n)
}
