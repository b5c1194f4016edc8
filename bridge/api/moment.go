package api

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Times outside of these are mistakes: the ones beyond wrap around where they are
// counted in nanoseconds, and some cannot be written as JSON any more.
const (
	firstYear = 1970
	lastYear  = 2261
)

// soundTimes declines an input that names a time that is none.
func soundTimes(in any) error { return soundTimesIn(reflect.ValueOf(in), "") }

func soundTimesIn(v reflect.Value, place string) error {
	if t, ok := asTime(v); ok {
		if year := t.UTC().Year(); !t.IsZero() && (year < firstYear || year > lastYear) {
			return badRequest("%s: the time is not between the years %d and %d (write it as in 2026-11-06T14:12:10Z)", place, firstYear, lastYear)
		}
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return soundTimesIn(v.Elem(), place)
		}
	case reflect.Slice:
		for i := range v.Len() {
			if err := soundTimesIn(v.Index(i), fmt.Sprintf("%s[%d]", place, i)); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() {
				continue
			}
			if err := soundTimesIn(v.Field(i), within(place, &f)); err != nil {
				return err
			}
		}
	}
	return nil
}

func asTime(v reflect.Value) (t time.Time, ok bool) {
	if v.IsValid() && v.CanInterface() {
		t, ok = v.Interface().(time.Time)
	}
	return t, ok
}

// within is what the sender of an input calls a field of it.
func within(place string, f *reflect.StructField) string {
	name := ""
	for _, tag := range [...]string{"json", "query", "header", "path"} {
		if name, _, _ = strings.Cut(f.Tag.Get(tag), ","); name != "" {
			break
		}
	}
	switch {
	case name == "": // the body, or a part that has no name of its own
		return place
	case place == "":
		return name
	}
	return place + "." + name
}
