// Package details is the registry of authorization_details types (RFC 9396).
package details

import "encoding/json"

// Registry knows every configured type.
type Registry struct{}

// List is a parsed authorization_details array.
type List []Detail

// Detail is one element of it.
type Detail struct {
	Type  string
	Value map[string]any
}

// Read parses details that were validated and stored earlier.
func (r *Registry) Read(stored json.RawMessage) (List, error) { return nil, nil }

// Narrow reports why granted is not a smaller version of asked, or nil.
func (r *Registry) Narrow(asked, granted List) error { return nil }
