package keys

// UserCodeTicket returns what the link carries under which a person chooses a
// user_code, in the form of a ticket but under its own key. It authorises
// nothing: id names the chance to choose, and its code is Code(id, 0).
func (h *Handles) UserCodeTicket(id [16]byte) string { return h.numbered(&h.userCode, id, 0) }

// ParseUserCodeTicket is the inverse of UserCodeTicket.
func (h *Handles) ParseUserCodeTicket(s string) (id [16]byte, ok bool) {
	id, n, ok := h.parseNumbered(&h.userCode, s)
	return id, ok && n == 0
}
