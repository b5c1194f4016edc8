package rules

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// I7: what comes twice changes nothing the second time, whatever it is: readings,
// messages, presence, links. Excluded are readings that cannot be judged (nothing
// tells them apart, and each is another one), and messages in which a metric has
// two values under one stamp: the first of them is a newer value the second time.
func TestWhateverTheRulesARepetitionChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		file, p := drawFile(t)
		story := drawInputs(t, storyLength)
		a, b := begun(t, p), begun(t, p)
		for i, in := range story {
			in.Batch = oneEach(in.Batch)
			story[i] = in
			a.step(in)
			b.step(in)
			if (in.Sample != nil || in.Batch != nil || in.Presence != nil || in.Link != nil) && rapid.IntRange(0, 2).Draw(t, "again") == 2 {
				b.step(again(in, in.Now, rapid.SampledFrom([]Flags{0, Dup}).Draw(t, "dup")))
			}
		}
		later(story, a, b)
		differ(t, file, story, "repetitions", a.bodies(), b.bodies())
	})
}

// oneEach is a message in which no metric has two values under one stamp.
func oneEach(list []Sample) []Sample {
	type stamp struct {
		metric string
		at     int64
	}
	seen := map[stamp]bool{}
	for i := range list {
		list[i].Labels = list[0].Labels // they are its topic's
	}
	return slices.DeleteFunc(list, func(s Sample) bool {
		was := seen[stamp{s.Metric, s.At.UnixNano()}]
		seen[stamp{s.Metric, s.At.UnixNano()}] = true
		return was
	})
}

// again is an input that comes once more, but for what cannot be judged.
func again(in Input, now time.Time, flags Flags) Input {
	in.Now = now
	judged := func(s Sample) bool { return s.Num == s.Num && s.Num != 99 }
	if s := in.Sample; s != nil {
		in.Sample = nil
		if judged(*s) {
			repeated := *s
			repeated.Flags |= flags
			in.Sample = &repeated
		}
	}
	in.Batch = slices.DeleteFunc(slices.Clone(in.Batch), func(s Sample) bool { return !judged(s) })
	for i := range in.Batch {
		in.Batch[i].Flags |= flags
	}
	return in
}

// A message that says what was before the first reading, and is repeated.
func TestWhatCameBeforeTheFirstReadingIsToldOnce(t *testing.T) {
	const message = "10m batch d level -13m=3 -11m=0 0s=3\n"
	const rules = `
	[rule.high]
	metric = "level"
	above = 2
	`
	want := []string{"0s fired warning high/d", "10m occurred warning high/d reason=cleared from=-3m to=-1m"}
	tell(t, rules, "0m d level=3\n"+message, want...)
	tell(t, rules, "0m d level=3\n"+message+message, want...)
}

// What a broker retains is no story of the past, whatever else is under way.
func TestARetainedReadingOfThePastIsNotTold(t *testing.T) {
	tell(t, `
	[rule.high]
	metric = "level"
	above = 2
	[rule.low]
	metric = "level"
	below = -4
	`, `
		0m d level=0
		30m d level=-5
		31m d level=3 age=20m +retained
		32m d level=-5`,
		"30m fired warning low/d")
}
