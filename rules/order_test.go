package rules

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// I8: readings that come one by one, in whatever order within late, leave alarms as
// they leave them in order; and one that comes again, at once or minutes later,
// changes nothing.
//
// That holds for limits and for functions of the readings of a window, once it has
// been watched whole. It cannot hold where the order of looks is part of the
// question: a deadband and a latch (which side was left last), samples and repeats
// (how often it was looked), for and clear_for (since when), changed, prev, flat and
// deviates (which reading came before which), counters (which of two is a new
// beginning); nor where a look between two readings found something and the last
// look does not know: a slope or difference of too few readings, a sum that is not
// whole, min_samples. Of those is held what they come to, and how their alarms stand
// where that is known. Readings come at one moment, for the axis of a window goes on
// from when the newest came.
func TestEveryFunctionOfReadingsWithinLateIsTheSameInAnyOrder(t *testing.T) {
	text := "[defaults]\nnotify = [\"ops\"]\nlate = \"3m\"\n[metric.level]\ntype = \"number\"\nrange = [-50.0, 50.0]\n"
	rule := func(condition string) {
		text += fmt.Sprintf("[rule.r%d]\n%s\n", strings.Count(text, "[rule."), condition)
	}
	for _, limit := range []string{"above = 2", "at_most = -3", "outside = [-4, 4]", "inside = [0, 1]"} {
		rule("metric = \"level\"\n" + limit)
	}
	for _, fn := range []string{"avg", "min", "max", "sum", "count", "last", "median", "p90", "stddev", "spread"} {
		rule("metric = \"level\"\nover = \"5m\"\nabove = 2\nagg = \"" + fn + "\"")
		rule("when = \"" + fn + "(level, '2m') > 1 or level > 4\"")
	}
	for _, trend := range []string{"rate_above = \"1 /min\"", "rate_below = \"-2 /min\"", "delta_above = 2", "delta_below = -4"} {
		rule("metric = \"level\"\nover = \"5m\"\n" + trend)
		rule("metric = \"level\"\nover = \"2m\"\nmin_samples = 3\n" + trend)
	}
	rule("when = \"rate(level, '4m') > 0.01 or delta(level, '2m') > 5\"")
	rule("when = \"first(level, '2m') > 1\"")
	rule("when = \"level > 2 and door == 'open'\"")
	p, list := Compile(readFile(t, text))
	if p == nil {
		t.Fatal(problems(list))
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := begun(t, p), begun(t, p)
		now := start
		for _, r := range []*run{a, b} {
			s := reading(now, 0.0)
			s.Device, s.Metric = "a", "level"
			r.step(Input{Now: now, Sample: s})
		}
		now = now.Add(6 * time.Minute) // from then on windows have been watched whole
		var story []Input
		for range rapid.IntRange(1, 3).Draw(t, "bursts") {
			now = now.Add(rapid.SampledFrom([]time.Duration{4 * time.Minute, 10 * time.Minute}).Draw(t, "wait"))
			var burst []Input
			for _, ago := range rapid.SliceOfNDistinct(rapid.IntRange(0, 180), 1, 8, rapid.ID[int]).Draw(t, "ago") {
				s := drawSample(t, "a", now)
				s.At, s.Flags, s.Clock = now.Add(-time.Duration(ago)*time.Second), 0, ClockDevice
				burst = append(burst, Input{Now: now, Sample: s})
			}
			story = append(story, burst...)
			for _, in := range burst {
				a.step(in)
			}
			for _, in := range rapid.Permutation(burst).Draw(t, "order") {
				b.step(in)
			}
			wait := time.Duration(rapid.IntRange(0, 360).Draw(t, "then")) * time.Second
			now = now.Add(wait)
			a.step(Input{Now: now})
			b.step(Input{Now: now})
			for range rapid.IntRange(0, 2).Draw(t, "again") {
				b.step(Input{Now: now, Sample: rapid.SampledFrom(burst).Draw(t, "repeated").Sample})
			}
			if x, y := a.allStand(), b.allStand(); x != y {
				t.Fatalf("%s\n\nin one order\n%s\nin another\n%s", tellInputs(story), x, y)
			}
		}
	})
}

// allStand is what each alarm measures, and how it stands where that is known.
func (r *run) allStand() string {
	var b strings.Builder
	for _, d := range r.e.sortedDevices() {
		for _, c := range d.all() {
			for _, a := range c.alarms {
				r.tellStanding(&b, a)
			}
		}
	}
	return b.String()
}

func (r *run) tellStanding(b *strings.Builder, a *instance) {
	fmt.Fprint(b, a.rule.id)
	known := true
	for i := range a.rule.gauges {
		if a.rule.plain {
			continue
		}
		m := r.e.measure(a, i)
		fmt.Fprintf(b, " %.9g %v", m.value.num, m.known)
		known = known && m.known
	}
	if s := a.standing(); known {
		fmt.Fprintf(b, " %v %v", s.phase, s.severity)
	}
	b.WriteString("\n")
}
