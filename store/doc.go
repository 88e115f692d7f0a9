// Package store keeps facts in JetStream: the stream is the record, the
// history and the queue at once.
//
// [Init] makes an instance once and [Open] opens it, embedded in this process
// or on an external NATS server. A [Store] implements consent.Store and
// consent.Directory.
//
// Every fact of a request is one message on a subject of its own,
//
//	<prefix>.consent.<id>.<fact>[.<n>]
//
// in a stream that takes one message per subject and refuses a second. So
// "the first writer wins" is a property of the stream and holds between any
// number of processes, and a fact that is there stays as it is. A message is
//
//	header Ringback: what the index needs, in the clear (see label)
//	payload: 1 ‖ nonce ‖ AES-256-GCM under the approver's data key,
//	  with subject and header as associated data, of
//	  length of the fact ‖ fact (JSON) ‖ bearers (JSON, asked only)
//
// Writing goes through a committer that gathers concurrent writes into one
// synced write. Each process follows the stream with one consumer, which
// feeds the index of open requests, the people waiting in Wait, and OnEvent.
//
// The package derives no state and decides nothing; it is the only one that
// knows NATS.
package store
