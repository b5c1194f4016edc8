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
// # From a file to an event
//
// A [File] is what rule files say, merged. [Compile] checks what it means and
// makes a [Program] of it, or a list of [Problem], each with the key it is about.
// An [Engine] runs a program: [Engine.Step] takes one [Input] (readings, presence,
// a command, a source that went away, or nothing but the time) and adds to an
// [Output] what it decided, as transitions of alarms with their events.
//
// What an engine knows is in two parts. A [State] for each alarm is written by
// the caller with every transition, and is what a decision rests on. Its memory
// ([Engine.Memory]: windows, baselines, newest readings) may be older, and is
// brought up to date by [Engine.Rehearse]. [Engine.Explain] says why an alarm
// stands as it does.
//
// The language is described in configs/rules/README.md, the engine in DESIGN.md.
//
// Concurrency: a [Program] is immutable and may be shared. An [Engine] belongs
// to one goroutine at a time; its owner locks it. Functions without a receiver
// are safe for concurrent use.
package rules
