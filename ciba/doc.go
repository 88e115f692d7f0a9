// Package ciba is the agents' door: OpenID Client-Initiated Backchannel
// Authentication (CIBA Core 1.0) in poll, ping and push mode, with refresh
// tokens, clients' own tokens (RFC 6749 §4.4) with a deferred answer where a
// person has to agree (draft-ietf-oauth-deferred-token-response-01), discovery,
// token introspection (RFC 7662) and revocation (RFC 7009).
//
// Start with [NewServer] and [Server.Register]. Every POST goes the same way:
// [Server.receive] reads one bounded form and lets [clients.Verifier] find out
// who sent it, one method turns the form into an answer or an error, and
// writeError is the only place where an error becomes a response.
//
// The files, in the order from what a caller knows to what it is made of; none
// uses one above it but for [Server] and [Config]:
//
//	server.go             the door, its configuration and its routes
//	notify.go, push.go    pings, pushes and callbacks
//	post.go               one attempt at a client's endpoint
//	registration.go       clients that register and manage themselves (RFC 7591, RFC 7592)
//	client_metadata.go    what they say of themselves
//	revoke.go             tokens and requests that are taken back
//	introspect.go         what is known of a token
//	token.go              the token endpoint, with one file per grant:
//	credentials_grant.go  clients' own tokens
//	discovery.go          what there is here
//	deferred_grant.go     clients' own tokens that a person has to agree to
//	ask.go                requests of people, their budgets and codes
//	signed.go             requests that are signed
//	hint.go               whom a client names
//	hinttoken.go          hints that somebody else signed
//	refresh_grant.go      refresh tokens
//	ciba_grant.go         what people were asked for
//	poll.go               coming for an answer
//	pace.go               how often
//	redeem.go             the one token of an approval
//	receive.go            one POST
//	claims.go             what is signed into tokens
//	entitlement.go        what may (still) be granted
//	usercode.go           codes that people have chosen
//	ending.go             facts by which a request ends
//	details.go            authorization_details
//	params.go             other parameters
//	prefer.go             how long a poll is held
//	form.go               bodies
//	loginhint.go          forms of hints
//	error.go              what an agent may read
//
// The package decides nothing about a request: it parses, checks ownership and
// budgets, and reads and writes facts through [consent.Store].
package ciba
