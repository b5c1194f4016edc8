package decode

import (
	"fmt"
	"slices"
	"time"

	"tocsin/broker"
	"tocsin/rules"
)

// A Batch takes in what messages decode to. Its zero value is ready; it is
// used by one goroutine at a time, and using it again saves its memory.
type Batch struct {
	Samples  []rules.Sample
	Presence []rules.Presence
	Problems []Problem

	doc *document // scratch of the json decoder
}

// Above these a batch gives its memory back rather than keep it for the next
// message, which is unlikely to be as large.
const (
	keepSamples = 1 << 10
	keepNodes   = 1 << 12
	keepBytes   = 1 << 16
)

// Reset empties the batch and keeps its memory for the next message.
func (b *Batch) Reset() {
	b.Samples = b.Samples[:0]
	b.Presence = b.Presence[:0]
	b.Problems = b.Problems[:0]
	if cap(b.Samples) > keepSamples {
		b.Samples = nil
	}
	if b.doc != nil && (cap(b.doc.nodes) > keepNodes || cap(b.doc.unquoted)+cap(b.doc.repaired) > keepBytes) {
		b.doc = nil
	}
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
	Detail string // fact and remedy, in words
}

func (r *Rejection) Error() string { return "message refused (" + r.Reason + "): " + r.Detail }

func rejectf(reason, format string, args ...any) *Rejection {
	return &Rejection{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

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
	ReasonLabel     = "label"     // a level of the topic cannot be a label
	ReasonValue     = "value"     // no value where one should be
	ReasonClock     = "clock"     // no usable time in the message
)

// Name is the source's name, as samples carry it.
func (d *Decoder) Name() string { return d.name }

// Topic is what the source reads, as it was written: {name} is one whole level.
func (d *Decoder) Topic() string { return d.topic.template }

// Kind is what payloads are taken for: json, scalar or presence.
func (d *Decoder) Kind() string {
	switch {
	case d.presence:
		return "presence"
	case d.scalar:
		return "scalar"
	}
	return "json"
}

// Filter returns the MQTT topic filter that covers the source's topics.
func (d *Decoder) Filter() string { return d.topic.filter }

// Match reports whether a topic is one of the source's.
func (d *Decoder) Match(topic string) bool {
	_, ok := d.topic.match(topic)
	return ok
}

// Decode appends to out what a message says: samples ordered by event time,
// presence, and problems. The error is a [*Rejection], and then out is as it was. A message's
// Received must be set. Nothing in out refers to the message's memory.
func (d *Decoder) Decode(m broker.Message, out *Batch) error {
	samples, presence, problems := len(out.Samples), len(out.Presence), len(out.Problems)
	if r := d.decode(&m, out); r != nil {
		out.Samples, out.Presence, out.Problems = out.Samples[:samples], out.Presence[:presence], out.Problems[:problems]
		return r
	}
	return nil
}

func (d *Decoder) decode(m *broker.Message, out *Batch) *Rejection {
	c, ok := d.topic.match(m.Topic)
	switch {
	case !ok:
		return rejectf(ReasonTopic, "%s does not match %s", quote(m.Topic), d.topic.template)
	case len(m.Payload) == 0:
		return rejectf(ReasonEmpty, "the payload is empty, which deletes a retained message and reports nothing")
	case len(m.Payload) > d.maxPayload:
		return rejectf(ReasonSize, "the payload has %d bytes, %d are allowed (send smaller batches)", len(m.Payload), d.maxPayload)
	case m.Received.IsZero():
		return rejectf(ReasonClock, "the message does not say when it arrived")
	}
	r := reading{
		d: d, out: out,
		first: len(out.Samples), problems: len(out.Problems),
		received: m.Received.Round(0).UTC(), // without the monotonic reading: it is compared to the clocks of others
	}
	if m.Retained {
		r.flags |= rules.Retained
	}
	if m.Dup {
		r.flags |= rules.Dup
	}
	r.at = r.received
	if c.device != "" {
		var fault string
		if r.topicDevice, fault = d.devices.text(c.device); fault != "" {
			return rejectf(ReasonDevice, "the device in topic %s %s", quote(m.Topic), fault)
		}
	} else if d.topic.hasDevice {
		return rejectf(ReasonDevice, "the level of {device} is empty in topic %s", quote(m.Topic))
	}
	if c.metric != "" {
		var fault string
		if r.topicMetric, fault = d.metrics.text(c.metric); fault != "" {
			return rejectf(ReasonMetric, "the metric in topic %s %s", quote(m.Topic), fault)
		}
	} else if d.topic.hasMetric {
		return rejectf(ReasonMetric, "the level of {metric} is empty in topic %s", quote(m.Topic))
	}
	var fault string
	if r.labels, fault = d.labels.get(c.labels[:len(d.topic.labels)]); fault != "" {
		r.problem(ReasonLabel, "%s; it is no label of the device", fault)
	}
	if d.presence {
		return r.presence(m.Payload)
	}
	said := len(out.Problems)
	var rej *Rejection
	if d.scalar {
		rej = r.scalar(m.Payload)
	} else {
		rej = r.json(m.Payload)
	}
	if rej != nil {
		return rej
	}
	if len(out.Samples) == r.first && len(out.Problems) == said {
		return rejectf(ReasonValue, "there is no value in the payload")
	}
	if r.unsorted {
		slices.SortStableFunc(out.Samples[r.first:], func(a, b rules.Sample) int { return a.At.Compare(b.At) })
	}
	return nil
}

// A reading is the decoding of one message.
type reading struct {
	d   *Decoder
	out *Batch

	first, problems int // where this message's begin in out
	received        time.Time
	flags           rules.Flags
	topicDevice     string // "" where the topic names none
	topicMetric     string
	labels          map[string]string // that the topic says
	unsorted        bool
	places          [slots]place // by path
	ownTime         place        // of a well-known key of the document

	// Of the record being read.
	device string
	at     time.Time
	clock  rules.Clock
}

// problem records that a part of the message was not used as it was sent.
func (r *reading) problem(reason, format string, args ...any) {
	for i := r.problems; i < len(r.out.Problems); i++ {
		if r.out.Problems[i].Reason == reason {
			r.out.Problems[i].Count++
			return
		}
	}
	r.out.Problems = append(r.out.Problems, Problem{Reason: reason, Detail: fmt.Sprintf(format, args...), Count: 1})
}

// add appends a sample of the record's device and time, for the caller to fill
// in its value.
func (r *reading) add(metric string) (*rules.Sample, *Rejection) {
	n := len(r.out.Samples)
	if n-r.first >= r.d.maxMetrics {
		return nil, rejectf(ReasonMetrics, "the payload has more than %d values (send smaller batches)", r.d.maxMetrics)
	}
	if n > r.first && r.at.Before(r.out.Samples[n-1].At) {
		r.unsorted = true
	}
	r.out.Samples = append(r.out.Samples, rules.Sample{
		Source: r.d.name, Device: r.device, Metric: r.d.renamed(metric),
		At: r.at, Received: r.received, Clock: r.clock, Flags: r.flags,
		Labels: r.labels,
	})
	return &r.out.Samples[n], nil
}
