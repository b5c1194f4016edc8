package trace

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// ID names a trace, SpanID a span of one. The zero values name nothing.
type (
	ID     [16]byte
	SpanID [8]byte
)

func (id ID) String() string     { return hex.EncodeToString(id[:]) }
func (id SpanID) String() string { return hex.EncodeToString(id[:]) }

// A Context names a span in its trace.
type Context struct {
	Trace ID
	Span  SpanID
}

// Of is the root span of an event's trace.
func Of(event string) Context {
	c, _ := split(event)
	return c
}

// Commit is the span of an event's being written to the store.
func Commit(event string) Context {
	c, commit := split(event)
	c.Span = commit
	return c
}

func split(event string) (root Context, commit SpanID) {
	sum := sha256.Sum256([]byte(event))
	copy(root.Trace[:], sum[:16])
	copy(root.Span[:], sum[16:24])
	copy(commit[:], sum[24:])
	return root, commit
}

// Child is a new span of the same trace.
func (c Context) Child() Context {
	_, _ = rand.Read(c.Span[:]) // documented never to fail
	return c
}

// version is that of the header traceparent which is written, and of which every
// later one is an extension.
const version = "00"

// ParseParent reads the header, or the MQTT user property, traceparent, as W3C
// Trace Context has it.
func ParseParent(s string) (c Context, ok bool) {
	const length = len("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
	if len(s) < length || s[2] != '-' || s[35] != '-' || s[52] != '-' || strings.ToLower(s) != s {
		return Context{}, false
	}
	var flags [2]byte // the version, and the flags
	for _, part := range []struct {
		to   []byte
		from string
	}{{flags[:1], s[:2]}, {c.Trace[:], s[3:35]}, {c.Span[:], s[36:52]}, {flags[1:], s[53:55]}} {
		if _, err := hex.Decode(part.to, []byte(part.from)); err != nil {
			return Context{}, false
		}
	}
	switch {
	case flags[0] == 0xff, s[:2] == version && len(s) > length, len(s) > length && s[length] != '-':
		return Context{}, false
	}
	return c, c.Trace != ID{} && c.Span != SpanID{}
}
