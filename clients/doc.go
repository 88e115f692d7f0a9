// Package clients is how a client proves who it is: by a secret, by something
// that it signs, or by a certificate (RFC 6749 §2.3, RFC 7523, RFC 8705); and
// which key it holds (RFC 9449, RFC 8705 §3).
//
// There is one door, [Verifier.Authenticate]. Behind it, in the order from what
// a caller knows to what it is made of:
//
//	verifier.go     the door
//	caller.go       who was found to call, and the key that it holds
//	credentials.go  what a request says about who sent it
//	certificate.go  client certificates
//	assertion.go    client assertions
//	proof.go        DPoP proofs
//	signed.go       whatever is signed for us: signature, claims, single use
//	keyset.go       the keys of clients and of those whose hints count
//	document.go     finding a client; metadata documents: a client_id that is a URL
//	remote.go       what is fetched from addresses that somebody else chose
//	algorithms.go   how clients may sign
//	error.go        what a client may read about all that
//
// It answers nobody: an [Error] has the specification's word for what is wrong,
// and the door that asked makes its response of it. What clients ask for, and
// how they register, are doors' matters.
package clients
