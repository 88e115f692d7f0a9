package ciba

import (
	"slices"

	"ringback/consent"
	"ringback/keys"
)

// mayAsk reports why the client cannot use the CIBA grant (CIBA Core §4).
func mayAsk(c *consent.Client) error {
	if c.Mode == consent.Push && !pushes(c) {
		return refuse(UnauthorizedClient, "the profile %s has no delivery mode push, register poll or ping", c.Profile)
	}
	if len(c.GrantTypes) == 0 || slices.Contains(c.GrantTypes, GrantCIBA) { // none: registered for nothing else
		return nil
	}
	return refuse(UnauthorizedClient, "the client is not registered for grant type %s", GrantCIBA)
}

// mayPoll reports why the client may not come for tokens (CIBA Core §11).
func mayPoll(c *consent.Client) error {
	if c.Mode == consent.Push {
		return refuse(UnauthorizedClient, "clients of delivery mode push are sent their tokens and cannot come for them")
	}
	return mayAsk(c)
}

// backchannel is how a client comes for what it asked people.
func backchannel(h *keys.Handles) polling {
	return polling{"auth_req_id", "the backchannel authentication endpoint", h.ParseAuthReqID, errForeign, mayPoll}
}

// pushes reports whether the client is sent its tokens (CIBA Core §5). FAPI
// does not permit it.
func pushes(c *consent.Client) bool { return c.Mode == consent.Push && !c.Strict() }
