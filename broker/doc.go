// Package broker brings MQTT messages in and acknowledges them when they are
// safe. [Embedded] is a broker of our own that devices connect to; [Client]
// subscribes at somebody else's.
//
// Both hand each message to a [Handler], which returns at once with a [Receipt],
// and both acknowledge the message when its receipt is good and never before. A
// receipt that fails costs the connection: whoever sent the message sends it
// again.
//
// It is not a message bus. Nothing is queued for subscribers, nothing is
// retained, and the content of a message is no concern of this package.
//
// Handlers are called concurrently for different senders and one at a time, in
// order of arrival, for the same one. Everything exported may be used
// concurrently; Run is called once.
package broker
