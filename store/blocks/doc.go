// Package blocks reads the files of an embedded JetStream server while it is not
// running, and checks every record in them.
//
// The server itself takes damage for a torn end of a file: it cuts a block at
// the first record that does not fit, drops a block that it cannot decrypt, and
// removes a stream from the disk that it cannot recover, all with a line in the
// log at most. So its files are read before it starts. Start with [Check];
// [Mend] rewrites damaged blocks without what cannot be read, so that nothing
// else is lost with it.
//
// A stream is a directory with msgs/N.blk, each encrypted under msgs/N.key, and
// the server's notes of its state in msgs/index.db. A block is a row of records,
// in the newest release compressed as a whole once it is full:
//
//	length (4, top bit: has headers) ‖ sequence (8, top bits: erased, tombstone)
//	‖ time (8) ‖ length of subject (2) ‖ subject ‖ [length of headers (4) ‖
//	headers] ‖ data ‖ HighwayHash-64 of all but the lengths (8)
package blocks
