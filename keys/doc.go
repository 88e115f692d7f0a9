// Package keys holds everything that is secret by derivation: one root key
// outside the data directory, and what follows from it.
//
// [Root] is the key itself. [Vault] wraps data keys and computes pseudonyms,
// [Handles] makes and checks the strings that agents, devices and providers
// are given, and [Ring] keeps the ES256 keys that sign tokens and evidence, and
// RSA keys where ID tokens are wanted in PS256, publishes them ahead of use and
// rotates them without a restart. [KeySet] checks signatures with published
// keys alone.
//
// [PublicKeys] are the keys of somebody else, a client for example, and check
// what that one signed; [VerifyProof] checks a DPoP proof, which brings its key
// along.
//
// The package stores nothing itself: a [RingStore] keeps the sealed ring.
// It knows no requests, no claims and no protocol.
package keys
