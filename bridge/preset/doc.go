// Package preset knows how destinations want to be told: which requests an event
// becomes, and what an answer means.
//
// It is not a sender and not a queue: package bridge/webhook makes the attempt,
// package bridge decides when.
//
// Concurrency: everything is safe for concurrent use.
package preset
