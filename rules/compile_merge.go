package rules

import (
	"reflect"
	"strings"
)

// overlay writes what upper says over what lower says, key by key, and calls
// each with the key of what it wrote; both are pointers to tables that share the
// fields of upper. A key that is not written has its type's zero value.
func overlay(lower, upper any, each func(key string)) {
	to, from := reflect.ValueOf(lower).Elem(), reflect.ValueOf(upper).Elem()
	overlayStruct(to, from, each)
}

func overlayStruct(to, from reflect.Value, each func(key string)) {
	for i := range from.NumField() {
		field := from.Type().Field(i)
		if from.Field(i).IsZero() {
			continue
		}
		var target reflect.Value
		if to.Type() == from.Type() {
			target = to.Field(i)
		} else if target = to.FieldByName(field.Name); !target.IsValid() {
			continue
		}
		switch {
		case field.Anonymous:
			overlayStruct(target, from.Field(i), each)
		case field.Type.Kind() == reflect.Map: // levels are merged by themselves
		default:
			target.Set(from.Field(i))
			each(field.Tag.Get("toml"))
		}
	}
}

// keysOf lists the keys that a table writes.
func keysOf(table any) []string {
	return structKeys(nil, reflect.ValueOf(table).Elem())
}

func structKeys(keys []string, table reflect.Value) []string {
	for i := range table.NumField() {
		switch field := table.Type().Field(i); {
		case table.Field(i).IsZero() || field.Type.Kind() == reflect.Map:
		case field.Anonymous:
			keys = structKeys(keys, table.Field(i))
		default:
			keys = append(keys, field.Tag.Get("toml"))
		}
	}
	return keys
}

// over is the condition of a table that inherits from another: a level from its
// rule, an override from what it overrides. A table that asks a question of its
// own takes over what is measured, and no answer; with keeps, an override that
// asks the same question by another limit keeps the clear of the first.
func (def Condition) over(base Condition, keeps bool, each func(key string)) Condition {
	fire := def.fire()
	out := base
	if len(fire) > 0 {
		was := base.fire()
		same := keeps && len(was) > 0 && was[0] == fire[0]
		out = Condition{Agg: base.Agg, Over: base.Over, MinSamples: base.MinSamples, Hold: base.Hold}
		if same {
			out.Clear, out.ClearIs = base.Clear, base.ClearIs
		}
		family := fire[0].family
		if family != limitFamily {
			out.Agg = ""
		}
		if out.Agg == "" && def.Agg == "" && family != trendFamily {
			out.Over = nil
			if family != expressionFamily {
				out.MinSamples = nil
			}
		}
		if family != changeFamily {
			out.Hold = nil
		}
		if def.Deviates != nil && base.Deviates != nil {
			merged := *base.Deviates
			overlay(&merged, def.Deviates, func(string) {})
			def.Deviates = &merged
		}
	}
	overlay(&out, &def, each)
	return out
}

// place of a key, in words.
func pathKey(path []string) string { return strings.Join(path, "\x00") }

// written is where a key is written that is looked for at path: in an override,
// in the rule of a level, or in the defaults.
func (c *compiler) written(path []string) []string {
	for n := len(path); n > 0; n-- {
		if at, ok := c.origin[pathKey(path[:n])]; ok {
			return join(at, path[n:]...)
		}
	}
	return path
}

// moved says that a key that is looked for at path is written at another place.
func (c *compiler) moved(path, at []string) {
	at = c.written(at)
	if c.origin == nil {
		c.origin = map[string][]string{}
	}
	c.origin[pathKey(path)] = at
}
