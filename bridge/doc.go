// Package bridge is the page on which everything meets: messages become
// events, and events become deliveries. It owns the engine, the one
// committer, and a lane for each endpoint; it declares what it needs of a
// [Source] and of a [Store].
//
// It is not a broker, a store, or an HTTP client: it knows those by the two
// interfaces and by package webhook.
//
// Concurrency: a [Bridge] is safe for concurrent use. [Bridge.Run] owns every
// goroutine it starts and returns when all have ended.
package bridge
