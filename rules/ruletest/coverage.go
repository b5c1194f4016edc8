package ruletest

import (
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"

	"tocsin/rules"
)

// A Coverage says what of a file its tests exercise, by the tests that passed.
type Coverage struct {
	Rules []RuleCoverage // by id
	Keys  []KeyCoverage  // every key a rule can have, in the order of the language
}

// A RuleCoverage says which tests look at a rule, and what of it they reach.
type RuleCoverage struct {
	ID        string
	Source    string
	Tests     []string      // that name it, or in which its alarms moved
	Levels    []PartCovered // severities its alarms can have; reached by an event
	Overrides []PartCovered // reached by a test of a device that it is for
}

// A PartCovered is a part of a rule, and the tests that reach it.
type PartCovered struct {
	Name  string
	Tests []string
}

// A KeyCoverage is one key of the language, such as "above" or "flap.changes";
// "*" stands for a name. Tests are those of rules that use it: their alarms fired,
// or were kept from it.
type KeyCoverage struct {
	Key   string
	Rules []string // that use it
	Tests []string
}

// Untested lists the rules without a test.
func (c *Coverage) Untested() []string {
	var ids []string
	for _, r := range c.Rules {
		if len(r.Tests) == 0 {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// Cover says what of a file its test results cover. A test that failed covers
// nothing.
func Cover(file *rules.File, program *rules.Program, results []Result) Coverage {
	var c Coverage
	keys := map[string]*KeyCoverage{}
	for _, key := range ruleKeys(reflect.TypeFor[rules.RuleDef](), "") {
		c.Keys = append(c.Keys, KeyCoverage{Key: key})
	}
	for i := range c.Keys {
		keys[c.Keys[i].Key] = &c.Keys[i]
	}
	for _, info := range program.Rules() {
		def := file.Rule[info.ID]
		if def == nil {
			continue
		}
		r := RuleCoverage{ID: info.ID, Source: info.Source}
		for _, severity := range info.Severities {
			r.Levels = append(r.Levels, PartCovered{Name: severity.String()})
		}
		for _, scope := range slices.Sorted(maps.Keys(def.Override)) {
			r.Overrides = append(r.Overrides, PartCovered{Name: scope})
		}
		for i := range results {
			if result := &results[i]; result.Passed() && (result.Rule == info.ID || result.Rule == "" && slices.Contains(result.Moved, info.ID)) {
				r.Tests = append(r.Tests, result.Name)
				r.reach(file, result)
			}
		}
		used := map[string]bool{}
		usedKeys(reflect.ValueOf(def).Elem(), "", used)
		for key := range used {
			keys[key].Rules = append(keys[key].Rules, r.ID)
			keys[key].Tests = append(keys[key].Tests, r.keyTests(key, def)...)
		}
		c.Rules = append(c.Rules, r)
	}
	for i := range c.Keys {
		slices.Sort(c.Keys[i].Tests)
		c.Keys[i].Tests = slices.Compact(c.Keys[i].Tests)
	}
	return c
}

// reach notes which levels and overrides a test of the rule reached.
func (r *RuleCoverage) reach(file *rules.File, result *Result) {
	severities, devices := map[string]bool{}, map[string]bool{result.Device: true}
	for i := range result.Events {
		if ev := &result.Events[i]; ev.Rule.ID == r.ID {
			severities[ev.Alarm.Severity.String()] = true
			devices[ev.Device.ID] = true
		}
	}
	for i := range r.Levels {
		if level := &r.Levels[i]; severities[level.Name] {
			level.Tests = append(level.Tests, result.Name)
		}
	}
	for i := range r.Overrides {
		o := &r.Overrides[i]
		for device := range devices {
			if device != "" && inScope(file, result, o.Name, device) {
				o.Tests = append(o.Tests, result.Name)
				break
			}
		}
	}
}

// keyTests are the tests of a rule that exercise one of its keys: for a key of
// levels or overrides those that reach one that has it.
func (r *RuleCoverage) keyTests(key string, def *rules.RuleDef) []string {
	table, rest, _ := strings.Cut(key, ".*.")
	var parts []PartCovered
	var uses func(name string) bool
	switch {
	case table == "level" && rest != "":
		parts, uses = r.Levels, func(name string) bool { return def.Level[name] != nil && hasKey(def.Level[name], rest) }
	case table == "override" && rest != "":
		parts, uses = r.Overrides, func(name string) bool { return hasKey(def.Override[name], rest) }
	default:
		return r.Tests
	}
	var tests []string
	for _, p := range parts {
		if uses(p.Name) {
			tests = append(tests, p.Tests...)
		}
	}
	return tests
}

func hasKey(def any, key string) bool {
	used := map[string]bool{}
	usedKeys(reflect.ValueOf(def).Elem(), "", used)
	return used[key]
}

// inScope reports whether a device of a test is one that a scope selects.
func inScope(file *rules.File, result *Result, scope, device string) bool {
	def := file.Device[device]
	if test := file.Test[result.Name]; def == nil && test != nil && device == test.Device {
		def = &rules.DeviceDef{Type: test.Type, Labels: test.Labels}
	}
	if def == nil {
		def = &rules.DeviceDef{}
	}
	return selects(file, scope, device, def)
}

func selects(file *rules.File, scope, device string, def *rules.DeviceDef) bool {
	kind, rest, _ := strings.Cut(scope, ":")
	switch kind {
	case "type":
		return def.Type == rest
	case "label":
		key, want, _ := strings.Cut(rest, "=")
		have, ok := def.Labels[key]
		return ok && have == want
	case "group":
		group := file.Group[rest]
		for key, want := range groupMatch(group) {
			have := def.Labels[key]
			switch key {
			case "type":
				have = def.Type
			case "id":
				have = device
			}
			if ok, err := path.Match(want, have); have != want && (!ok || err != nil) {
				return false
			}
		}
		return group != nil
	}
	ok, err := path.Match(scope, device)
	return scope == device || ok && err == nil
}

func groupMatch(g *rules.GroupDef) map[string]string {
	if g == nil {
		return nil
	}
	return g.Match
}

// ruleKeys lists every key that a table of the given type can have, nested ones
// with dots between.
func ruleKeys(t reflect.Type, prefix string) []string {
	var keys []string
	for i := range t.NumField() {
		f := t.Field(i)
		key := f.Tag.Get("toml")
		inner, suffix := table(f.Type)
		switch {
		case key == "-":
		case f.Anonymous && key == "":
			keys = append(keys, ruleKeys(f.Type, prefix)...)
		case key == "":
		case inner != nil:
			keys = append(keys, ruleKeys(inner, prefix+key+suffix+".")...)
		default:
			keys = append(keys, prefix+key)
		}
	}
	return keys
}

// table is the struct behind a field that is a table of its own, and ".*" if
// there is one for each name; nil for a value.
func table(t reflect.Type) (reflect.Type, string) {
	suffix := ""
	if t.Kind() == reflect.Map {
		t, suffix = t.Elem(), ".*"
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil, ""
	}
	for i := range t.NumField() {
		if f := t.Field(i); f.Tag.Get("toml") != "" || f.Anonymous && f.Type.Kind() == reflect.Struct && f.Type.NumField() > 0 && f.Type.Field(0).Tag.Get("toml") != "" {
			return t, suffix
		}
	}
	return nil, ""
}

// usedKeys adds the keys that a table has.
func usedKeys(v reflect.Value, prefix string, used map[string]bool) {
	t := v.Type()
	for i := range t.NumField() {
		f, value := t.Field(i), v.Field(i)
		key := f.Tag.Get("toml")
		inner, suffix := table(f.Type)
		switch {
		case key == "-" || value.IsZero() && key != "":
		case f.Anonymous && key == "":
			usedKeys(value, prefix, used)
		case key == "":
		case inner == nil:
			used[prefix+key] = true
		case suffix != "":
			for _, name := range value.MapKeys() {
				usedKeys(reflect.Indirect(value.MapIndex(name)), prefix+key+suffix+".", used)
			}
		default:
			usedKeys(reflect.Indirect(value), prefix+key+".", used)
		}
	}
}
