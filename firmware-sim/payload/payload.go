// Package payload writes readings down as devices do: eight formats, each with
// the topics that belong to it.
//
// A payload carries the number of the message, the id of the boot that it was
// sent in and its time wherever the format has a place for them; the comment of
// each format says where. It is written by hand and never read back here: what
// it says is held against the decoders of others, in tests.
//
// An [Encoder] belongs to one device and is not for concurrent use.
package payload

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Kind says what a field's value is.
type Kind uint8

// Values that a sensor sends, and two that a broken one sends.
const (
	Number Kind = iota
	Bool
	Text
	NaN  // a number that is none
	Null // nothing at all
)

// A Field is one measured quantity as it is sent.
type Field struct {
	Name string
	Kind Kind
	Num  float64
	Text string // of a number: its digits; of a text: the text
	On   bool
	Unit string // as people write it: °C, %, bar; empty: none
}

// A Reading is what a device measures at one moment.
type Reading struct {
	Seq    uint64 // of the message, since the device booted, from 1
	Boot   string
	At     time.Time // zero: the device has no clock
	Fields []Field
}

// A Message is what is published.
type Message struct {
	Topic   string
	Payload []byte
	Retain  bool
}

// Options describe the device that writes.
type Options struct {
	Format string // one of Names; empty: json
	Device string
	// Topic, Status and Events are topics, already filled in but for {metric} in
	// scalar. Empty: those of the format, if it has its own.
	Topic, Status, Events string
	Vars                  map[string]string // what fills the format's own topics
	Every                 time.Duration     // between two readings, real time
	Fields                []Field           // everything that it measures
}

// A Progress is a step of an update of the firmware.
type Progress struct {
	Reading
	State   string // announced, downloading, installed, rolled_back
	Percent int
	Version string // that it is updated to
}

// An Encoder writes what one device sends.
type Encoder struct {
	form
	o      Options
	status string
}

// A form is one of the formats. Only what differs is in it.
type form interface {
	// reading is one message for each part of a reading, mostly one.
	reading(r Reading) []Message
	// progress tells of an update; none where the format has no way to.
	progress(p Progress) []Message
}

// A greeter is a form with messages of its own for the start and the end of a
// connection, which come instead of two words.
type greeter interface {
	greet(r Reading) []Message
	will() *Message
}

// A kind of format: its name, what its payload tells of the time, its topics.
type format struct {
	stamp  time.Duration // how exact the payload's time is; 0: it has none
	topic  string        // where readings go; empty: the profile says
	status string        // where it is said whether a device is there
	words  [2]string     // for it is not, and it is
	make   func(o Options) form
}

func formats() map[string]format {
	words := [2]string{"offline", "online"}
	return map[string]format{
		"json":        {time.Millisecond, "", "", words, func(o Options) form { return plain{o} }},
		"senml":       {time.Millisecond, "", "", words, func(o Options) form { return senml{o} }},
		"scalar":      {0, "", "", words, func(o Options) form { return scalar{o} }},
		"tasmota":     {0, "tele/{device}/SENSOR", "tele/{device}/LWT", [2]string{"Offline", "Online"}, func(o Options) form { return tasmota{o} }},
		"zigbee2mqtt": {time.Millisecond, "zigbee2mqtt/{device}", "zigbee2mqtt/{device}/availability", [2]string{`{"state":"offline"}`, `{"state":"online"}`}, func(o Options) form { return zigbee{o} }},
		"ttn":         {time.Millisecond, "v3/{app}@{tenant}/devices/{device}/up", "", words, func(o Options) form { return ttn{o} }},
		"shelly":      {10 * time.Millisecond, "{device}/events/rpc", "{device}/online", [2]string{"false", "true"}, func(o Options) form { return &shelly{o: o} }},
		"sparkplug":   {time.Millisecond, "spBv1.0/{group}/DDATA/{node}/{device}", "", words, func(o Options) form { return &sparkplug{o: o} }},
	}
}

// Names returns the formats.
func Names() []string { return slices.Sorted(maps.Keys(formats())) }

// HasTopics reports whether a format has topics of its own, so that none need be given.
func HasTopics(format string) bool { return formats()[format].topic != "" }

// Greets reports whether devices of a format say when they come and go without
// being given a topic for it.
func Greets(format string) bool { return formats()[format].status != "" || format == "sparkplug" }

// Stamp is how exact the time in a payload is; 0: a reader has to go by arrival.
// Tasmota's has no zone, so it is of no use to who does not know the device's.
func Stamp(format string) time.Duration { return formats()[orJSON(format)].stamp }

