// Package store is the bridge's memory: one SQLite file in one folder, which
// holds every alarm's state, every event, and what became of every delivery.
//
// It decides nothing: it does not judge readings, choose endpoints, pace
// attempts or compute when to try again. It keeps what it is told, in order, and
// says what is owed.
//
// Concurrency: a [DB] is safe for concurrent use; [DB.Commit] has one caller at
// a time. One connection writes, under one lock; a few others read. What is
// owed next is kept in memory (see lane) and changes only after the disk has
// agreed, so that it can always be rebuilt from the file.
package store
