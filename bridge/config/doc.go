// Package config reads tocsin.toml and the rule files it names, strictly, and
// says where they are wrong.
//
// [Load] decodes, fills in defaults, validates and compiles the rules. It
// reports everything that is wrong at once, each [Problem] with its place in a
// file, a fact and a remedy. What comes out is typed and complete: durations
// are durations, secrets have been read, certificates have been opened, every
// endpoint a rule names exists. It is the only importer of a TOML library.
//
// It opens no socket, starts nothing, and decides nothing about a reading; it
// does not know what the values are used for beyond what makes them valid.
//
// Concurrency: Load is safe for concurrent use. A [Config] is not changed after
// Load returned it and may be shared.
package config
