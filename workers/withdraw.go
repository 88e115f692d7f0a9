package workers

import (
	"context"
	"log/slog"

	"ringback/channels"
	"ringback/consent"
)

// withdraw lets the messages of a request that is decided be taken back from the
// devices whose channels can. Each is tried once: what stays there opens nothing.
func (e *Engine) withdraw(ctx context.Context, s *consent.State) {
	if s.Decided == nil || s.Revoked != nil || len(s.Renewals) > 0 { // or it was long ago
		return
	}
	id := s.Request.ID
	for _, a := range s.Tried {
		w, can := e.cfg.Channels[a.Channel].(channels.Withdrawer)
		o, concluded := s.Outcomes[a.N]
		if !can || !concluded || o.ProviderID == "" || !e.takes(id, a.N) {
			continue
		}
		e.sends[a.Channel].enter(call{holder: s.Request.Client.Counted(), run: func() {
			var err error
			if panicked := e.shield(func() { err = w.Withdraw(ctx, o.ProviderID) }); panicked != nil {
				err = panicked
			}
			if err != nil {
				e.cfg.Log.WarnContext(ctx, "message not taken back", slog.String("req", id.String()), slog.String("channel", a.Channel),
					slog.Int("attempt", a.N), slog.String("code", channels.Code(err)), slog.Any("err", err))
			}
		}}, func() {})
	}
}

// takes reports whether this is the first try to take back attempt n's message.
func (e *Engine) takes(id consent.ID, n int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.back[id] >= n {
		return false
	}
	e.back[id] = n
	return true
}

// withdraws reports whether any channel can take messages back.
func withdraws(all map[string]channels.Channel) bool {
	for _, ch := range all {
		if _, can := ch.(channels.Withdrawer); can {
			return true
		}
	}
	return false
}
