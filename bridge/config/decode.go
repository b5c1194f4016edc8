package config

import (
	"encoding"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"tocsin/rules"
)

// A decoder fills Go values from a parsed file. The library's own stops at the
// first fault, in no fixed order, and knows of no unknown key; this one reports
// all of them, in order, each with its place.
//
// It follows the library's conventions: the tag toml names a key, embedded
// structs lie in their parent, and UnmarshalTOML and UnmarshalText are obeyed.
type decoder struct {
	*source
	later     []later           // keys that are documented and not there yet
	elsewhere map[string]string // tables of the other kind of file, and where they belong
	schemas   map[reflect.Type]schema
}

// A schema says by key which field of a struct a value belongs in.
type schema map[string][]int

// decode fills v, a pointer to a struct, from the whole file.
func (d decoder) decode(v any) {
	d.schemas = map[reflect.Type]schema{}
	d.value(nil, d.tree, reflect.ValueOf(v).Elem())
}

// Types that decide for themselves how they are decoded.
type (
	textSetter interface{ setText(s string) } // a struct that may be a string
	timeSetter interface {
		encoding.TextUnmarshaler
		setTime(t time.Time) error
	}
	oneAccepter interface{ acceptsOne() }  // a list that may be one element
	defaulter   interface{ setDefaults() } // a table with defaults
)

// value decodes one value, which is at path, into v.
func (d decoder) value(path []string, value any, v reflect.Value) {
	if d.report.full(false) {
		return // there is no use in what is decoded, and none in finding more
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		defer func(pointer reflect.Value) {
			if !isTable(pointer.Type().Elem()) && d.undecoded(path) {
				pointer.SetZero() // a value that was not read is none, and not zero
			}
		}(v)
		v = v.Elem()
	}
	if def, ok := v.Addr().Interface().(defaulter); ok {
		def.setDefaults()
	}
	if d.freeForm(value, v.Addr().Interface()) || d.ruleLeaf(path, value, v.Addr().Interface()) {
		return
	}
	switch target := v.Addr().Interface().(type) {
	case *time.Duration:
		d.text(path, value, (*rules.Duration)(target))
		return
	case *netip.Prefix:
		d.text(path, value, (*prefix)(target))
		return
	case timeSetter:
		if t, ok := value.(time.Time); ok {
			if err := target.setTime(t); err != nil {
				d.refuse(path, err, momentForm)
			}
			return
		}
		d.text(path, value, target)
		return
	case textSetter:
		if s, ok := value.(string); ok {
			target.setText(s)
			return
		}
		if _, ok := value.(map[string]any); !ok {
			d.wrongType(path, value, "a text or a table", `write { file = "PATH" } or { env = "NAME" }`)
			return
		}
	case encoding.TextUnmarshaler:
		d.text(path, value, target)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(path, value, v)
	case reflect.Map:
		d.mapping(path, value, v)
	case reflect.Slice:
		d.list(path, value, v)
	default:
		d.scalar(path, value, v)
	}
}

