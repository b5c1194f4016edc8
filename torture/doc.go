// Package torture holds the real programs to their promises under faults: it starts
// tocsin, a fleet of firmware-sim, receivers and, where a case wants it, Mosquitto,
// has one thing go wrong, and judges by ledgers what came of it.
//
// It is all tests, and knows the bridge only from outside: its binary, its files, its
// addresses. Faults are made with what Linux has for it, and so it is for Linux. See
// DESIGN.md.
package torture
