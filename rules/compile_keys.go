package rules

import "slices"

// A family is a way to ask: the keys of one table belong to one of them.
type family uint8

const (
	limitFamily family = iota
	valueFamily
	changeFamily
	trendFamily
	deviationFamily
	silenceFamily
	flatFamily
	invalidFamily
	skewFamily
	expressionFamily
)

// A fireKey is a key that makes a condition.
type fireKey struct {
	name   string
	family family
	op     operator // of what is measured
}

// fireKeys are all of them, in the order in which they are named to people.
var fireKeys = [...]fireKey{
	{"above", limitFamily, above},
	{"at_least", limitFamily, atLeast},
	{"below", limitFamily, below},
	{"at_most", limitFamily, atMost},
	{"outside", limitFamily, outside},
	{"inside", limitFamily, inside},
	{"is", valueFamily, is},
	{"is_not", valueFamily, isNot},
	{"in", valueFamily, oneOf},
	{"matches", valueFamily, matches},
	{"changed", changeFamily, is},
	{"from", changeFamily, is},
	{"to", changeFamily, is},
	{"increased_by", changeFamily, is},
	{"decreased_by", changeFamily, is},
	{"rate_above", trendFamily, above},
	{"rate_below", trendFamily, below},
	{"delta_above", trendFamily, above},
	{"delta_below", trendFamily, below},
	{"deviates", deviationFamily, above},
	{"silent", silenceFamily, is},
	{"flat", flatFamily, atLeast},
	{"invalid", invalidFamily, atLeast},
	{"skew", skewFamily, above},
	{"when", expressionFamily, is},
}

// firePaths are the paths of all fire keys of a table.
func firePaths(table []string) [][]string {
	paths := make([][]string, 0, len(fireKeys))
	for _, k := range fireKeys {
		paths = append(paths, join(table, k.name))
	}
	return paths
}

// fire lists the fire keys that are written.
func (c *Condition) fire() []fireKey {
	var list []fireKey
	for i, present := range [...]bool{
		c.Above != nil, c.AtLeast != nil, c.Below != nil, c.AtMost != nil, c.Outside != nil, c.Inside != nil,
		c.Is != nil, c.IsNot != nil, c.In != nil, c.Matches != nil,
		c.Changed != nil, c.From != nil, c.To != nil, c.IncreasedBy != nil, c.DecreasedBy != nil,
		c.RateAbove != nil, c.RateBelow != nil, c.DeltaAbove != nil, c.DeltaBelow != nil,
		c.Deviates != nil, c.Silent != nil, c.Flat != nil, c.Invalid != nil, c.Skew != nil, c.When != nil,
	} {
		if present {
			list = append(list, fireKeys[i])
		}
	}
	return list
}

// family is that of the first fire key; false without any.
func (c *Condition) family() (family, bool) {
	fire := c.fire()
	if len(fire) == 0 {
		return 0, false
	}
	return fire[0].family, true
}

// ofDevice reports whether a family asks about a device, not about one metric.
func (f family) ofDevice() bool {
	return f == silenceFamily || f == skewFamily || f == expressionFamily
}

// scalars lists what c compares values with.
func (c *Condition) scalars() []Scalar {
	list := slices.Clone(c.In)
	for _, s := range []*Scalar{c.Is, c.IsNot, c.ClearIs, c.From, c.To} {
		if s != nil {
			list = append(list, *s)
		}
	}
	return list
}

// numeric reports whether c makes a number of its metric, whatever else is
// known of it. A count of readings, or a change, is of any kind of metric.
func (c *Condition) numeric() bool {
	for _, k := range c.fire() {
		switch {
		case k.family == limitFamily && c.Agg != "count",
			k.family == trendFamily, k.family == deviationFamily, k.family == flatFamily,
			k.name == "increased_by", k.name == "decreased_by":
			return true
		}
	}
	return false
}

// units lists the units in which c compares its metric; attrUnits are those of
// attributes.
func (c *Condition) units(attrUnits map[string]string) []string {
	if c.Agg == "count" {
		return nil
	}
	var list []string
	add := func(rate bool, quantities ...*Quantity) {
		for _, q := range quantities {
			if q == nil {
				continue
			}
			unit := q.Unit
			if q.Attr != "" {
				unit = attrUnits[q.Attr]
			}
			if rate {
				unit, _, _ = cutRate(unit)
			}
			list = append(list, unit)
		}
	}
	add(false, c.Above, c.AtLeast, c.Below, c.AtMost, c.IncreasedBy, c.DecreasedBy, c.DeltaAbove, c.DeltaBelow)
	add(true, c.RateAbove, c.RateBelow)
	if c.Flat != nil {
		add(false, &c.Flat.Within)
	}
	for _, r := range []*Range{c.Outside, c.Inside} {
		if r != nil {
			add(false, &r.Low, r.High)
		}
	}
	if c.Clear != nil && c.Clear.Limits && c.When == nil && c.Deviates == nil {
		add(c.RateAbove != nil || c.RateBelow != nil, &c.Clear.Low, c.Clear.High)
	}
	return list
}
