package config

import (
	"encoding"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"tocsin/rules"
)

// The leaves of a rule file that have parts are taken apart here, so that a fault
// is reported at the part: an element of a list, a key of an inline table.

// ruleLeaf decodes such a leaf. It reports false for any other target.
func (d decoder) ruleLeaf(path []string, value any, target any) bool {
	switch target := target.(type) {
	case *rules.Scope:
		d.texts(path, value, (*[]string)(target))
	case *rules.Texts:
		d.texts(path, value, (*[]string)(target))
	case *rules.Scalar:
		d.anyScalar(path, value, target)
	case *rules.Range:
		d.limits(path, value, target)
	case *rules.Clear:
		d.clear(path, value, target)
	case *rules.Renotify:
		d.waits(path, value, target)
	case *rules.MaxRate:
		d.maxRate(path, value, target)
	case *rules.ScheduleRef:
		d.scheduleRef(path, value, target)
	case *rules.Values:
		d.values(path, value, target)
	case *rules.Silent:
		d.silent(path, value, target)
	case *time.Time:
		d.date(path, value, target)
	default:
		return false
	}
	return true
}

// texts decodes one text or a list of them.
func (d decoder) texts(path []string, value any, target *[]string) {
	switch value := value.(type) {
	case string:
		*target = []string{value}
	case []any:
		*target = make([]string, len(value))
		for i, e := range value {
			if text, ok := e.(string); ok {
				(*target)[i] = text
			} else {
				d.mismatch(under(path, strconv.Itoa(i)), e, "a text")
			}
		}
	default:
		d.wrongType(path, value, "a text or a list", `put it in quotes, as in "text", or write ["one", "two"]`)
	}
}

func (d decoder) anyScalar(path []string, value any, target *rules.Scalar) {
	switch value.(type) {
	case string, bool, int64, float64:
		_ = target.UnmarshalTOML(value) // takes all of these
	default:
		d.mismatch(path, value, "a text, a number, true or false")
	}
}

// limits decodes one quantity, or a list of two.
func (d decoder) limits(path []string, value any, r *rules.Range) {
	list, ok := value.([]any)
	switch {
	case !ok:
		d.text(path, value, &r.Low)
	case len(list) != 2:
		d.atValue(path, fmt.Sprintf("has %d values, and two are needed", len(list)), "write [low, high]")
	default:
		r.High = new(rules.Quantity)
		d.text(under(path, "0"), list[0], &r.Low)
		d.text(under(path, "1"), list[1], r.High)
	}
}

// clear decodes limits, or the text of an expression.
func (d decoder) clear(path []string, value any, c *rules.Clear) {
	switch value.(type) {
	case string:
		_ = c.UnmarshalTOML(value) // takes every text
	case int64, float64, []any:
		d.limits(path, value, &c.Range)
		c.Limits = true
	default:
		d.wrongType(path, value, "a limit or an expression", `write a number, "-17 °C", [low, high], or an expression in quotes`)
	}
}

// waits decodes false, one duration, or a list of them.
func (d decoder) waits(path []string, value any, r *rules.Renotify) {
	const form = `false, "4h" or ["1h", "4h"]`
	list, ok := value.([]any)
	if !ok {
		switch value.(type) {
		case bool, string:
			if err := r.UnmarshalTOML(value); err != nil {
				d.refuse(path, err, form)
			}
		default:
			d.wrongType(path, value, "a duration, a list of them or false", "write "+form)
		}
		return
	}
	*r = rules.Renotify{}
	for i, e := range list {
		at := under(path, strconv.Itoa(i))
		if _, ok := e.(string); !ok {
			d.wrongType(at, e, "a duration", `write it in quotes, as in "4h"`)
			continue
		}
		var one rules.Renotify
		if err := one.UnmarshalTOML(e); err != nil {
			d.refuse(at, err, form)
		}
		*r = append(*r, one...)
	}
}

// maxRate decodes "50/s" or false.
func (d decoder) maxRate(path []string, value any, r *rules.MaxRate) {
	const form = `"50/s", "600/min", "1000/h" or false`
	switch value.(type) {
	case bool, string:
		if err := r.UnmarshalTOML(value); err != nil {
			d.refuse(path, err, form)
		}
	default:
		d.wrongType(path, value, "a rate or false", "write "+form)
	}
}

// scheduleRef decodes "NAME" or { not = "NAME" }.
func (d decoder) scheduleRef(path []string, value any, r *rules.ScheduleRef) {
	const form = `write "NAME", "always" or { not = "NAME" }`
	switch value := value.(type) {
	case string:
		r.Name = value
	case map[string]any:
		r.Not = true
		for _, key := range slices.Sorted(maps.Keys(value)) {
			if key == "not" {
				d.scalar(under(path, key), value[key], valueOf(&r.Name))
			} else {
				d.unknown(under(path, key), []string{"not"})
			}
		}
	default:
		d.wrongType(path, value, "a schedule", form)
		return
	}
	if r.Name == "" && !d.undecoded(path) {
		d.atValue(path, "names no schedule", form)
	}
}

// values decodes the readings of a test: of the rule's metric, or by metric.
func (d decoder) values(path []string, value any, v *rules.Values) {
	*v = rules.Values{}
	const form = `write them as in "-20x5 -14x4", in quotes`
	switch value := value.(type) {
	case string:
		(*v)[""] = value
	case map[string]any:
		for _, metric := range slices.Sorted(maps.Keys(value)) {
			if text, ok := value[metric].(string); ok {
				(*v)[metric] = text
			} else {
				d.wrongType(under(path, metric), value[metric], "a text", form)
			}
		}
	default:
		d.wrongType(path, value, "a text or a table of them by metric", form)
	}
}

func (d decoder) silent(path []string, value any, s *rules.Silent) {
	const form = `write "auto", or a duration such as "15m"`
	text, ok := value.(string)
	if !ok {
		d.wrongType(path, value, "a duration", form)
		return
	}
	if err := s.UnmarshalText([]byte(text)); err != nil {
		fact, _ := splitError(err)
		d.atValue(path, fact, form)
	}
}

// date decodes a date with a time. One without an offset is kept as it is; its
// zone is known only when all files are.
func (d decoder) date(path []string, value any, target *time.Time) {
	const form = "write date, time and offset without quotes, as in 2026-11-12T22:00:00+01:00"
	v, ok := value.(time.Time)
	switch {
	case !ok:
		d.wrongType(path, value, "a date and time", form)
	case v.Location().String() == "date-local":
		d.atValue(path, "is a date without a time", form)
	case v.Location().String() == "time-local":
		d.atValue(path, "is a time without a date", form)
	default:
		*target = v
	}
}

// wanted says what a text that checks itself is to hold, and how to write it.
func wanted(target encoding.TextUnmarshaler) (want, remedy string) {
	switch target.(type) {
	case *rules.Quantity:
		return "a number", `write a number, or a number and a unit such as "-15 °C"`
	case *rules.Age:
		return "a duration", `write "10m" for readings that are older, "-30s" for a clock that is ahead`
	case *rules.Duration:
		return "a duration", `write "90s", "10m", "1h30m" or "7d"`
	}
	return "a text", `put it in quotes, as in "text"`
}