// isTable reports whether a type is written as a table with keys of its own.
func isTable(t reflect.Type) bool {
	decides := reflect.TypeFor[interface{ UnmarshalTOML(v any) error }]()
	return t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(decides) &&
		!reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// valueOf is what a pointer points to, to be set.
func valueOf(pointer any) reflect.Value { return reflect.ValueOf(pointer).Elem() }

// text decodes a value that is written as text, or as a number.
func (d decoder) text(path []string, value any, target encoding.TextUnmarshaler) {
	var s string
	switch value := value.(type) {
	case string:
		s = value
	case int64:
		s = strconv.FormatInt(value, 10)
	case float64:
		s = strconv.FormatFloat(value, 'g', -1, 64)
	default:
		want, remedy := wanted(target)
		d.wrongType(path, value, want, remedy)
		return
	}
	if err := target.UnmarshalText([]byte(s)); err != nil {
		d.refuse(path, err, "")
	}
}

// refuse reports the error of a leaf, whose remedy is what to write; otherwise is
// that of an error that has none.
func (d decoder) refuse(path []string, err error, otherwise string) {
	fact, remedy := splitError(err)
	if remedy == "" {
		remedy = otherwise
	}
	if !strings.HasPrefix(remedy, "did you mean") && !strings.HasPrefix(remedy, "write ") {
		remedy = "write " + remedy
	}
	d.atValue(path, fact, remedy)
}

func (d decoder) scalar(path []string, value any, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if s, ok := value.(string); ok {
			v.SetString(s)
			return
		}
		d.mismatch(path, value, "a text")
	case reflect.Bool:
		if b, ok := value.(bool); ok {
			v.SetBool(b)
			return
		}
		d.mismatch(path, value, "true or false")
	case reflect.Int:
		if i, ok := value.(int64); ok && i == int64(int(i)) {
			v.SetInt(i)
			return
		}
		d.mismatch(path, value, "a whole number")
	case reflect.Float64:
		if f, ok := value.(float64); ok && !math.IsNaN(f) && !math.IsInf(f, 0) {
			v.SetFloat(f)
			return
		}
		if i, ok := value.(int64); ok {
			v.SetFloat(float64(i))
			return
		}
		d.mismatch(path, value, "a number")
	}
}

func (d decoder) list(path []string, value any, v reflect.Value) {
	var elements []any
	switch value := value.(type) {
	case []any:
		elements = value
	case []map[string]any:
		for _, m := range value {
			elements = append(elements, m)
		}
	default:
		if _, ok := v.Interface().(oneAccepter); !ok {
			d.mismatch(path, value, "a list")
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		d.value(path, value, v.Index(0))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(elements), len(elements)))
	for i, e := range elements {
		d.value(under(path, strconv.Itoa(i)), e, v.Index(i))
	}
}

func (d decoder) mapping(path []string, value any, v reflect.Value) {
	table, ok := value.(map[string]any)
	if !ok {
		d.wrongType(path, value, "a table", tableForm(path, value, v.Type()))
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(table)))
	for _, key := range slices.Sorted(maps.Keys(table)) {
		at := under(path, key)
		if strings.TrimSpace(key) == "" {
			d.atKey(at, "a name is empty", "give it a name, such as "+header(under(path, "name")...))
			continue
		}
		if strings.ContainsFunc(key, unicode.IsControl) {
			d.atKey(at, "a name contains a control character", "write it without")
			continue
		}
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(at, table[key], e)
		v.SetMapIndex(reflect.ValueOf(key), e)
	}
}

func (d decoder) structure(path []string, value any, v reflect.Value) {
	table, ok := value.(map[string]any)
	if !ok {
		d.wrongType(path, value, "a table", tableForm(path, value, v.Type()))
		return
	}
	fields, known := d.schemas[v.Type()]
	if !known {
		fields = schemaOf(v.Type())
		d.schemas[v.Type()] = fields
	}
	for _, key := range slices.Sorted(maps.Keys(table)) {
		at := under(path, key)
		if d.report.full(false) {
			return
		} else if f, ok := fields[key]; ok {
			d.value(at, table[key], v.FieldByIndex(f))
		} else if l := findLater(d.later, at); l != nil {
			d.notYet(at, table[key], l)
		} else {
			d.unknown(at, slices.Sorted(maps.Keys(fields)))
		}
	}
}

func schemaOf(t reflect.Type) schema {
	fields := schema{}
	for _, f := range reflect.VisibleFields(t) {
		if key := f.Tag.Get("toml"); key != "" && key != "-" {
			fields[key] = f.Index
		}
	}
	return fields
}

