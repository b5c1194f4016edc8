package decode

import (
	"errors"
	"fmt"
	"strings"
)

// A template is a compiled topic.
type template struct {
	template             string // as it was written
	filter               string // with + for every name
	levels               []level
	rest                 bool // ends in #
	hasDevice, hasMetric bool
	labels               []string // names that are neither, in their order
}

type level struct {
	kind    levelKind
	literal string
}

type levelKind uint8

const (
	levelLiteral levelKind = iota
	levelAny               // +
	levelDevice
	levelMetric
	levelLabel
)

func parseTemplate(src string) (*template, error) {
	switch {
	case src == "":
		return nil, errors.New("there is no topic")
	case len(src) > 65535:
		return nil, errors.New("it is longer than 65,535 bytes, the most that MQTT allows")
	case strings.HasPrefix(src, "$share/"):
		return nil, errors.New("a shared subscription is the broker's to make, not the source's")
	case strings.ContainsRune(src, 0):
		return nil, errors.New("it contains a NUL character")
	}
	t := &template{template: src}
	var filter []string
	seen := map[string]bool{}
	parts := strings.Split(src, "/")
	for i, part := range parts {
		name, named := strings.CutPrefix(part, "{")
		switch {
		case part == "#" && i == len(parts)-1:
			t.rest = true
		case part == "+":
			t.levels = append(t.levels, level{kind: levelAny})
		case named && strings.HasSuffix(name, "}") && isName(name[:len(name)-1]):
			name = name[:len(name)-1]
			if seen[name] {
				return nil, fmt.Errorf("{%s} stands in it twice", name)
			}
			seen[name] = true
			var kind levelKind
			switch name {
			case "device":
				kind, t.hasDevice = levelDevice, true
			case "metric":
				kind, t.hasMetric = levelMetric, true
			default:
				kind = levelLabel
				if t.labels = append(t.labels, name); len(t.labels) > maxLabels {
					return nil, fmt.Errorf("it has more than %d names beside {device} and {metric}", maxLabels)
				}
			}
			t.levels = append(t.levels, level{kind: kind})
			part = "+"
		case part == "#":
			return nil, errors.New("# matches the rest of a topic and can only stand at the end")
		case strings.ContainsAny(part, "{}+#"):
			return nil, fmt.Errorf("level %q: a wildcard or a {name} takes a whole level", part)
		default:
			t.levels = append(t.levels, level{literal: part})
		}
		filter = append(filter, part)
	}
	t.filter = strings.Join(filter, "/")
	return t, nil
}

// isName reports whether s can stand in braces.
func isName(s string) bool {
	for _, c := range []byte(s) {
		if !(c == '_' || c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return false
		}
	}
	return s != ""
}

// captures are what a topic says.
type captures struct {
	device, metric string
	labels         [maxLabels]string // by the template's labels
}

func (t *template) match(topic string) (captures, bool) {
	var c captures
	if topic == "" {
		return c, false
	}
	// A wildcard at the beginning does not match the broker's own topics.
	if topic[0] == '$' && (len(t.levels) == 0 || t.levels[0].kind != levelLiteral) {
		return c, false
	}
	rest, more, label := topic, true, 0
	for i := range t.levels {
		if !more {
			return c, false
		}
		var part string
		part, rest, more = strings.Cut(rest, "/")
		switch l := &t.levels[i]; l.kind {
		case levelLiteral:
			if part != l.literal {
				return c, false
			}
		case levelDevice:
			c.device = part
		case levelMetric:
			c.metric = part
		case levelLabel:
			c.labels[label] = part
			label++
		}
	}
	return c, !more || t.rest
}
