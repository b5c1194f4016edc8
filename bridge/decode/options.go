package decode

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Options say how a source's messages are read. The zero value of every field
// but Name and Topic is useful.
type Options struct {
	Name    string // the source's name, as samples carry it
	Topic   string // template: "site/{site}/{device}/+", "acme/{device}/#"
	Decoder string // "json" (default), "scalar" or "presence"

	// Paths into the document, json only, but for Value, which presence knows too
	// ("$.state" is its default where the payload is an object). "$" is the document, "@" the record;
	// they are the same where there are no records.
	Records string // "$.readings[*]"; "": the document is the one record
	Device  string // "$.dev.eui"; "": {device} of the topic
	Metric  string // "@.name", needs Value; "": {metric} of the topic, or the last key of Value
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

// An OptionError is one option that is wrong. [New] joins as many as there are.
type OptionError struct {
	Source string // name of the source
	Option string // as the configuration calls it: "topic", "time.path"
	Fact   string
	Remedy string
}

func (e *OptionError) Error() string {
	return "source." + e.Source + "." + e.Option + ": " + e.Fact + " (" + e.Remedy + ")"
}

// A Decoder reads the messages of one source.
type Decoder struct {
	name     string
	topic    *template
	scalar   bool
	presence bool

	records, device, metric, value, unit, time *path  // nil: not set
	valueName                                  string // what a value is called where nothing else names it

	format            stampFormat
	zone              *time.Location // nil: stamps without a zone are not trusted
	clock             clockRule
	maxAhead, maxPast time.Duration

	rename map[string]string

	maxPayload, maxDepth, maxMetrics int

	devices, metrics, texts *names
	labels                  *labelSets
}

// New checks options and compiles a decoder. Its error joins an [*OptionError]
// for every option that is wrong.
func New(o Options) (*Decoder, error) {
	c := compiler{source: o.Name}
	d := &Decoder{
		name:       o.Name,
		maxAhead:   cmp.Or(o.MaxAhead, time.Minute),
		maxPast:    cmp.Or(o.MaxPast, 30*24*time.Hour),
		maxPayload: cmp.Or(o.MaxPayload, 256<<10),
		maxDepth:   cmp.Or(o.MaxDepth, 32),
		maxMetrics: cmp.Or(o.MaxMetrics, 10_000),
		rename:     maps.Clone(o.Rename),
		devices:    newNames(13, checkName),
		metrics:    newNames(10, checkName),
		texts:      newNames(8, nil),
	}
	if o.Name == "" {
		c.wrong("name", "a source has no name", "name the table: [source.plant]")
	}
	var err error
	if d.topic, err = parseTemplate(o.Topic); err != nil {
		c.wrong("topic", err.Error(), "write an MQTT filter such as plants/{site}/{device}/telemetry")
		d.topic = &template{}
	}
	d.labels = newLabelSets(d.topic.labels)
	switch o.Decoder {
	case "", "json":
		c.json(d, &o)
	case "scalar":
		d.scalar = true
		d.valueName = scalarName
		c.bare(d, &o, "a scalar payload has nothing but its value")
	case "presence":
		d.presence = true
		d.value = c.path("value", slotValue, cmp.Or(o.Value, "$.state"))
		o.Value = ""
		c.bare(d, &o, "a presence payload says nothing but whether the device is there")
		if len(o.Rename) > 0 {
			c.wrong("rename", "presence is not a metric", "remove it")
		}
	default:
		c.wrong("decoder", fmt.Sprintf("%q is not a decoder", o.Decoder), "write json, scalar or presence")
	}
	c.limits(&o)
	for _, from := range slices.Sorted(maps.Keys(o.Rename)) {
		for _, name := range []string{from, o.Rename[from]} {
			if fault := checkName(name); fault != "" {
				c.wrong("rename", fmt.Sprintf("%q = %q: a name %s", from, o.Rename[from], fault), "write name = \"new name\"")
				break
			}
		}
	}
	if err := errors.Join(c.errs...); err != nil {
		return nil, err
	}
	return d, nil
}

// A compiler gathers what is wrong with options, so that all of it is reported
// at once.
type compiler struct {
	source string
	errs   []error
}

func (c *compiler) wrong(option, fact, remedy string) {
	c.errs = append(c.errs, &OptionError{Source: c.source, Option: option, Fact: fact, Remedy: remedy})
}

func (c *compiler) path(option string, s slot, src string) *path {
	if src == "" {
		return nil
	}
	p, err := parsePath(src)
	if err != nil {
		c.wrong(option, fmt.Sprintf("%q: %s", src, err), "write a path such as $.a.b, @.a[0] or $['a.b']")
		return nil
	}
	p.slot = s
	if s == slotRecords {
		if p.ofRecord {
			c.wrong(option, fmt.Sprintf("%q begins with the record that it is to find", src), "begin with $")
		}
	} else if p.each {
		c.wrong(option, fmt.Sprintf("%q finds many values where one is needed", src), "put the part up to [*] into records, and the rest here behind @")
	}
	return p
}

func (c *compiler) json(d *Decoder, o *Options) {
	d.records = c.path("records", slotRecords, o.Records)
	d.device = c.path("device", slotDevice, o.Device)
	d.metric = c.path("metric", slotMetric, o.Metric)
	d.value = c.path("value", slotValue, o.Value)
	d.unit = c.path("unit", slotUnit, o.Unit)
	d.time = c.path("time.path", slotTime, o.Time.Path)
	d.valueName = scalarName
	if d.value != nil {
		d.valueName = d.value.lastKey(scalarName)
	}
	if o.Device == "" && !d.topic.hasDevice {
		c.wrong("device", "nothing says which device a message is about", "put {device} into topic, or set device to a path")
	}
	if o.Value == "" && o.Metric != "" {
		c.wrong("metric", "it is set without value", "set value to the path of the value it names")
	}
	if o.Value == "" && o.Unit != "" {
		c.wrong("unit", "it is set without value", "set value to the path of the value it belongs to")
	}
	var ok bool
	if d.format, ok = parseFormat(o.Time.Format); !ok {
		c.wrong("time.format", fmt.Sprintf("%q is not a format", o.Time.Format), "write auto, rfc3339, unix, unix_ms, unix_us or unix_ns")
	}
	if o.Time.Zone != "" {
		zone, err := time.LoadLocation(o.Time.Zone)
		if err != nil {
			c.wrong("timezone", fmt.Sprintf("%q is not a known time zone", o.Time.Zone), "write an IANA name such as Europe/Paris")
		}
		d.zone = zone
	}
	switch o.Clock {
	case "", "auto":
		d.clock = clockAuto
	case "device":
		d.clock = clockDevice
	case "arrival":
		d.clock = clockArrival
	default:
		c.wrong("clock", fmt.Sprintf("%q is not a clock", o.Clock), "write auto, device or arrival")
	}
}

// scalarName is what a value is called that nothing names.
const scalarName = "value"

// bare checks the options of a decoder that finds one thing in a payload.
func (c *compiler) bare(d *Decoder, o *Options, fact string) {
	d.clock = clockArrival
	if !d.topic.hasDevice {
		c.wrong("topic", "nothing says which device a message is about", "put {device} into it: home/{device}/{metric}")
	}
	format := o.Time.Format
	if format == "auto" {
		format = "" // the default, which a configuration may have filled in
	}
	for _, p := range []struct{ option, src string }{
		{"records", o.Records},
		{"device", o.Device},
		{"metric", o.Metric},
		{"value", o.Value},
		{"unit", o.Unit},
		{"time.path", o.Time.Path},
		{"time.format", format},
		{"timezone", o.Time.Zone},
	} {
		if p.src != "" {
			c.wrong(p.option, fact, "remove it, or set decoder = \"json\"")
		}
	}
	switch o.Clock {
	case "", "auto", "arrival":
	default:
		c.wrong("clock", fmt.Sprintf("%q: a %s payload carries no time", o.Clock, o.Decoder), "remove it")
	}
}

func (c *compiler) limits(o *Options) {
	for _, l := range []struct {
		option   string
		negative bool
	}{
		{"max_ahead", o.MaxAhead < 0},
		{"max_past", o.MaxPast < 0},
		{"max_payload", o.MaxPayload < 0},
		{"max_depth", o.MaxDepth < 0},
		{"max_metrics", o.MaxMetrics < 0},
	} {
		if l.negative {
			c.wrong(l.option, "it is negative", "remove it for the default")
		}
	}
}
