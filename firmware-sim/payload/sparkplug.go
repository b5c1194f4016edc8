package payload

import (
	"encoding/binary"
	"math"
)

// Sparkplug B: protocol buffers, written by hand from the specification's
// sparkplug_b.proto. Each device has an edge node of its own, since each has a
// connection of its own. A birth names every metric and gives it an alias; data
// has aliases only. The number and the boot are the metrics Sim/seq and Sim/boot.
//
// The protocol's own number (0 to 255) begins anew with each birth, and a birth
// comes with each connection: it is added by number when a message leaves, and
// is no part of what a seed decides.
type sparkplug struct {
	o      Options
	births uint64 // bdSeq of the next
	next   uint64 // the protocol's number
}

// Types of metrics, and fields of the messages.
const (
	typeUInt64, typeDouble, typeBoolean, typeString = 8, 10, 11, 12

	payloadTimestamp, payloadMetrics, payloadSeq                 = 1, 2, 3
	metricName, metricAlias, metricTimestamp, metricType         = 1, 2, 3, 4
	metricNull, metricProperties                                 = 7, 9
	metricLong, metricDouble, metricBoolean, metricString        = 11, 13, 14, 15
	setKeys, setValues, propertyType, propertyString             = 1, 2, 1, 8
	wireVarint, wireFixed64, wireBytes                    uint64 = 0, 1, 2
)

const simMetrics = 2 // Sim/seq and Sim/boot have the first aliases

func (s *sparkplug) reading(r Reading) []Message {
	return []Message{{Topic: s.topic("DDATA"), Payload: s.data(r, false)}}
}

// progress: the specification leaves updates to the host application.
func (s *sparkplug) progress(Progress) []Message { return nil }

func (s *sparkplug) topic(kind string) string {
	topic := "spBv1.0/" + s.o.Vars["group"] + "/" + kind + "/" + s.o.Vars["node"]
	if kind[0] == 'D' {
		topic += "/" + s.o.Device
	}
	return topic
}

// data is the payload of a reading; a birth names its metrics.
func (s *sparkplug) data(r Reading, birth bool) []byte {
	var b []byte
	if !r.At.IsZero() {
		b = varint(b, payloadTimestamp, milliseconds(r.At))
	}
	fields := r.Fields
	b = block(b, payloadMetrics, metric(r, "Sim/seq", 1, birth, Field{}, r.Seq))
	b = block(b, payloadMetrics, metric(r, "Sim/boot", 2, birth, Field{Kind: Text, Text: r.Boot}, 0))
	for i, f := range s.o.Fields {
		now := f
		sent := birth // a birth has all there are
		for _, g := range fields {
			if g.Name == f.Name {
				now, sent = g, true
			}
		}
		if sent {
			now.Unit = f.Unit
			b = block(b, payloadMetrics, metric(r, f.Name, uint64(i+1+simMetrics), birth, now, 0)) // #nosec G115 -- a count
		}
	}
	return b
}

// metric is one; count is its value where the field is the zero Field.
func metric(r Reading, name string, alias uint64, birth bool, f Field, count uint64) []byte {
	var b []byte
	if birth {
		b = text(b, metricName, name)
	}
	b = varint(b, metricAlias, alias)
	if !r.At.IsZero() {
		b = varint(b, metricTimestamp, milliseconds(r.At))
	}
	switch {
	case f == Field{}:
		b = varint(b, metricType, typeUInt64)
		return varint(b, metricLong, count)
	case f.Kind == Bool:
		b = varint(b, metricType, typeBoolean)
		on := uint64(0)
		if f.On {
			on = 1
		}
		return varint(b, metricBoolean, on)
	case f.Kind == Text:
		b = varint(b, metricType, typeString)
		return text(b, metricString, f.Text)
	}
	b = varint(b, metricType, typeDouble)
	if f.Kind == Null {
		b = varint(b, metricNull, 1)
	}
	if birth && f.Unit != "" {
		property := text(varint(nil, propertyType, typeString), propertyString, f.Unit)
		b = block(b, metricProperties, block(text(nil, setKeys, "engUnit"), setValues, property))
	}
	switch f.Kind {
	case Null:
		return b
	case NaN:
		return double(b, metricDouble, math.NaN())
	default:
		return double(b, metricDouble, f.Num)
	}
}

func (s *sparkplug) greet(r Reading) []Message {
	s.next = 0
	node := varint(nil, payloadTimestamp, milliseconds(r.At))
	node = block(node, payloadMetrics, s.bdSeq())
	s.births = (s.births + 1) % 256
	return []Message{
		{Topic: s.topic("NBIRTH"), Payload: s.number(node)},
		{Topic: s.topic("DBIRTH"), Payload: s.number(s.data(r, true))},
	}
}

// bdSeq ties a birth to the will that was given with its connection.
func (s *sparkplug) bdSeq() []byte {
	b := varint(text(nil, metricName, "bdSeq"), metricType, typeUInt64)
	return varint(b, metricLong, s.births)
}

// will is asked for before greet, and so is of the same number.
func (s *sparkplug) will() *Message {
	return &Message{Topic: s.topic("NDEATH"), Payload: block(nil, payloadMetrics, s.bdSeq())}
}

// number adds the protocol's own number.
func (s *sparkplug) number(b []byte) []byte {
	b = varint(b[:len(b):len(b)], payloadSeq, s.next)
	s.next = (s.next + 1) % 256
	return b
}

// The four ways in which protocol buffers write a field.

func varint(b []byte, field, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, field<<3|wireVarint), v)
}

func double(b []byte, field uint64, v float64) []byte {
	return binary.LittleEndian.AppendUint64(binary.AppendUvarint(b, field<<3|wireFixed64), math.Float64bits(v))
}

func block(b []byte, field uint64, inner []byte) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(b, field<<3|wireBytes), uint64(len(inner)))
	return append(b, inner...)
}

func text(b []byte, field uint64, s string) []byte { return block(b, field, []byte(s)) }
