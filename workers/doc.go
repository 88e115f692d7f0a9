// Package workers is the engine: it brings a consent request to the approver,
// escalates when nobody answers, ends it when its time is over and has the
// client told.
//
// Start with [Next], a pure function from a request's facts to the step it
// needs, and [Engine], which is woken by facts and by time and carries the
// steps out. Every step that the world can see is claimed by a fact first, so
// a redelivery, a second process and a crash are the same harmless case.
package workers
