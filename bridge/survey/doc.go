// Package survey looks at live MQTT traffic and proposes what a configuration
// would say of it: sources, metrics, and rules to begin with.
//
// [Survey.Take] is given messages; [Survey.Propose] groups their topics into
// patterns, by which levels vary and what is sent there, and writes them as TOML.
// A proposal is careful: it takes nothing that it has not seen decoded, its sources
// do not overlap, and none of its limits is crossed by what was seen.
//
// It reads no configuration, opens no connection and knows no clock but that of
// the messages. Memory is bounded by [Options], whatever is sent.
//
// Concurrency: a Survey may be used by many goroutines at once.
package survey
