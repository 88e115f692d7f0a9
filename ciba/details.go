package ciba

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/consent"
	"ringback/details"
)

// authorizationDetails reads authorization_details (RFC 9396 §2). Absent, it
// is an empty list. Types that are not in the client's registered list are
// refused (RFC 9396 §5 and §10).
func authorizationDetails(text string, c *consent.Client, reg *details.Registry) (details.List, error) {
	if text == "" {
		return nil, nil
	}
	list, err := reg.Parse([]byte(text))
	var field *details.FieldError
	if errors.As(err, &field) {
		return nil, refuse(InvalidDetails, "%s", field)
	}
	if len(c.DetailsTypes) > 0 {
		for i, d := range list {
			if !slices.Contains(c.DetailsTypes, d.Type) {
				return nil, refuse(InvalidDetails, "authorization_details[%d].type: %.64s is not a type that this client may ask for; its types are %s", i, d.Type, strings.Join(c.DetailsTypes, ", "))
			}
		}
	}
	return list, err
}

// detailsTypesAge is for how long agents may keep what they read about types,
// which changes with a restart only.
const detailsTypesAge = "public, max-age=300"

// detailsTypes tells everybody what the types of authorization_details are
// (draft-ietf-oauth-rar-metadata-remediation-00 §5).
func (s *Server) detailsTypes(c echo.Context) error {
	doc := s.cfg.Details.Metadata()
	h := c.Response().Header()
	h["Content-Type"] = jsonType
	h.Set("Cache-Control", detailsTypesAge)
	h.Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(doc)))
	http.ServeContent(c.Response(), c.Request(), "", time.Time{}, bytes.NewReader(doc))
	return nil
}
