// Package broker brings MQTT messages in and acknowledges them when they are
// safe. [Embedded] is a broker that devices connect to; [Client] subscribes at
// a broker that is already there. Both keep one promise: a message whose
// receipt is refused is not acknowledged, so its sender sends it again.
//
// It is not where payloads are understood (bridge/decode), and it never uses
// an MQTT subscription on the embedded broker as a data path.
//
// Concurrency: a [Handler] is called from many goroutines, one at a time for
// each connection, and in the order in which that connection sent.
package broker
