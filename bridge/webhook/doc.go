// Package webhook signs a message, makes one guarded attempt to deliver it over
// HTTP, and verifies such messages.
//
// A [Sender] belongs to one endpoint. What it sends is signed as Standard
// Webhooks 1.0.0 asks, or in each [Scheme] that is wanted, by one function for
// every attempt, over the bytes that are sent. Where it may send is decided at the
// moment of dialling, on the address that is about to be used, so that neither a
// name nor a redirect nor a changing DNS answer can reach a private network that
// the operator did not name. An attempt has one deadline over everything and a
// limit on everything a receiver can send back.
//
// [Verify] is the other side, and [Diagnose] says why a request does not verify.
//
// It is not a queue: it retries nothing, orders nothing and remembers nothing
// but open connections. When to try again, and in which order, is the business
// of the lanes in package bridge.
//
// Concurrency: all functions, and the methods of [Secret] and [Sender], are safe
// for concurrent use.
package webhook
