// Package ruletest runs the [test] tables of rule files, measures what they
// cover, and plays recorded inputs to rules that are under consideration.
//
// It has no engine of its own: all that happens in a test happens in a
// [rules.Engine], in a time that is data. It reads no files and no TOML, and
// what it writes is a test's text.
//
// # The time of a test
//
// A test begins at its start. Value i of a series comes i times every later, the
// first one at 0m; "_" is a turn without one. At one and the same time, timers
// end first, then values come by the names of their metrics, then steps in the
// order they are written. The time goes on until one interval after the last of
// these, or to the last event that is expected; until overrides that. While the
// process is down, after a restart or a crash, readings and steps are lost.
//
// Every test runs twice, with a tick each second and with ticks at the engine's
// own timers alone. Events that depend on it are a fault of the engine, and fail
// the test.
//
// # What is compared
//
// Every event that is told, in order, whether or not the rules name somebody to
// be told; with a rule named, those of that rule. Events that are only recorded,
// because the alarm is muted, are none. An expectation compares what it writes,
// and nothing else.
//
// Concurrency: functions are safe for concurrent use, as long as nobody changes
// what they are given.
package ruletest
