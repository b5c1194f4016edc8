package ruletest

import (
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"tocsin/rules"
)

// A proposal is a rule changed in one key.
type proposal struct {
	key, value string
	change     func(*rules.RuleDef)
}

// advise plays the inputs again with what may calm the rules that flap, and adds
// what did to their reports.
func advise(file *rules.File, inputs iter.Seq2[rules.Input, error], n *noise, reports []RuleReport) error {
	proposals := make([][]proposal, len(reports))
	passes := 0
	for i := range reports {
		if r := &reports[i]; r.Flaps > 0 {
			proposals[i] = append(longer(file, r), n.wider(file, r.ID)...)
			passes = max(passes, len(proposals[i]))
		}
	}
	if passes == 0 {
		return nil
	}
	tallies := make([]*tally, passes)
	for pass := range tallies {
		changed := *file
		changed.Rule = maps.Clone(file.Rule)
		for i, list := range proposals {
			if pass < len(list) {
				def := *file.Rule[reports[i].ID]
				list[pass].change(&def)
				changed.Rule[reports[i].ID] = &def
			}
		}
		program, problems := rules.Compile(&changed)
		if program == nil {
			// What fits one rule's keys may not fit its overrides: then there is nothing
			// to advise in this pass.
			if len(problems) == 0 {
				return fmt.Errorf("changed rules do not compile, and nobody says why")
			}
			continue
		}
		tallies[pass] = newTally(program)
	}
	for in, err := range inputs {
		if err != nil {
			return fmt.Errorf("reading what was recorded again: %w", err)
		}
		for _, t := range tallies {
			if t == nil {
				continue
			}
			if err := t.take(in); err != nil {
				return err
			}
		}
	}
	for pass, t := range tallies {
		if t == nil {
			continue
		}
		t.close()
		for i, list := range proposals {
			if pass >= len(list) {
				continue
			}
			a := Advice{Key: list[pass].key, Value: list[pass].value}
			if s := t.sums[reports[i].ID]; s != nil {
				a.Summary = *s
			}
			if a.Episodes < reports[i].Episodes {
				reports[i].Advice = append(reports[i].Advice, a)
			}
		}
	}
	for i := range reports {
		slices.SortStableFunc(reports[i].Advice, func(a, b Advice) int { return b.Episodes - a.Episodes })
	}
	return nil
}

// longer proposes to wait twice and three times as much longer as a short episode
// usually lasts.
func longer(file *rules.File, r *RuleReport) []proposal {
	var lengths []time.Duration
	for _, e := range r.List {
		if lasted := e.Ended.Sub(e.occurred); !e.Ended.IsZero() && lasted < calm {
			lengths = append(lengths, lasted)
		}
	}
	if len(lengths) == 0 {
		return nil
	}
	slices.Sort(lengths)
	def := file.Rule[r.ID]
	wait := time.Duration(0)
	switch {
	case def.For != nil:
		wait = time.Duration(*def.For)
	case file.Defaults.For != nil:
		wait = time.Duration(*file.Defaults.For)
	}
	var list []proposal
	for _, times := range []time.Duration{2, 3} {
		v := roundUp(wait + times*max(lengths[len(lengths)/2], time.Second))
		if n := len(list); n > 0 && list[n-1].value == short(v) {
			continue
		}
		list = append(list, proposal{"for", short(v), func(def *rules.RuleDef) {
			d := rules.Duration(v)
			def.For = &d
		}})
	}
	return list
}

// roundUp makes a duration one that people would write.
func roundUp(d time.Duration) time.Duration {
	unit := time.Second
	switch {
	case d > 10*time.Minute:
		unit = time.Minute
	case d > time.Minute:
		unit = 10 * time.Second
	}
	return (d + unit - 1) / unit * unit
}

// noise watches how far readings come back across the limits of rules, before
// they cross them again.
type noise struct {
	watched map[string][]*watch // by metric
}

