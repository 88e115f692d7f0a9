package main

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"ringback/audit"
	"ringback/consent"
)

// TestSealingBehind lets nothing be sealed: a minute later there are no new
// requests, and whoever asks is told why.
func TestSealingBehind(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC)
	h := &house{auditor: audit.New(audit.Config{Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)})}
	if err := h.sealing(); err != nil {
		t.Errorf("with nothing to seal: %v", err)
	}
	h.auditor.Wake() // a fact was stored
	for _, step := range []struct {
		after time.Duration
		late  bool
	}{{0, false}, {30 * time.Second, false}, {30 * time.Second, false}, {1, true}, {time.Hour, true}} {
		now = now.Add(step.after)
		err := h.sealing()
		if step.late != errors.Is(err, consent.ErrUnavailable) || step.late != (err != nil) || step.late && !strings.Contains(err.Error(), "sealing is 1") {
			t.Errorf("%v behind: %v", h.auditor.Lag(), err)
		}
	}
}
