package rules

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// A reading that is not put before the alarms would have changed nothing: neither
// how one of them stands, nor what came nearest to its limit.
func TestCalmReadingWouldHaveChangedNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.OneOf(rapid.Float64Range(-30, 30), rapid.SampledFrom([]float64{-1e300, -0.1, 0, 0.1, 0.3, 1e-9, 7, 1e300}))
		r := &rule{subject: ofMetric, gauges: []gauge{{source: newest}}}
		for range rapid.IntRange(1, 3).Draw(t, "rungs") {
			g := rung{}
			g.op = operator(rapid.IntRange(int(above), int(inside)).Draw(t, "op"))
			g.lo, g.hi = number.Draw(t, "lo"), number.Draw(t, "hi")
			g.lo, g.hi = min(g.lo, g.hi), max(g.lo, g.hi)
			r.rungs = append(r.rungs, g)
		}
		r.simplify()
		short := r.rungs[0].short(number.Draw(t, "nearest"))
		c := r.calm(short)
		candidates := []float64{number.Draw(t, "v"), c.lo, c.hi, r.rungs[0].lo, r.rungs[0].hi}
		for _, v := range candidates {
			if c.covers(v) && (r.wakes(value{num: v}) || r.rungs[0].short(v) < short) {
				t.Fatalf("%v is calm between %v and %v, and %v short where %v was the nearest (wakes: %v)",
					v, c.lo, c.hi, r.rungs[0].short(v), short, r.wakes(value{num: v}))
			}
		}
	})
}

// What was calm before an alarm began to move is not afterwards, whatever made it
// move.
func TestReadingThatWasCalmEndsWhatBegan(t *testing.T) {
	const rules = "schema = 1\n[metric.temperature]\n[rule.hot]\nmetric = \"temperature\"\nabove = 30\nfor = \"1m\"\n"
	tell(t, rules, "0s d temperature=20\n10s d temperature=19\n20s d temperature=31\n30s d temperature=19\n90s tick")
	tell(t, rules, "0s d temperature=20\n10s d temperature=19\n20s d temperature=31\n90s d temperature=31\n100s d temperature=19\n",
		"1m20s fired warning hot/d", "1m40s resolved warning hot/d")
}

// Nor is it where labels that come later bind another rule to the device, or choose
// another variant of the one that there is.
func TestReadingThatWasCalmIsJudgedByWhatLabelsBring(t *testing.T) {
	lyon := map[string]string{"site": "lyon"}
	bound := coldFile(freezer(t))
	bound.Device = nil
	other := freezer(t)
	other.Devices, other.Above, other.Clear, other.For = Scope{"label:site=lyon"}, qty(t, "-25"), nil, dur(t, "0s")
	bound.Rule["lyon"] = other
	varied := coldFile(freezer(t))
	varied.Device = nil
	varied.Rule["freezer-warm"].For, varied.Rule["freezer-warm"].Clear = dur(t, "0s"), nil
	varied.Rule["freezer-warm"].Override = map[string]*OverrideDef{"label:site=lyon": {Condition: Condition{Above: qty(t, "-25")}}}
	for name, file := range map[string]*File{"bound": bound, "varied": varied} {
		r := newRun(t, mustCompile(t, file), Options{})
		r.sample(minutes(0), -20)
		r.sample(minutes(1), -21)
		r.labelled(2, -28, 0, lyon)
		r.sample(minutes(3), -21)
		if len(r.events) != 1 || r.events[0].Type != AlarmFired {
			t.Errorf("%s: told %q", name, r.bytes)
		}
	}
}

// What a quantile tells is the same whoever looks at its window meanwhile: a rule
// that looks each time that a reading leaves, or a person. So is which readings are
// refused as too late.
func TestWhoLooksAtAWindowChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		over := rapid.SampledFrom([]string{"30s", "90s", "5m", "25m"}).Draw(t, "over")
		text := fmt.Sprintf("schema = 1\n[metric.level]\n[rule.q]\nmetric = \"level\"\nagg = %q\nover = %q\n%s = %d\nmin_samples = %d\n",
			rapid.SampledFrom([]string{"p90", "median", "min", "max"}).Draw(t, "agg"), over, rapid.SampledFrom([]string{"above", "at_most"}).Draw(t, "op"),
			rapid.IntRange(-4, 4).Draw(t, "limit"), rapid.IntRange(1, 3).Draw(t, "min_samples"))
		story := drawInputs(t, storyLength)
		a := begun(t, compileText(text))
		b := begun(t, compileText(text+fmt.Sprintf("[rule.other]\nmetric = \"level\"\nagg = \"avg\"\nover = %q\nabove = 1000000\n", over)))
		for _, in := range story {
			if rapid.Bool().Draw(t, "asked") {
				b.e.Explain("a", "q", in.Now)
			}
			a.step(in)
			b.step(in)
			differ(t, text, story, "looks", a.out.Problems, b.out.Problems)
		}
		later(story, a, b)
		differ(t, text, story, "looks", a.bodies(), b.bodies())
	})
}
