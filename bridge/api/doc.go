// Package api is the HTTP server of a running bridge: GET /healthz says that the
// process lives, /readyz that it can accept and store and if not why, /metrics
// shows a Prometheus registry, and /debug/pprof profiles the process on a
// loopback listener. Under /api/v1 people and programs list alarms, take care of
// them, look at devices, rules, endpoints and deliveries, have something delivered
// again, and have the configuration read again; /openapi.yaml describes that, and
// is made of the routes themselves. At / is a page for people, where there is one.
// Whatever else is asked for is answered with a problem document (RFC 9457).
//
// It is closed by default. A listener that is not loopback needs a token; where
// a token is set, everything but the two probes, the public keys and the page, which
// holds no data, asks for it, or for one that was made here: each of these has a
// scope, and each route says which one it needs. What changes something is in an
// audit log. A loopback listener answers only to loopback names, so that a web page
// whose name was pointed at 127.0.0.1 reads nothing. There are no cross-origin
// headers.
//
// It is not where readiness is decided or metrics are kept, and it speaks
// HTTP/1.1 only: nothing here gains from streams that share a connection.
//
// Concurrency: a [Server] is safe for concurrent use. [Server.Run] is called
// once; it owns every goroutine it starts and returns when all have ended.
package api