// A watch is on the limit of one rule.
type watch struct {
	rule  string
	unit  string // readings in another are not looked at
	limit float64
	up    bool // fires above it
	last  map[string]*excursion
	moves []float64 // how far back, each time
}

// An excursion is how far a device's readings are back from a limit, and since when.
type excursion struct {
	since time.Time // zero: they are beyond it
	depth float64
}

func newNoise(file *rules.File) *noise {
	n := &noise{watched: map[string][]*watch{}}
	for _, id := range slices.Sorted(maps.Keys(file.Rule)) {
		def := file.Rule[id]
		limit, up := limitOf(def)
		if limit == nil || def.Metric == "" || def.Agg != "" || def.Across != "" {
			continue
		}
		unit := limit.Unit
		if m := file.Metric[def.Metric]; m != nil && m.Unit != "" {
			if unit != "" && unit != m.Unit {
				continue // what is written is not what is measured
			}
			unit = m.Unit
		}
		n.watched[def.Metric] = append(n.watched[def.Metric], &watch{rule: id, unit: unit, limit: limit.Value, up: up, last: map[string]*excursion{}})
	}
	return n
}

// limitOf is the one limit of a rule, nil if it has none, or one of each device's.
func limitOf(def *rules.RuleDef) (limit *rules.Quantity, up bool) {
	for i, q := range []*rules.Quantity{def.Above, def.AtLeast, def.Below, def.AtMost} {
		if q != nil && q.Attr == "" {
			return q, i < 2
		}
	}
	return nil, false
}

func (n *noise) take(in rules.Input) {
	if in.Sample != nil {
		n.sample(in.Sample)
	}
	for i := range in.Batch {
		n.sample(&in.Batch[i])
	}
}

func (n *noise) sample(s *rules.Sample) {
	if s.Invalid != "" || s.Kind != rules.Number {
		return
	}
	for _, w := range n.watched[s.Metric] {
		if s.Unit != "" && s.Unit != w.unit {
			continue
		}
		depth := w.limit - s.Num
		if !w.up {
			depth = -depth
		}
		e := w.last[s.Device]
		switch {
		case e == nil && depth < 0: // beyond it for the first time
			w.last[s.Device] = &excursion{}
		case e == nil:
		case depth < 0:
			if !e.since.IsZero() && s.At.Sub(e.since) < calm && len(w.moves) < maxMoves {
				w.moves = append(w.moves, e.depth)
			}
			*e = excursion{}
		default:
			if e.since.IsZero() {
				e.since = s.At
			}
			e.depth = max(e.depth, depth)
		}
	}
}

// wider proposes a deadband that 95 of 100 moves back across the limit stay in.
func (n *noise) wider(file *rules.File, id string) []proposal {
	def := file.Rule[id]
	for _, w := range n.watched[def.Metric] {
		if w.rule != id || len(w.moves) == 0 {
			continue
		}
		slices.Sort(w.moves)
		deep := w.moves[int(math.Ceil(0.95*float64(len(w.moves))))-1]
		if deep <= 0 {
			return nil
		}
		unit := math.Pow(10, math.Floor(math.Log10(deep))-1)
		deep = math.Ceil(deep/unit*1.000001) * unit // a clear limit ends the alarm when it is reached
		clear := w.limit - deep
		if !w.up {
			clear = w.limit + deep
		}
		clear, _ = strconv.ParseFloat(strconv.FormatFloat(clear, 'g', 12, 64), 64)
		if c := def.Clear; c != nil && c.Limits && math.Abs(w.limit-c.Low.Value) >= deep {
			return nil // it has a wider one
		}
		q := rules.Quantity{Value: clear, Unit: w.unit}
		return []proposal{{"clear", q.String(), func(def *rules.RuleDef) {
			def.Clear = &rules.Clear{Range: rules.Range{Low: q}, Text: q.String(), Limits: true}
		}}}
	}
	return nil
}
