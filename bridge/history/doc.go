// Package history keeps the recent inputs of an engine in files, so that its
// windows survive a crash, charts have something to show, and a rule can be
// tried against what really happened. Beside them it keeps the engine's
// snapshot.
//
// It is not a database, and nothing waits for it. What is appended is written
// within a second, in the background; a crash of the process loses about that
// second, a loss of power what the operating system had not written yet. The
// store, not the history, is where decisions are safe. When a disk is full or
// slow, inputs are left out and counted, and the place where they are missing
// can be told when the history is read.
//
// # Files
//
// A folder holds segments, named by the [Position] of their first input, and at
// most one snapshot. A segment is a header of eight bytes (tocsinh and a version)
// and blocks. A block is a header of fixed size with a checksum of its own (see
// header) and a payload compressed with zstd, which stands for itself: names are
// written once per block, and then by number. A segment that was begun is never
// appended to by a later process.
//
// A payload whose checksum (CRC-32C) is wrong costs its block. A header whose
// checksum is wrong, or a file that ends within a block, ends its segment. Either
// is a [Damage]: counted, logged once for each segment, and never an end to
// reading.
//
// Times come back in UTC, to the nanosecond and without a monotonic reading. All
// else comes back as it was appended, to the bit. Ticks are not kept: they say
// nothing that the next input's Now does not say.
//
// # Memory
//
// Inputs that wait to be written take at most 8 MiB, as encoded; the tables that
// give names their numbers about 2 MiB more; and writing, or each reader, a few
// blocks. An input that takes more than 1 MiB by itself is left out.
//
// # Concurrency
//
// A [Log] is safe for concurrent use. [Log.Append] holds a lock for as long as it
// takes to encode an input, never while a file is touched. Run is called once. A
// [Recorder] belongs to one goroutine at a time.
package history
