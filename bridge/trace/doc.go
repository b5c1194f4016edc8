// Package trace tells an OpenTelemetry collector how an event came about and
// whom it was told: one trace for each event, by OTLP over HTTP.
//
// The ids of a trace and of its root are made of the event's id. Nothing of a
// trace has to be stored, and an attempt after a crash, or on another day, joins
// the trace of its event. Whether a trace is sampled is decided by its id, so it
// is decided alike by every process.
//
// It is not the SDK: spans are recorded when they are over, with the times that
// they had, and there is no context to carry. What records waits for nobody: a
// queue of fixed length takes the span in, or the span is dropped and counted.
//
// Concurrency: [Tracer.Run] has one caller; everything else is safe for
// concurrent use.
package trace
