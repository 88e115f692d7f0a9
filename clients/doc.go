// Package clients is how a client proves who it is.
package clients
