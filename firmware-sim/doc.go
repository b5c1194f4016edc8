// Package sim plays a fleet of devices over real MQTT and keeps a ledger that
// says what must have arrived. A profile describes the fleet: what its devices
// measure, how the readings move, and which faults befall which device when.
//
// It is not a load generator, and it is no part of the bridge: it shares no code
// with it, because a shared decoder or rule would share its mistakes. What it
// expects of a rule is a separate and obvious model ([Expect]).
//
// # Clocks
//
// A profile is written in simulated time, which starts at zero and runs
// [Options.Speed] times as fast as real time. A payload carries real time: the
// "ts" of a reading is the real moment at which it was due, so it never lies
// ahead of its arrival, and a reading that had to wait for the broker arrives
// late with the stamp it had. No reading is skipped: what could not be sent is
// sent later, in order. So the same profile, seed and [Options.StartAt] make the
// same bytes, whatever the broker does.
//
// # Concurrency
//
// [Run] owns all it starts and returns when all of it has ended: two goroutines a
// device, one that plays it and one that reads its connection. A [Profile] is
// read-only and may be run many times at once.
package sim
