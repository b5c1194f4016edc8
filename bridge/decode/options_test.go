package decode

import (
	"strings"
	"testing"
	"time"
)

func TestEveryWrongOptionIsNamedWithARemedy(t *testing.T) {
	f := func(o Options, lines ...string) {
		t.Helper()
		if o.Name == "" {
			o.Name = "plant"
		}
		_, err := New(o)
		if err == nil {
			t.Errorf("%+v is accepted", o)
			return
		}
		want(t, err.Error(), lines...)
	}
	f(Options{Topic: "a/{device}", Decoder: "xml"}, `source.plant.decoder: "xml" is not a decoder (write json, scalar or presence)`)
	f(Options{Topic: "a/b"}, `source.plant.device: nothing says which device a message is about (put {device} into topic, or set device to a path)`)
	f(Options{Topic: "a/b", Decoder: "scalar"}, `source.plant.topic: nothing says which device a message is about (put {device} into it: home/{device}/{metric})`)
	f(Options{Topic: "{device}", Decoder: "scalar", Value: "$.v", Clock: "device"},
		`source.plant.value: a scalar payload has nothing but its value (remove it, or set decoder = "json")`,
		`source.plant.clock: "device": a scalar payload carries no time (remove it)`)
	f(Options{Topic: "{device}", Metric: "$.m", Unit: "$.u"},
		`source.plant.metric: it is set without value (set value to the path of the value it names)`,
		`source.plant.unit: it is set without value (set value to the path of the value it belongs to)`)
	f(Options{Topic: "{device}", Time: TimeOptions{Format: "iso", Zone: "Paris"}, Clock: "gps"},
		`source.plant.time.format: "iso" is not a format (write auto, rfc3339, unix, unix_ms, unix_us or unix_ns)`,
		`source.plant.timezone: "Paris" is not a known time zone (write an IANA name such as Europe/Paris)`,
		`source.plant.clock: "gps" is not a clock (write auto, device or arrival)`)
	f(Options{Topic: "{device}", MaxAhead: -time.Second, MaxMetrics: -1},
		`source.plant.max_ahead: it is negative (remove it for the default)`,
		`source.plant.max_metrics: it is negative (remove it for the default)`)
	f(Options{Topic: "{device}", Rename: map[string]string{"a": "", "b": "c\n"}},
		`source.plant.rename: "a" = "": a name is empty (write name = "new name")`,
		`source.plant.rename: "b" = "c\n": a name contains the character '\n' (write name = "new name")`)
	for topic, fact := range map[string]string{
		"":                    `there is no topic`,
		"a/{device}b":         `level "{device}b": a wildcard or a {name} takes a whole level`,
		"a/b+/{device}":       `level "b+": a wildcard or a {name} takes a whole level`,
		"a/{dev ice}":         `level "{dev ice}": a wildcard or a {name} takes a whole level`,
		"a/{}":                `level "{}": a wildcard or a {name} takes a whole level`,
		"a/#/{device}":        `# matches the rest of a topic and can only stand at the end`,
		"{device}/x/{device}": `{device} stands in it twice`,
		"$share/g/{device}":   `a shared subscription is the broker's to make, not the source's`,
		"{device}/\x00":       `it contains a NUL character`,

		"{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}": `it has more than 8 names beside {device} and {metric}`,
	} {
		f(Options{Topic: topic, Device: "$.id"}, `source.plant.topic: `+fact+` (write an MQTT filter such as plants/{site}/{device}/telemetry)`)
	}
	for path, fact := range map[string]string{
		"id":      `"id": a path begins with $, the document, or @, the record`,
		"$id":     `"$id": behind "$" there should be a dot or a bracket`,
		"$.a..b":  `"$.a..b": a key is missing behind a dot`,
		"$.":      `"$.": a key is missing behind a dot`,
		"$.a[":    `"$.a[": a bracket is not closed`,
		"$.a[-1]": `"$.a[-1]": a bracket holds a position, * or a quoted key`,
		"$['a]":   `"$['a]": a quoted key does not end`,
		"$.a[0]b": `"$.a[0]b": behind "$.a[0]" there should be a dot or a bracket`,
	} {
		f(Options{Topic: "{device}", Value: path}, `source.plant.value: `+fact+` (write a path such as $.a.b, @.a[0] or $['a.b'])`)
	}
	f(Options{Topic: "{device}", Value: "$.a[*]"}, `source.plant.value: "$.a[*]" finds many values where one is needed (put the part up to [*] into records, and the rest here behind @)`)
	f(Options{Topic: "{device}", Records: "@[*]"}, `source.plant.records: "@[*]" begins with the record that it is to find (begin with $)`)
}

func TestTopicTemplates(t *testing.T) {
	f := func(topic, filter string, matches string, others string) {
		t.Helper()
		d := mustNew(t, Options{Topic: topic, Device: "$.id"})
		if d.Filter() != filter {
			t.Errorf("%s: filter %s, want %s", topic, d.Filter(), filter)
		}
		for _, m := range strings.Fields(matches) {
			if !d.Match(m) {
				t.Errorf("%s does not match %s", topic, m)
			}
		}
		for _, m := range append(strings.Fields(others), "") {
			if d.Match(m) {
				t.Errorf("%s matches %s", topic, m)
			}
		}
	}
	f("plants/{site}/{device}/telemetry", "plants/+/+/telemetry",
		"plants/a/b/telemetry plants///telemetry", "plants/a/telemetry plants/a/b/telemetry/ plants/a/b/telemetry/x /plants/a/b/telemetry plants/a/b/Telemetry")
	f("a/{device}/#", "a/+/#", "a/b a/b/ a/b/c a/b/c/d", "a b/b")
	f("#", "#", "a a/b /", "$SYS/x")
	f("+/x", "+/x", "a/x /x", "$SYS/x a a/x/y")
	f("$SYS/broker/{metric}", "$SYS/broker/+", "$SYS/broker/load", "SYS/broker/load")
	f("a/b", "a/b", "a/b", "a a/b/c a/bb")
	f("a/", "a/", "a/", "a a/b")
}

// FuzzTemplate's law: what New accepts never panics, and its filter is an MQTT
// filter: wildcards take whole levels, # ends it.
func FuzzTemplate(f *testing.F) {
	f.Add("plants/{site}/{device}/#", "plants/a/b/c", "$.a['b'][0].c")
	f.Add("+/{metric}", "$SYS/x", "@")
	f.Fuzz(func(t *testing.T, topic, at, path string) {
		d, err := New(Options{Name: "f", Topic: topic, Device: "$.id", Value: path})
		if err != nil {
			return
		}
		levels := strings.Split(d.Filter(), "/")
		for i, l := range levels {
			if strings.ContainsAny(l, "+#{}") && l != "+" && (l != "#" || i < len(levels)-1) {
				t.Errorf("filter %q", d.Filter())
			}
		}
		if !strings.ContainsAny(d.Filter(), "+#") && d.Match(at) != (at == d.Filter()) {
			t.Errorf("%q against %q", d.Filter(), at)
		}
		read(t, d, at, `{"id":"d","a":{"b":[{"c":1}]}}`)
	})
}
