package rules

import "time"

// Kind says which field of a [Sample] carries its value.
type Kind uint8

const (
	Number Kind = iota // Num
	Bool               // Num is 0 or 1
	Text               // Text
)

// Clock says whose clock stamped a sample.
type Clock uint8

const (
	ClockArrival Clock = iota // no usable stamp: At is Received
	ClockDevice               // the device's own
	ClockNetwork              // a gateway's or network server's
)

func (c Clock) String() string {
	switch c {
	case ClockDevice:
		return "device"
	case ClockNetwork:
		return "network"
	}
	return "arrival"
}

// Flags are what the transport knows about a sample.
type Flags uint8

const (
	Retained   Flags = 1 << iota // replayed by a broker on subscribe: of unknown age
	Dup                          // marked as a possible repetition by the transport
	Historical                   // declared by its sender to be from the past
)

// A Sample is one reading of one metric of one device.
//
// Invalid is empty for a usable value. Otherwise it is the reason in one word
// (nan, null, type, range, code, unit, …): the sample proves that the device
// is alive, and is never judged.
type Sample struct {
	Source, Device, Metric string

	// Labels of the device, as the transport knows them; nil for none. They are
	// shared and never changed: like samples have the same map.
	Labels map[string]string

	Kind Kind
	Num  float64
	Text string
	Unit string // as the payload declares it; "" when it does not

	At       time.Time // event time, after the clock rules
	Received time.Time // when the message arrived
	Clock    Clock
	Flags    Flags
	Invalid  string

	Seq    uint64 // the device's own counter, when HasSeq
	HasSeq bool
}
