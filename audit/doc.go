// Package audit makes the facts provable. An [Auditor] seals the digest of
// every fact into a chain of records, signs a checkpoint of the chain every
// minute, and keeps one signed evidence record for every finished request, but
// for those that expired before anybody was told of them: there is nothing that
// was shown, answered or granted.
// [Auditor.Export] writes all of it as JSON lines, and [Verify] checks such an
// export offline with public keys alone.
//
// Records hold digests, sequence numbers and pseudonyms, nothing else of a
// person. Evidence holds the facts themselves and lies under the approver's
// data key, so that erasing a person leaves a chain that still verifies. An
// export shows evidence in the clear and is as confidential as the facts.
//
// Every line of an export is one JSON object, written without white space, its
// members in the order of the types here; digests are SHA-256 in base64url.
// docs/formats.md describes all of it for those who check a decision by hand.
//
//   - The header: when it was made, and the first record in it.
//   - Records, the oldest first, as they are stored. "prev" is the digest of
//     the line before, zero in record 1. "facts" seals facts by their digests,
//     and marks those that finish a request. "checkpoint" carries a JWS over
//     the number of records before it and the digest of the last. "erased"
//     says whose data key is gone. "lost" declares, by a JWS, what the store
//     does not have any more, see [Auditor.Lost]; it holds for what stands
//     before it. An export begins with record 1, or with a record that is
//     signed where older ones have aged out.
//   - Evidence: the facts of one request up to the one that finished it, each
//     as it was written, so that its digest is the sealed one; the canonical
//     objects C (also after narrowing), P and D; a JWS over the digest of all
//     that ("body").
//   - The trailer: a JWS over the number of lines and the digest of every byte
//     before it.
//
// What an export cannot show is that the newest records are missing: somebody
// who takes the whole store back to an earlier state takes the chain along.
// Keep exports elsewhere: [VerifySince] compares with an earlier one.
//
// Start with [New] and [Source], which the store implements. The package does
// not decide who may export, and does not know where anything is stored.
package audit
