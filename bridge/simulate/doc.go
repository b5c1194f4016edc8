// Package simulate runs a whole bridge in a synctest bubble, under faults that a
// seed draws, and judges what came of it by what was promised.
//
// It is all tests: the engine, the store, the lanes, the broker and the senders
// are the real ones, the world around them is not. See DESIGN.md.
//
// Nothing here is used by several goroutines but what a world's lock guards.
package simulate
