// Package ciba is the agents' door: OpenID Client-Initiated Backchannel
// Authentication (CIBA Core 1.0) in poll, ping and push mode, with refresh
// tokens, clients' own tokens (RFC 6749 §4.4) with a deferred answer where a
// person has to agree (draft-ietf-oauth-deferred-token-response-01), discovery,
// token introspection (RFC 7662) and revocation (RFC 7009).
//
// Clients prove who they are by a secret, a key or a certificate, may sign what
// they ask, and have their tokens bound to a key (RFC 9449, RFC 8705).
//
// Start with [NewServer] and [Server.Register]. Every POST goes the same way:
// [Server.receive] reads one bounded form and authenticates the client, one
// method turns the form into an answer or an error, and writeError is the only
// place where an error becomes a response. [Server.Notify] sends one ping, push
// or callback.
//
// Keys behind a jwks_uri, and clients whose client_id is the URL of their
// metadata document (draft-ietf-oauth-client-id-metadata-document), are fetched
// through [outbound.Client] when somebody needs them, and kept for a while.
// Clients can register themselves with an initial access token (RFC 7591) and
// manage what they registered (RFC 7592); a [Registrar] keeps their entries.
//
// The package decides nothing about a request: it parses, checks ownership and
// budgets, and reads and writes facts through [consent.Store].
package ciba
