//go:build !e2e

package approve_test

// How often attackers try; with the tag e2e it is more often.
const (
	manyLinks     = 50 / slowdown
	manyWebhooks  = 10_000 / slowdown
	manyCodes     = 3000 / slowdown
	manyCrossings = 100 / slowdown
	manyLate      = 20 / slowdown
)
