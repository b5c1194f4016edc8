package rules

import (
	"math"
	"strings"
)

// A unit converts to its dimension's base by (v + shift) * num / den. A ratio
// of whole numbers keeps 1100 mV at exactly 1.1 V.
type unit struct {
	name, dimension string
	num, den, shift float64
	aliases         string // separated by spaces
}

// units are those that can be converted. Any other unit is opaque: equal to
// itself, and convertible to nothing.
var units = [...]unit{
	{"°C", "temperature", 1, 1, 0, "C degC ℃ celsius Cel"},
	{"°F", "temperature", 5, 9, -32, "F degF ℉ fahrenheit"},
	{"K", "temperature", 1, 1, -273.15, "kelvin"},
	{"V", "voltage", 1, 1, 0, "volt volts"},
	{"mV", "voltage", 1, 1e3, 0, ""},
	{"µV", "voltage", 1, 1e6, 0, "uV μV"},
	{"kV", "voltage", 1e3, 1, 0, ""},
	{"A", "current", 1, 1, 0, "amp amps"},
	{"mA", "current", 1, 1e3, 0, ""},
	{"µA", "current", 1, 1e6, 0, "uA μA"},
	{"W", "power", 1, 1, 0, "watt watts"},
	{"mW", "power", 1, 1e3, 0, ""},
	{"kW", "power", 1e3, 1, 0, ""},
	{"MW", "power", 1e6, 1, 0, ""},
	{"Wh", "energy", 1, 1, 0, ""},
	{"kWh", "energy", 1e3, 1, 0, ""},
	{"MWh", "energy", 1e6, 1, 0, ""},
	{"J", "energy", 1, 3600, 0, ""},
	{"kJ", "energy", 1e3, 3600, 0, ""},
	{"MJ", "energy", 1e6, 3600, 0, ""},
	{"Pa", "pressure", 1, 1, 0, ""},
	{"hPa", "pressure", 1e2, 1, 0, ""},
	{"mbar", "pressure", 1e2, 1, 0, ""},
	{"kPa", "pressure", 1e3, 1, 0, ""},
	{"bar", "pressure", 1e5, 1, 0, ""},
	{"psi", "pressure", 6894.757293168, 1, 0, ""},
	{"mm", "length", 1, 1e3, 0, ""},
	{"cm", "length", 1, 1e2, 0, ""},
	{"m", "length", 1, 1, 0, ""},
	{"km", "length", 1e3, 1, 0, ""},
	{"in", "length", 254, 1e4, 0, "inch"},
	{"ft", "length", 3048, 1e4, 0, ""},
	{"mm/s", "speed", 1, 1e3, 0, ""},
	{"m/s", "speed", 1, 1, 0, ""},
	{"km/h", "speed", 10, 36, 0, "kmh"},
	{"mph", "speed", 44704, 1e5, 0, ""},
	{"mg", "mass", 1, 1e6, 0, ""},
	{"g", "mass", 1, 1e3, 0, ""},
	{"kg", "mass", 1, 1, 0, ""},
	{"t", "mass", 1e3, 1, 0, ""},
	{"lb", "mass", 45359237, 1e8, 0, "lbs"},
	{"mL", "volume", 1, 1e3, 0, "ml"},
	{"L", "volume", 1, 1, 0, "l"},
	{"m³", "volume", 1e3, 1, 0, "m3"},
	{"Hz", "frequency", 1, 1, 0, ""},
	{"kHz", "frequency", 1e3, 1, 0, ""},
	{"rpm", "frequency", 1, 60, 0, "RPM"},
	{"ms", "time", 1, 1e3, 0, ""},
	{"s", "time", 1, 1, 0, ""},
	{"min", "time", 60, 1, 0, ""},
	{"h", "time", 3600, 1, 0, ""},
	{"d", "time", 86400, 1, 0, ""},
	{"%", "share", 1, 1, 0, "percent %RH"},
}

// findUnit looks a unit up by its name or an alias.
func findUnit(name string) (unit, bool) {
	for _, u := range units {
		if u.name == name {
			return u, true
		}
		for alias := range strings.FieldsSeq(u.aliases) {
			if alias == name {
				return u, true
			}
		}
	}
	return unit{name: name}, false
}

// perTime knows the units of time that a rate may be per, with their seconds.
func perTime(name string) (seconds float64, ok bool) {
	switch name {
	case "s", "min", "h", "d":
		u, _ := findUnit(name)
		return u.num, true
	}
	return 0, false
}

// cutRate takes the time off a rate's unit: "°C/min" is °C per min. The last
// slash counts, as in "mm/s/h".
func cutRate(unit string) (of, per string, ok bool) {
	i := strings.LastIndexByte(unit, '/')
	if i < 0 {
		return unit, "", false
	}
	of, per = strings.TrimSpace(unit[:i]), strings.TrimSpace(unit[i+1:])
	_, ok = perTime(per)
	return of, per, ok
}

// A conversion takes a number from one unit to another. Its zero value keeps
// the number.
type conversion struct {
	mul, div, before, after float64
}

// convert finds the way from one unit to another; "" is any unit.
func convert(from, to string) (conversion, bool) {
	if from == to || from == "" || to == "" {
		return conversion{}, true
	}
	f, knownFrom := findUnit(from)
	t, knownTo := findUnit(to)
	if !knownFrom || !knownTo || f.dimension != t.dimension {
		return conversion{}, false
	}
	if f.name == t.name {
		return conversion{}, true
	}
	return conversion{mul: f.num * t.den, div: f.den * t.num, before: f.shift, after: -t.shift}, true
}

// difference is the conversion of an amount of a unit, not of a point on its
// scale: 0.9 °F warmer is 0.5 °C warmer.
func (c conversion) difference() conversion {
	c.before, c.after = 0, 0
	return c
}

func (c conversion) apply(v float64) float64 {
	if c.div == 0 {
		return v
	}
	v = (v+c.before)*c.mul/c.div + c.after
	if c.before != 0 || c.after != 0 {
		// Adding 273.15 leaves dust in the last digits, and dust must not decide
		// on which side of a limit a reading lies.
		v = math.Round(v*1e9) / 1e9
	}
	return v
}