// unknown reports a key that is not known among those that are.
func (d decoder) unknown(path, known []string) {
	fact := fmt.Sprintf("unknown key %q", path[len(path)-1])
	if remedy := d.elsewhere[path[0]]; len(path) == 1 && remedy != "" {
		d.atKey(path, fact, remedy)
		return
	}
	d.atKey(path, fact, suggestKey(path, known))
	for _, meant := range meantBy(path, known) {
		d.miss(under(path[:len(path)-1], meant))
	}
}

// miss notes that a key is not there because of what has been reported.
func (d decoder) miss(path []string) {
	if _, written := d.places[pathKey(path)]; !written {
		d.blame(path)
	}
}

// notYet reports a key that is documented and that this version does not obey.
// What switches the thing off is obeyed.
func (d decoder) notYet(path []string, value any, l *later) {
	if isOff(value) || slices.Contains(l.same, fmt.Sprint(value)) {
		return
	}
	d.atKey(path, fmt.Sprintf("key %q is not supported by this version", path[len(path)-1]), l.remedy)
	for _, key := range l.instead {
		d.miss(under(path[:len(path)-1], key))
	}
}

// isOff reports whether a value is how something is left out.
func isOff(value any) bool {
	switch value := value.(type) {
	case string:
		return value == "" || value == "0s"
	case bool:
		return !value
	case int64:
		return value == 0
	case []any:
		return len(value) == 0
	case map[string]any:
		for _, v := range value {
			if !isOff(v) {
				return false
			}
		}
		return true
	}
	return false
}

// mismatch reports a value of the wrong type, without the value: it may be a secret.
func (d decoder) mismatch(path []string, value any, want string) {
	remedy := "write " + want
	_, isDate := value.(time.Time)
	switch {
	case want == "a text" && isDate:
		remedy = `put it in quotes, as in "2026-12-25"`
	case want == "a text":
		remedy = `put it in quotes, as in "text"`
	case want == "true or false", want == "a whole number", want == "a number":
		remedy += ", without quotes"
	case want == "a list":
		remedy = "put it in brackets, as in " + listForm(value)
	}
	d.wrongType(path, value, want, remedy)
}

func (d decoder) wrongType(path []string, value any, want, remedy string) {
	d.atValue(path, fmt.Sprintf("is %s, and %s is needed", typeName(value), want), remedy)
}

func listForm(value any) string {
	switch value.(type) {
	case int64, float64:
		return "[1, 2]"
	case map[string]any:
		return "[{ … }, { … }]"
	}
	return `["one", "two"]`
}

// tableForm says how a table is written that is decoded into a type.
func tableForm(path []string, value any, t reflect.Type) string {
	const mostInline = 6 // keys of a table that is written on one line
	named := path
	if t.Kind() == reflect.Map {
		named = under(path, "NAME")
	}
	if _, list := value.([]map[string]any); list {
		return "write " + header(named...) + ", in single brackets"
	}
	if t.Kind() == reflect.Map {
		if t.Elem().Kind() != reflect.Pointer {
			return `write a table, as in { name = "value" }`
		}
		return "write " + header(named...) + " on a line of its own, and its keys below it"
	}
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		if key := f.Tag.Get("toml"); key != "" && key != "-" {
			names = append(names, key+" = …")
		}
	}
	_, err := strconv.Atoi(path[len(path)-1])
	switch {
	case err == nil && len(names) > mostInline:
		return "write { " + strings.Join(names[:3], ", ") + ", … }"
	case len(names) <= mostInline:
		return "write { " + strings.Join(names, ", ") + " }"
	}
	return "write " + header(path...) + " on a line of its own, and its keys below it"
}

func typeName(value any) string {
	switch value.(type) {
	case string:
		return "a text"
	case bool:
		return "true or false"
	case int64:
		return "a whole number"
	case float64:
		return "a number with a point"
	case time.Time:
		return "a date"
	case []any, []map[string]any:
		return "a list"
	}
	return "a table"
}

// under is a path and more keys. The path's own memory is not written.
func under(path []string, keys ...string) []string {
	return append(path[:len(path):len(path)], keys...)
}
