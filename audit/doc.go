// Package audit makes the facts provable. An [Auditor] seals the digest of
// every fact into a chain of records, signs a checkpoint of the chain every
// minute, and keeps one signed evidence record for every finished request.
// [Auditor.Export] writes all of it as JSON lines, and [Verify] checks such an
// export offline with public keys alone.
//
// Records hold digests, sequence numbers and pseudonyms, nothing else of a
// person. Evidence holds the facts themselves and lies under the approver's
// data key, so that erasing a person leaves a chain that still verifies.
//
// Start with [New] and [Source], which the store implements. The package does
// not decide who may export, and does not know where anything is stored.
package audit
