// Package channeltest is the conformance test that every channel passes.
package channeltest
