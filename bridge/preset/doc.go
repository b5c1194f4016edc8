// Package preset knows how destinations want to be told: which requests an event
// becomes, and what an answer means. A destination is a file in data, or what a
// configuration writes in the same words.
//
// It is not a sender and not a queue: package bridge/webhook makes the attempt,
// package bridge decides when.
//
// Concurrency: everything is safe for concurrent use.
package preset
