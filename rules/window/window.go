// Package window keeps the readings of a stretch of time and answers what they
// come to: counts, sums, extremes, quantiles, slopes; and what is normal for a
// device over weeks.
//
// It is not a time series database: a window forgets what has left it, and
// keeps nothing on disk. Times are nanoseconds since 1970 and come from the
// caller; nothing here reads a clock.
//
// Concurrency: none; a window belongs to its owner.
package window
