package config

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// What is checked here is what bridge/decode refuses, so that it is refused
// with its place; a test holds the two together.

func (l *loader) checkSources() {
	if len(l.config.Sources) == 0 {
		say := l.needed
		if l.config.Broker.Mode == External {
			say = l.main.atValue // there would be nothing to subscribe to
		}
		say([]string{"source"}, "there is no source, so no message will be understood",
			`add one: [source.plant] with topic = "plants/{device}/telemetry"`)
	}
	for _, name := range slices.Sorted(maps.Keys(l.config.Sources)) {
		l.checkSource([]string{"source", name}, l.config.Sources[name])
	}
}

func (l *loader) checkSource(path []string, s *Source) {
	at := func(dotted string) []string { return under(path, keys(dotted)...) }
	names, err := checkTopic(s.Topic)
	if err == nil && l.config.Broker.Mode == External {
		err = checkSubscription(s.Topic)
	}
	if err != nil {
		l.main.leaf(at("topic"), err, "")
	}
	l.checkDecoder(at("decoder"), s.Decoder)
	l.oneOf(at("clock"), s.Clock, "auto", "device", "arrival")
	l.checkPresence(at("presence"), s)
	l.oneOf(at("time.format"), s.Time.Format, "auto", "rfc3339", "unix", "unix_ms", "unix_us", "unix_ns")
	if _, err := time.LoadLocation(s.Timezone); err != nil {
		l.main.atValue(at("timezone"), quote(s.Timezone)+" is no time zone", `name one as in "Europe/Paris"`)
	}
	for _, from := range slices.Sorted(maps.Keys(s.Rename)) {
		if !isName(from) || !isName(s.Rename[from]) {
			l.main.atValue(under(at("rename"), from), fmt.Sprintf("%q = %q holds no name of a metric", from, s.Rename[from]),
				"write 1 to 256 bytes without control characters")
		}
	}
	switch s.Decoder {
	case "scalar":
		l.checkPlain(at, s, names, "a scalar payload has nothing but its value")
	case "presence":
		if err := checkPath(s.Value, false); err != nil {
			l.main.leaf(at("value"), err, "")
		}
		word := *s
		word.Value = "" // where in a document the word is
		l.checkPlain(at, &word, names, "a message of presence says nothing but whether the device is there")
		if len(s.Rename) > 0 {
			l.main.atValue(at("rename"), "presence is no metric", "remove it")
		}
	default:
		l.checkJSON(at, s, names)
	}
}

// checkPresence checks from where it is known which devices are there.
func (l *loader) checkPresence(path []string, s *Source) {
	switch {
	case s.Presence == "" || !l.oneOf(path, s.Presence, "connection", "none"):
	case s.Decoder == "presence":
		l.main.atValue(path, "messages of presence say themselves whether a device is there", "remove it")
	case s.Presence == "connection" && l.config.Broker.Mode == External:
		l.main.atValue(path, "whose connection has ended only the external broker knows",
			`remove it; let devices publish a last will, and read it with a source of decoder = "presence"`)
	}
}

func (l *loader) checkDecoder(path []string, decoder string) {
	soon := []string{"tasmota", "zigbee2mqtt", "shelly", "esphome", "ttn", "homeassistant", "homie", "senml", "sparkplug"}
	if slices.Contains(soon, decoder) {
		l.main.atValue(path, fmt.Sprintf("decoder %q is not supported by this version", decoder), `use "json", "scalar" or "presence"`)
		return
	}
	l.oneOf(path, decoder, "json", "scalar", "presence")
}

// checkPlain checks a source whose payload is one value, or one word of presence.
func (l *loader) checkPlain(at func(string) []string, s *Source, names []string, fact string) {
	if !slices.Contains(names, "device") {
		l.main.atValue(at("topic"), "nothing says which device a message is of", "put {device} in the topic")
	}
	set := map[string]bool{
		"records": s.Records != "", "device": s.Device != "", "metric": s.Metric != "", "value": s.Value != "",
		"unit": s.Unit != "", "time.path": s.Time.Path != "", "time.format": s.Time.Format != "auto",
		"timezone": s.Timezone != "", "clock": s.Clock == "device",
	}
	for _, key := range slices.Sorted(maps.Keys(set)) {
		if set[key] {
			l.main.atValue(at(key), fact, `remove it, or use decoder = "json"`)
		}
	}
}

