// Package outbound is the one HTTP client for addresses that somebody else
// chose: notification endpoints, callbacks, key sets. It refuses to be aimed
// at anything inside: the address is checked when the connection is made, on
// the IP that is really dialled, so no spelling of a URL and no answer of a
// name server gets around it.
//
// It speaks https to port 443 of public addresses. It follows no redirect,
// uses no proxy, keeps no cookie, decompresses nothing, and bounds time,
// headers and body. Exceptions are the operator's: see [Config.Allow].
//
// Start with [New] and [Client.Do], or [Client.Fetch] for a document of somebody
// else. Retrying is the caller's business; [IsConnect] says when nothing was
// sent.
package outbound
