// Package keys holds everything that is secret by derivation: one root key
// outside the data directory, and what follows from it.
//
// [Root] is the key itself. [Vault] wraps data keys and computes pseudonyms,
// [Handles] makes and checks the strings that agents, devices and providers
// are given, and [Ring] keeps the ES256 keys that sign tokens and evidence,
// publishes them ahead of use and rotates them without a restart. [KeySet]
// checks signatures with published keys alone.
//
// The package stores nothing itself: a [RingStore] keeps the sealed ring.
// It knows no requests, no claims and no protocol.
package keys