func (l *loader) checkJSON(at func(string) []string, s *Source, names []string) {
	paths := map[string]string{
		"records": s.Records, "device": s.Device, "metric": s.Metric, "value": s.Value, "unit": s.Unit, "time.path": s.Time.Path,
	}
	for _, key := range slices.Sorted(maps.Keys(paths)) {
		if err := checkPath(paths[key], key == "records"); err != nil {
			l.main.leaf(at(key), err, "")
		}
	}
	if s.Device == "" && !slices.Contains(names, "device") {
		l.main.atValue(at("topic"), "nothing says which device a message is of",
			`put {device} in the topic, or add device = "$.path.to.id"`)
	}
	if s.Metric != "" && s.Value == "" {
		l.main.atValue(at("metric"), "metric needs value beside it", `add value = "@.v"`)
	}
	if s.Unit != "" && s.Value == "" {
		l.main.atValue(at("unit"), "unit needs value beside it", `add value = "@.v"`)
	}
}

// checkTopic checks a topic filter with {name} for a level, and returns the names.
func checkTopic(topic string) (names []string, err error) {
	switch {
	case topic == "":
		return nil, errors.New(`there is no topic (add topic = "plants/{device}/telemetry")`)
	case len(topic) > 65535 || strings.ContainsRune(topic, 0):
		return nil, errors.New("the topic is too long or contains U+0000 (shorten it, or remove the character)")
	case strings.HasPrefix(topic, "$share/"):
		return nil, errors.New("the topic begins with $share (remove it and the name behind it, and set broker.external.share)")
	}
	levels := strings.Split(topic, "/")
	for i, level := range levels {
		name, opened := strings.CutPrefix(level, "{")
		name, closed := strings.CutSuffix(name, "}")
		switch {
		case level == "+", level == "#" && i == len(levels)-1:
		case opened && closed && isPlaceholder(name):
			if slices.Contains(names, name) {
				return nil, fmt.Errorf("the topic has {%s} twice (give each level its own name, or use +)", name)
			}
			names = append(names, name)
		case strings.ContainsAny(level, "{}"):
			return nil, fmt.Errorf("%q is no level of a topic ({name} must be the whole level between two slashes)", level)
		case strings.ContainsAny(level, "#+"):
			return nil, fmt.Errorf("%q is no level of a topic (+ must be a whole level, and # the whole last one)", level)
		}
	}
	return names, nil
}

// checkSubscription checks what package broker refuses to subscribe to besides.
func checkSubscription(topic string) error {
	for level := range strings.SplitSeq(topic, "/") {
		if level != "%c" && level != "%u" && (strings.Contains(level, "%c") || strings.Contains(level, "%u")) {
			return fmt.Errorf("%q cannot be subscribed to at an external broker (%%c and %%u must not be within a level; use + or {name} for it)", level)
		}
	}
	return nil
}

// isPlaceholder reports whether a name can stand in braces.
func isPlaceholder(name string) bool {
	for i := range len(name) {
		if !isBare(name[i]) {
			return false
		}
	}
	return name != ""
}

// isName reports whether a metric can have a name. What breaks a line or turns
// the writing around is in none.
func isName(name string) bool {
	return name != "" && len(name) <= 256 && !strings.ContainsFunc(name, func(r rune) bool {
		return unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
	})
}

// pathStep is a key or a position on a path.
const pathStep = `(?s:\.[^.\[]+|\[\*\]|\[[0-9]{1,9}\]|\['.*?'\]|\[".*?"\])`

// checkPath checks a path such as $.a.b[0]['c.d'] or @.x; "" is none. Only the
// path of the records may have a [*], and it begins at the document.
func checkPath(path string, records bool) error {
	if path == "" {
		return nil
	}
	if path[0] != '$' && (records || path[0] != '@') {
		if records {
			return fmt.Errorf("%q is no path of records (begin it with $, the document, as in \"$.readings[*]\")", path)
		}
		return fmt.Errorf("%q is no path (begin it with $, the document, or @, the record, as in \"$.dev.id\")", path)
	}
	step := regexp.MustCompile("^" + pathStep)
	for rest := path[1:]; rest != ""; {
		s := step.FindString(rest)
		switch {
		case s == "":
			return fmt.Errorf("%q is no path (join keys by dots and put positions in brackets, as in \"$.a.b[0]\" or \"$['a.b']\")", path)
		case s == "[*]" && !records:
			return fmt.Errorf("%q finds many values, and one is needed (put the part up to [*] in records, and the rest here behind @)", path)
		}
		rest = rest[len(s):]
	}
	return nil
}
