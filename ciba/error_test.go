package ciba

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ringback/clients"
)

// TestReadable: what clients say of a caller is answered as they say it, and
// something that cannot be had now like everything that cannot.
func TestReadable(t *testing.T) {
	t.Parallel()
	s := &Server{cfg: Config{Log: slog.New(slog.DiscardHandler)}}
	for _, tt := range []struct {
		err  error
		want *Error
	}{
		{&clients.Error{Code: UseDPoPNonce, Description: "d", Nonce: "n"}, &Error{Code: UseDPoPNonce, Description: "d", Nonce: "n"}},
		{fmt.Errorf("wrapped: %w", clients.ErrCredentials), &Error{Code: InvalidClient, Description: clients.ErrCredentials.Description}},
		{fmt.Errorf("wrapped: %w", clients.ErrBusy), errBusy},
		{fmt.Errorf("another"), errUnknown},
	} {
		if diff := cmp.Diff(tt.want, s.readable(t.Context(), tt.err)); diff != "" {
			t.Errorf("readable(%v): %s", tt.err, diff)
		}
	}
}
