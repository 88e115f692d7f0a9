// Package consent is the core: what a consent request is, which facts may be
// written about it, what those facts add up to, and who may decide.
//
// It does no I/O and has no clock of its own: times are arguments. Start with
// [Request] (the first fact), [State] (all facts of one request) and
// [State.Status] (what they add up to):
//
//	           approve                redeem (once)
//	pending ──────────► approved ───────────────► redeemed ──► revoked
//	   │ │ │               ├──── taken back ─────► cancelled
//	   │ │ └── deny ──────► denied  └ too late ──► expired
//	   │ └──── asker withdraws ──► withdrawn
//	   └────── lifetime over ──► expired
//
// A fact is written once and never changed. A terminal answer always rests on
// a fact: whoever finds a request past its end writes the [Decision] with verb
// [Expired] (the first writer wins) and answers from what is stored.
//
// Only an implementation of [Store] writes facts, only this package derives a
// state from them, and only [Decide] turns evidence into a decision.
package consent
