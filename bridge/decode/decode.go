package decode

import (
	"time"

	"tocsin/broker"
	"tocsin/rules"
)

// Options say how a source's messages are read. The zero value of every field
// but Name and Topic is useful.
type Options struct {
	Name    string // the source's name, as samples carry it
	Topic   string // template: "site/{site}/{device}/+", "acme/{device}/#"
	Decoder string // "json" (default) or "scalar"

	// Paths into the document, json only. "$" is the document, "@" the record;
	// they are the same where there are no records.
	Records string // "$.readings[*]"; "": the document is the one record
	Device  string // "$.dev.eui"; "": {device} of the topic
	Metric  string // "@.name", needs Value; "": {metric} of the topic, or the place of the value
	Value   string // "@.v"; "": every value of the record is a sample of its own
	Unit    string // "@.u", needs Value; "": the payload declares none

	Time     TimeOptions
	Clock    string        // whose time counts: "auto" (default), "device" or "arrival"
	MaxAhead time.Duration // auto: how far ahead of arrival a stamp may be; 0: 1 minute
	MaxPast  time.Duration // auto: how far behind arrival a stamp may be; 0: 30 days

	Rename map[string]string // metric as it is called in the payload → as rules call it

	MaxPayload int // bytes of a message; 0: 256 KiB
	MaxDepth   int // nesting of a document; 0: 32
	MaxMetrics int // samples of a message; 0: 10,000
}

// TimeOptions say where a document keeps its time and how it is written.
type TimeOptions struct {
	Path   string // "@.ts"; "": the well-known keys, see the package comment
	Format string // "auto" (default), "rfc3339", "unix", "unix_ms", "unix_us" or "unix_ns"
	Zone   string // IANA zone of stamps that carry none, "Europe/Paris"; "": such stamps are not trusted
}

// A Batch takes in what messages decode to. Its zero value is ready; it is
// used by one goroutine at a time, and using it again saves its memory.
type Batch struct {
	Samples  []rules.Sample
	Problems []Problem
}

// Reset empties the batch and keeps its memory for the next message.
func (b *Batch) Reset() {
	b.Samples = b.Samples[:0]
	b.Problems = b.Problems[:0]
}

// A Problem is a part of a message that was not used as it was sent, while the
// rest was. There is at most one of each reason for a message.
type Problem struct {
	Reason string // one word, one of the Reason constants
	Detail string // the first such part, in words
	Count  int    // how many parts of this message had it
}

// A Rejection says why nothing of a message could be used. It is the only type
// of error that [Decoder.Decode] returns.
type Rejection struct {
	Reason string // one word, one of the Reason constants
	Detail string // place, fact and remedy, in words
}

func (r *Rejection) Error() string { return "message refused (" + r.Reason + "): " + r.Detail }

// Reasons of a [Rejection] or a [Problem].
const (
	ReasonTopic     = "topic"     // the topic is not one of this source
	ReasonEmpty     = "empty"     // no payload: how a retained message is deleted
	ReasonSize      = "size"      // more bytes than MaxPayload
	ReasonDepth     = "depth"     // nested deeper than MaxDepth
	ReasonMetrics   = "metrics"   // more samples than MaxMetrics
	ReasonJSON      = "json"      // not one JSON document
	ReasonDuplicate = "duplicate" // a key twice in one object: neither can be trusted
	ReasonUTF8      = "utf8"      // not UTF-8
	ReasonDevice    = "device"    // nothing says which device, or it is not a usable id
	ReasonIdentity  = "identity"  // payload and topic name different devices
	ReasonMetric    = "metric"    // nothing names the metric, or it is not a usable name
	ReasonValue     = "value"     // no value where one should be
	ReasonClock     = "clock"     // no usable time in the message
)

// A Decoder reads the messages of one source.
type Decoder struct {
	opt Options
}

// New checks options and compiles a decoder. Its error names every option that
// is wrong.
func New(o Options) (*Decoder, error) { return &Decoder{opt: o}, nil }

// Filter returns the MQTT topic filter that covers the source's topics.
func (d *Decoder) Filter() string { return d.opt.Topic }

// Match reports whether a topic is one of the source's.
func (d *Decoder) Match(topic string) bool { return false }

// Decode appends to out what a message says: samples ordered by event time, and
// problems. The error is a [*Rejection], and then out is as it was. A message's
// Received must be set. Nothing in out refers to the message's memory.
func (d *Decoder) Decode(m broker.Message, out *Batch) error {
	return &Rejection{Reason: ReasonTopic, Detail: "not implemented"}
}