func orJSON(format string) string {
	if format == "" {
		return "json"
	}
	return format
}

// New returns the encoder of a device.
func New(o Options) (*Encoder, error) {
	f, known := formats()[orJSON(o.Format)]
	if !known {
		return nil, fmt.Errorf("format %q: there is none (use %s)", o.Format, strings.Join(Names(), ", "))
	}
	fill := map[string]string{"app": "app1", "tenant": "ttn", "group": "plant", "node": "edge-" + o.Device}
	maps.Copy(fill, o.Vars)
	fill["device"] = o.Device
	own := func(given *string, template string) {
		if *given == "" {
			*given, _ = Expand(template, fill)
		}
	}
	own(&o.Topic, f.topic)
	own(&o.Status, f.status)
	o.Vars = fill
	if o.Format != "sparkplug" {
		o.Fields = nil // there may be ten thousand devices
		if o.Format != "ttn" {
			o.Vars = nil
		}
	}
	return &Encoder{f.make(o), o, o.Status}, nil
}

// Reading writes a reading down. More than one message means that the first has
// the reading's number and each other the next one.
func (e *Encoder) Reading(r Reading) []Message { return e.reading(r) }

// Progress tells of an update of the firmware, where the format can.
func (e *Encoder) Progress(p Progress) []Message { return e.progress(p) }

// Birth is what a device says first on every connection.
func (e *Encoder) Birth(r Reading) []Message {
	if g, ok := e.form.(greeter); ok {
		return g.greet(r)
	}
	if e.status == "" {
		return nil
	}
	return []Message{{e.status, []byte(formats()[orJSON(e.o.Format)].words[1]), true}}
}

// Will is what the broker says for a device that is gone without a goodbye; nil:
// nothing.
func (e *Encoder) Will() *Message {
	if g, ok := e.form.(greeter); ok {
		return g.will()
	}
	if e.status == "" {
		return nil
	}
	return &Message{e.status, []byte(formats()[orJSON(e.o.Format)].words[0]), true}
}

// Last completes a payload at the moment at which it is handed to the
// connection. Only Sparkplug has something to say then: its own number counts
// from the birth, and a birth comes with every connection.
func (e *Encoder) Last(payload []byte) []byte {
	if s, ok := e.form.(*sparkplug); ok {
		return s.number(payload)
	}
	return payload
}

// Counts reports whether the format numbers its messages by connection, so that
// one that has to be sent again is another then.
func (e *Encoder) Counts() bool {
	_, ok := e.form.(*sparkplug)
	return ok
}

// Expand fills a topic template; missing is a name that nothing fills. {metric}
// is left for the scalar format.
func Expand(template string, vars map[string]string) (topic, missing string) {
	var b strings.Builder
	for rest := template; ; {
		before, after, found := strings.Cut(rest, "{")
		b.WriteString(before)
		if !found {
			return b.String(), missing
		}
		name, tail, _ := strings.Cut(after, "}")
		switch value, known := vars[name]; {
		case name == "metric":
			b.WriteString("{metric}")
		case known:
			b.WriteString(value)
		default:
			missing = name
		}
		rest = tail
	}
}

// object writes a JSON object by hand, so that its bytes are always the same.
type object struct{ b []byte }

func begin() *object { return &object{append(make([]byte, 0, 256), '{')} }

func (o *object) key(name string) *object {
	if last := o.b[len(o.b)-1]; last != '{' && last != '[' {
		o.b = append(o.b, ',')
	}
	o.b = append(append(o.b, quote(name)...), ':')
	return o
}

func (o *object) text(name, value string) *object {
	o.key(name)
	o.b = append(o.b, quote(value)...)
	return o
}

// raw writes a value that is JSON already.
func (o *object) raw(name, value string) *object {
	o.key(name)
	o.b = append(o.b, value...)
	return o
}

func (o *object) count(name string, n uint64) *object {
	o.key(name)
	o.b = strconv.AppendUint(o.b, n, 10)
	return o
}

func (o *object) open(name string) *object {
	o.key(name)
	o.b = append(o.b, '{')
	return o
}

func (o *object) close() *object {
	o.b = append(o.b, '}')
	return o
}

// field writes a field; nan is how this format writes a number that is none.
func (o *object) field(name string, f Field, nan string) *object {
	return o.raw(name, value(f, nan))
}

func value(f Field, nan string) string {
	switch f.Kind {
	case Bool:
		return strconv.FormatBool(f.On)
	case Text:
		return string(quote(f.Text))
	case NaN:
		return nan
	case Null:
		return "null"
	default:
		return f.Text
	}
}
