package rules

import (
	"math"
	"strconv"
	"strings"
)

// A scale is what the numbers of a condition are in.
type scale struct {
	metric     *metric // the one whose readings are compared as they are; nil where its range says nothing
	name, unit string
	difference bool   // an amount of the unit, not a point on its scale
	bare       bool   // numbers without a unit
	per        string // the unit of time of a rate
}

// of is the scale of a metric's own readings.
func (m *metric) scale() *scale { return &scale{metric: m, name: m.name, unit: m.unit} }

// amount is the scale of what lies between two readings.
func (m *metric) amount() *scale { return &scale{name: m.name, unit: m.unit, difference: true} }

// write writes a limit that was read as v.
func (s *scale) write(q Quantity, v float64) string {
	if v != v {
		return q.String() // an attribute, which differs from device to device
	}
	return withUnit(exact(v), s.shown())
}

// shown is the unit that people see.
func (s *scale) shown() string {
	if s.per == "" {
		return s.unit
	}
	return s.unit + "/" + s.per
}

// public is v as events show it: a number, or the attribute it will come from.
func (s *scale) public(q Quantity, v float64) any {
	if v != v {
		return q.String()
	}
	return v
}

// quantity converts q to the unit of s. An attribute is that of the device the
// rule is compiled for; without a device it is no number, which never fires.
func (c *compiler) quantity(path []string, q Quantity, s *scale) (float64, bool) {
	if q.Attr != "" {
		have, ok := c.attrs[q.Attr]
		if !ok {
			return math.NaN(), true
		}
		q = have
	}
	if s.bare && q.Unit != "" {
		c.fail(path, q.String()+" has a unit, and "+s.name+" has none", "write "+exact(q.Value))
		return 0, false
	}
	factor := 1.0
	if s.per != "" && q.Unit != "" {
		of, per, ok := cutRate(q.Unit)
		if !ok {
			c.fail(path, q.String()+" is no rate", `write the time too, as in "`+withUnit(exact(q.Value), s.shown())+`"`)
			return 0, false
		}
		from, _ := perTime(per)
		to, _ := perTime(s.per)
		q.Unit, factor = of, to/from
	}
	conv, ok := convert(q.Unit, s.unit)
	if s.difference || s.per != "" {
		conv = conv.difference()
	}
	if v := conv.apply(q.Value) * factor; ok && v-v == 0 {
		if conv != (conversion{}) || factor != 1 {
			v = neat(v)
		}
		return v, true
	}
	u, known := findUnit(q.Unit)
	remedy := "write it in " + s.unit
	if target, ok := findUnit(s.unit); ok {
		var same []string
		for _, u := range units {
			if u.dimension == target.dimension {
				same = append(same, u.name)
			}
		}
		remedy = "write it in " + strings.Join(same, ", ")
	}
	switch {
	case ok:
		c.fail(path, q.String()+" is too large to be converted to "+s.unit, "write a smaller number")
	case known:
		c.fail(path, q.String()+" is a "+u.dimension+", and "+s.name+" is measured in "+s.unit, remedy)
	default:
		c.fail(path, "unit "+strconv.Quote(q.Unit)+" is unknown, and "+s.name+" is measured in "+s.unit, remedy)
	}
	return 0, false
}

// neat takes the dust off a number that was converted: 0.09 °F are 0.05 °C.
func neat(v float64) float64 {
	short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 12, 64), 64)
	if err != nil {
		return v
	}
	return short
}

// bounds reads [low, high] in the unit of s.
func (c *compiler) bounds(path []string, r *Range, s *scale) (lo, hi float64, ok bool) {
	key := path[len(path)-1]
	if r.High == nil {
		c.fail(path, key+" has one value", "write two: [low, high]")
		return 0, 0, false
	}
	lo, okLo := c.quantity(path, r.Low, s)
	hi, okHi := c.quantity(path, *r.High, s)
	if !okLo || !okHi {
		return 0, 0, false
	}
	if lo >= hi {
		c.fail(path, key+" begins at "+exact(lo)+" and ends at "+exact(hi), "write the lower one first")
		return 0, 0, false
	}
	return lo, hi, true
}

// reduced is the scale of what many devices make of s together.
func (r *rule) reduced(s *scale) {
	switch r.reduce {
	case "count":
		*s = scale{name: "the number of devices", bare: true}
	case "spread":
		s.difference, s.metric = true, nil
	case "sum":
		s.metric = nil
	}
}

// words say what is measured, "" for a reading as it is.
func (r *rule) words(g *gauge) string {
	var parts []string
	switch g.source {
	case aggregate:
		fn := g.fn
		if fn == "quantile" {
			fn = "p" + exact(math.Round(g.quantile*1e6)/1e4)
		}
		parts = append(parts, fn+" over "+written(g.over))
	case slope:
		parts = append(parts, "rate over "+written(g.over))
	case delta:
		parts = append(parts, "change over "+written(g.over))
	case deviation:
		how := g.deviates.method + ", " + written(g.deviates.baseline)
		if g.deviates.season != "" {
			how += ", by " + strings.ReplaceAll(g.deviates.season, "_", " ")
		}
		parts = append(parts, "deviation ("+how+")")
	}
	if r.across != "" {
		parts = append(parts, r.reduce+" across "+r.across)
	}
	return strings.Join(parts, ", ")
}
