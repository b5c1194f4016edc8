// Package rules is the domain: samples, rules, alarms and events, and the
// engine that turns the first into the last.
//
// It is pure. Nothing here reads a clock, does I/O, starts a goroutine, logs or
// draws a random number: time comes in as data, so the live bridge, a unit
// test, a replay and crash recovery run the same code.
//
// It is not the place where messages are decoded (bridge/decode), where TOML is
// read (bridge/config), or where anybody is told (bridge).
//
// Concurrency: a [Program] is immutable and may be shared. An [Engine] belongs
// to one goroutine at a time; its owner locks it. Functions without a receiver
// are safe for concurrent use.
package rules
