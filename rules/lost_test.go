package rules

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// comeAgain are the inputs of a story that a crash has lost, or some of them, as they
// come again: whole or in part, at once or minutes later, in whatever order.
func comeAgain(t *rapid.T, lost []Input, now time.Time) []Input {
	var list []Input
	for _, in := range lost {
		if in.Sample == nil && in.Batch == nil || rapid.IntRange(0, 4).Draw(t, "gone") == 4 {
			continue
		}
		list = append(list, in)
	}
	if rapid.Bool().Draw(t, "shuffled") {
		list = rapid.Permutation(list).Draw(t, "order")
	}
	for i := range list {
		now = now.Add(rapid.SampledFrom([]time.Duration{0, time.Second, 3 * time.Minute, 20 * time.Minute}).Draw(t, "wait"))
		in := &list[i]
		in.Now = now
		if in.Sample != nil {
			s := *in.Sample
			s.Received = now
			in.Sample = &s
		}
		in.Batch = slices.Clone(in.Batch)
		for k := range in.Batch {
			in.Batch[k].Received = now
		}
	}
	return list
}

// send has a device say something of a minute at a minute.
func (r *crashing) send(now, at, v float64) Sample {
	s := *reading(minutes(at), v)
	s.Device, s.Metric, s.Received = "d", "x", minutes(now)
	r.step(Input{Now: minutes(now), Sample: &s})
	return s
}

// I1 and I2 over crashes in which what came last is lost, and comes again.
func TestWhateverTheRulesWhatWasToldIsNotToldAgainWhenItsReadingsAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		file, p := drawFile(t)
		story := drawInputs(t, storyLength)
		r := newCrashing(t, p)
		late := time.Duration(0)
		for i := range story {
			in := delayed(story[i], late)
			r.step(in)
			switch rapid.IntRange(0, 7).Draw(t, "crash") {
			case 6:
				r.snapshot()
			case 7:
				kept := rapid.IntRange(0, len(r.past)).Draw(t, "recorded")
				lost := slices.Clone(r.past[kept:])
				r.past = r.past[:kept]
				r.crash(p)
				down := &Gap{in.Now, in.Now.Add(time.Second)}
				r.away(down)
				now := down.To
				for _, in := range comeAgain(t, lost, now) {
					r.step(in)
					now = in.Now
				}
				late += now.Sub(in.Now)
			}
		}
		later(r.inputs, r.run)
		known := map[string]bool{}
		r.events = slices.DeleteFunc(r.events, func(ev Event) bool {
			told := known[ev.ID] // of the past: the store knows it
			known[ev.ID] = true
			return ev.Alarm.Key == "" || told && ev.Type == AlarmOccurred
		})
		checkWhole(t, r.run, file, r.inputs)
		checkStandings(t, r.run)
	})
}

// Two crashes before a snapshot: the second rehearsal takes the time of which the
// first lost the readings for one in which nothing came.
func TestTheStoreKnowsWhatWasToldOfReadingsThatWereLost(t *testing.T) {
	for _, rule := range []string{"above = 2", "changed = true\nhold = \"30s\"", "agg = \"max\"\nover = \"30s\"\nabove = 2"} {
		p := compileText("[defaults]\nnotify = [\"ops\"]\nlate = \"1s\"\n[device.d]\nevery = \"1m\"\n[rule.hot]\nmetric = \"x\"\n" + rule + "\n")
		r := newCrashing(t, p)
		r.send(1, 1, 1)
		lost := []Sample{r.send(2, 2, 3), r.send(3, 3, 1), r.send(4, 4, 3), r.send(5, 5, 1)}
		known := map[string]bool{}
		for i := range r.events {
			known[r.events[i].ID] = true
		}
		r.past = r.past[:2]
		r.crash(p)
		r.send(20, 20, 1)
		r.crash(p)
		told := len(r.events)
		r.step(Input{Now: minutes(21), Batch: lost})
		for i := range r.events[told:] {
			if ev := &r.events[told+i]; !known[ev.ID] {
				t.Errorf("%s: told again: %s", rule, r.bytes[told+i])
			}
		}
		if len(r.events) == told {
			t.Errorf("%s: nothing was judged again", rule)
		}
	}
}

// What came after a hole is not known whole when some of it was lost: how an alarm
// stands is for the store to say.
func TestThePastDoesNotSpeakForReadingsThatWereLost(t *testing.T) {
	p := compileText("[defaults]\nnotify = [\"ops\"]\nlate = \"1s\"\n[device.d]\nevery = \"1m\"\n[rule.hot]\nmetric = \"x\"\nabove = 2\n")
	r := newCrashing(t, p)
	r.send(1, 1, 1)
	r.send(10, 10, 3)
	r.send(11, 11, 3)
	kept := len(r.past)
	r.send(12, 12, 1)
	r.past = r.past[:kept]
	r.crash(p)
	r.send(13, 5, 3)
	r.send(14, 14, 1)
	if want := []string{"10m fired warning", "12m resolved warning"}; !slices.Equal(r.log, want) {
		t.Errorf("told %q, want %q", r.log, want)
	}
}
