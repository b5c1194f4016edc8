package preset

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/rules"
)

// A scope is what a template sees: the event as endpoints receive it, under the
// names of its JSON, and a few words more. Every documented name is there; what
// an event does not have is nil.
type scope map[string]any

// A shape says which names there are.
type shape struct {
	fields map[string]*shape // of a table; nil: a value
	open   bool              // a table with names of the user's
}

// names of a scope that are not the event's.
func roots() map[string]*shape {
	value, open := &shape{}, &shape{open: true}
	return map[string]*shape{
		"kind":     value, // raise, update, acknowledge, resolve, note
		"key":      value, // of the alarm, or of what else begins and ends; otherwise the event's id
		"case":     value, // the episode of the alarm; without one, the key
		"severity": value, // of the alarm; major of what else begins and ends; otherwise info
		"headline": value, // the title behind what has happened
		"link":     value, // to the alarm, where link is configured
		"event":    value, // all of it, as JSON
		"envelope": value, // all of it in the envelope of preset standard
		"receiver": value, // the name of the endpoint
		"kept":     open,  // what was kept of earlier answers
		"with":     open,  // parameters
	}
}

// scopeShape is the shape of every scope.
func scopeShape() *shape {
	s := shapeOf(reflect.TypeFor[rules.Event]())
	maps.Copy(s.fields, roots())
	return s
}

func shapeOf(t reflect.Type) *shape {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.Kind() == reflect.Map:
		return &shape{open: true}
	case t.Kind() != reflect.Struct || t == reflect.TypeFor[time.Time]() || t == reflect.TypeFor[rules.Point]():
		return &shape{}
	}
	s := &shape{fields: map[string]*shape{}}
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			s.fields[name] = shapeOf(f.Type)
		}
	}
	return s
}

// complete adds the names that a table lacks.
func (s *shape) complete(table map[string]any) {
	for name, f := range s.fields {
		switch below, _ := table[name].(map[string]any); {
		case f.fields == nil && !f.open:
			if _, ok := table[name]; !ok {
				table[name] = nil
			}
		case below == nil:
			below = map[string]any{}
			table[name] = below
			f.complete(below)
		default:
			f.complete(below)
		}
	}
}

// scope makes the view of a notice.
func (d *Destination) scope(n *Notice, reveal bool) (scope, error) {
	data, err := d.payload(n)
	if err != nil {
		return nil, err
	}
	s := map[string]any{}
	if err := json.Unmarshal(n.Data, &s); err != nil {
		return nil, fmt.Errorf("reading the event: %w", err)
	}
	d.shape.complete(s)
	alarm, _ := s["alarm"].(map[string]any)
	kind := KindOf(n.Type)
	s["kind"] = string(kind)
	s["key"] = orElse(alarm["key"], keyOf(n, s))
	s["case"] = orElse(alarm["episode"], text(s["key"]))
	s["severity"] = orElse(alarm["severity"], map[bool]string{true: "info", false: "major"}[kind == Note])
	s["title"] = orElse(s["title"], string(n.Type))
	s["headline"] = headline(n.Type, text(s["severity"]), text(s["reason"]), text(s["title"]))
	s["id"], s["type"] = n.ID, string(n.Type)
	s["receiver"] = d.name
	s["link"] = d.linkTo(n.Alarm)
	s["event"] = json.RawMessage(data)
	whole := *n
	whole.Data = data
	s["envelope"] = json.RawMessage(whole.Envelope())
	s["with"] = d.parameters(reveal)
	return s, nil
}

// keyOf names what an event without an alarm is about, so that its end finds its
// beginning.
func keyOf(n *Notice, s map[string]any) string {
	endpoint, _ := s["endpoint"].(map[string]any)
	switch {
	case KindOf(n.Type) == Note:
		return n.ID
	case endpoint["name"] != nil:
		return "endpoint/" + text(endpoint["name"])
	case s["source"] != nil:
		return "source/" + text(s["source"])
	}
	return "devices"
}

// orElse is v, or what stands for it when it is missing or empty.
func orElse(v any, otherwise string) any {
	if v == nil || v == "" {
		return otherwise
	}
	return v
}

// text writes any value of a scope as text.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return number(v)
	case json.RawMessage:
		return string(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case []any:
		words := make([]string, len(v))
		for i, e := range v {
			words[i] = text(e)
		}
		return strings.Join(words, ", ")
	case map[string]any:
		words := make([]string, 0, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			words = append(words, k+"="+text(v[k]))
		}
		return strings.Join(words, ", ")
	}
	return fmt.Sprint(v)
}

// number writes a number as people do, without an exponent where that can be.
func number(v float64) string {
	if v > -1e15 && v < 1e15 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
