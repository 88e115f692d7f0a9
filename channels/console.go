package channels

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"

	"ringback/channels/content"
)

// Console is the channel "console": it prints messages, codes and all, for
// development on one's own machine.
type Console struct {
	mu sync.Mutex
	w  io.Writer
	n  int
}

var _ Channel = (*Console)(nil)

func openConsole(cfg Config) (Channel, error) {
	if cfg.Console == nil {
		return nil, nil
	}
	return &Console{w: cfg.Console}, nil
}

// Kind implements [Channel].
func (c *Console) Kind() content.Kind { return content.KindText }

// Method implements [Channel].
func (c *Console) Method() string { return "otp" }

// Send prints m as one line. A write that stopped half way is ErrAmbiguous.
func (c *Console) Send(ctx context.Context, m Message) (Receipt, error) {
	if err := ctx.Err(); err != nil {
		return Receipt{}, &coded{"cancelled", fmt.Errorf("printing a message: %w", err)}
	}
	if m.To == "" {
		return Receipt{}, &coded{"address", fmt.Errorf("printing a message: no address: %w", ErrUndeliverable)}
	}
	text, err := textOf(m)
	if err != nil {
		return Receipt{}, err
	}
	line := fmt.Sprintf("message for %s: %s\n", printable(m.To), printable(text.Body))
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := io.WriteString(c.w, line)
	switch {
	case err != nil && n > 0:
		return Receipt{}, &coded{"write", errors.Join(ErrAmbiguous, err)}
	case err != nil:
		return Receipt{}, &coded{"write", &Retry{Err: fmt.Errorf("printing a message: %w", err)}}
	}
	c.n++
	return Receipt{ProviderID: fmt.Sprintf("console-%d", c.n)}, nil
}

// printable keeps terminal control sequences out of the line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, s)
}
