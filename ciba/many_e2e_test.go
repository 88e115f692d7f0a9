//go:build e2e

package ciba_test

// How often attackers try: what the product promises to withstand.
const (
	manyMutations = 1_000_000 / slowdown
	manyHandles   = 1_000_000 / slowdown
	manyBearers   = 2000 / slowdown
	manyReplays   = 10_000 / slowdown
	manyLosses    = 10_000 / slowdown
	manyLate      = 10_000 / slowdown
	manyRaces     = 10_000 / slowdown
	manyHints     = 10_000 / slowdown
	manyPairs     = 1000 / slowdown
	manyTokens    = 1000 / slowdown
)
