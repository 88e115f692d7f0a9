package ciba

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"ringback/consent"
	"ringback/keys"
)

// token is the token endpoint.
func (s *Server) token(c echo.Context) error {
	who, f, err := s.receive(c)
	if err != nil {
		return err
	}
	switch grant := f.Get("grant_type"); grant {
	case GrantCIBA:
		return s.poll(c, who, f, &s.backchannel)
	case GrantDeferred:
		if f.Get("completion_mode") != "" {
			return refuse(InvalidRequest, "completion_mode: belongs into the request that was deferred, leave it out when polling")
		}
		return s.poll(c, who, f, &s.deferrals)
	case GrantRefresh:
		t, err := s.renew(c.Request().Context(), who, f)
		if err != nil {
			return err
		}
		return answer(c, http.StatusOK, t)
	case GrantClientCredentials:
		t, d, err := s.clientCredentials(c.Request().Context(), who, f)
		if err != nil {
			return err
		}
		if d != nil {
			return answer(c, http.StatusBadRequest, d)
		}
		return answer(c, http.StatusOK, t)
	case "":
		return refuse(InvalidRequest, "grant_type: missing, send one of %s", strings.Join(grantTypes, ", "))
	}
	return refuse(UnsupportedGrantType, "grant_type: must be one of %s", strings.Join(grantTypes, ", "))
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
