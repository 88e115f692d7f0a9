//go:build !e2e

package ciba_test

// How often attackers try; with the tag e2e it is more often.
const (
	manyMutations = 1000 / slowdown
	manyHandles   = 50_000 / slowdown
	manyBearers   = 40 / slowdown
	manyReplays   = 50 / slowdown
	manyLosses    = 50 / slowdown
	manyLate      = 100 / slowdown
	manyRaces     = 20 / slowdown
	manyHints     = 100 / slowdown
	manyPairs     = 50 / slowdown
	manyTokens    = 20 / slowdown
)
