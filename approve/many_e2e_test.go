//go:build e2e

package approve_test

// How often attackers try: what the product promises to withstand.
const (
	manyLinks     = 1000 / slowdown
	manyWebhooks  = 100_000 / slowdown
	manyCodes     = 1_000_000 / slowdown
	manyCrossings = 1000 / slowdown
	manyLate      = 1000 / slowdown
)
