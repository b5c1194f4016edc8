package rules

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A chapter is one episode as it was told.
type chapter struct {
	began, ended time.Time // ended is zero while it goes on
	told         time.Time
}

func (c chapter) String() string {
	if c.ended.IsZero() {
		return written(c.began.Sub(start)) + "…"
	}
	return written(c.began.Sub(start)) + "-" + written(c.ended.Sub(start))
}

func (c chapter) overlaps(o chapter) bool {
	return (o.ended.IsZero() || !c.began.After(o.ended)) && (c.ended.IsZero() || !o.began.After(c.ended))
}

// within reports whether c tells nothing that o does not.
func (c chapter) within(o chapter) bool {
	return c.ended.After(o.began) && c.overlaps(o) && (o.ended.IsZero() || !c.ended.After(o.ended))
}

// chapters are what was told, of the present and of the past.
func (r *run) chapters() (present, past []chapter) {
	for i := range r.events {
		switch ev := &r.events[i]; ev.Type {
		case AlarmFired:
			present = append(present, chapter{began: ev.Alarm.StartedAt, told: ev.At})
		case AlarmResolved:
			d, _ := time.ParseDuration(ev.Duration)
			present[len(present)-1].ended = ev.Alarm.StartedAt.Add(d)
		case AlarmOccurred:
			past = append(past, chapter{ev.Alarm.StartedAt, *ev.EndedAt, ev.At})
		}
	}
	return present, past
}

// stands is how the only alarm of a run stands, and since when.
func (r *run) stands() (phase, time.Time) {
	for s := range r.e.States() {
		if !s.FiredAt.IsZero() {
			return firing, s.StartedAt
		}
		for _, l := range s.Levels {
			if !l.Since.IsZero() {
				return pending, l.Since
			}
		}
	}
	return inactive, time.Time{}
}

// drawLate draws how the readings of a hole come in: in whatever order, in
// messages of one or of many, with readings of the present in between and after them.
func drawLate(t *rapid.T, late []*Sample, from time.Time, live []*Sample) []Input {
	late = rapid.Permutation(late).Draw(t, "order")
	now := from
	var list []Input
	for len(late) > 0 {
		n := rapid.IntRange(1, len(late)).Draw(t, "message")
		if n == 1 {
			s := *late[0]
			s.Flags |= Historical
			s.Received = now
			list = append(list, Input{Now: now, Sample: &s})
		} else {
			in := Input{Now: now}
			for _, s := range late[:n] {
				c := *s
				c.Received = now
				in.Batch = append(in.Batch, c)
			}
			list = append(list, in)
		}
		late = late[n:]
		if len(live) > 1 && rapid.IntRange(0, 3).Draw(t, "live") == 3 {
			now = live[0].At
			list = append(list, Input{Now: now, Sample: live[0]})
			live = live[1:]
		}
	}
	for _, s := range live {
		list = append(list, Input{Now: s.At, Sample: s})
	}
	return list
}

// Readings that were kept back, in whatever order and in whatever messages they
// come in the end, leave an alarm as it would stand had they come in time. What is
// compared:
//
//   - whether it is inactive, pending or firing, once another reading has come; one
//     that people know of may fire where it would be pending again, because it is
//     not ended for having ended in between, nor for not having begun where a timer
//     of ours ended while nothing came;
//   - since when, where nobody was told before they came, or when some had;
//   - that every episode of the one is part of what was told by the other, once;
//   - that an episode of the past is told as it was, if all that was kept came in one
//     message: otherwise it is told as it is known by then.
//
// A window that misses readings may have said what they would have denied: of those
// it is compared how the alarm stands, and what was told.
func TestReadingsThatWereKeptBackMakeNoDifferenceInTheEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := "late = \"2m\"\n"
		condition := rapid.SampledFrom([]string{
			"above = 10", "above = 10\nclear = 8", "above = 10\nclear = 6\nfor = \"4m\"", "above = 10\nfor = \"2m\"\nclear_for = \"3m\"",
			"above = 10\nsamples = 3", "above = 10\nclear = 8\nclear_samples = 2\nfor = \"1m\"",
			"agg = \"avg\"\nover = \"5m\"\nabove = 10\nclear = 8", "agg = \"max\"\nover = \"10m\"\nmin_samples = 3\nabove = 10\nfor = \"3m\"",
			"agg = \"p90\"\nover = \"20m\"\nabove = 10\nclear_for = \"2m\"", "delta_above = 6\nover = \"4m\"", "rate_above = \"1 /min\"\nover = \"5m\"\nclear = \"0.2 /min\"",
		}).Draw(t, "condition")
		windowed := strings.Contains(condition, "over")
		text = "[defaults]\n" + text + "notify = [\"ops\"]\n[device.d]\nevery = \"1m\"\n[rule.hot]\nmetric = \"temperature\"\n" + condition + "\n"
		p := compileText(text)
		if p == nil {
			t.Fatalf("refused: %s", text)
		}
		n := rapid.IntRange(10, 60).Draw(t, "readings")
		hole := rapid.IntRange(1, n-6).Draw(t, "hole")
		back := rapid.IntRange(hole+4, n-1).Draw(t, "back")
		wait := rapid.IntRange(back+1, min(n, back+5)).Draw(t, "wait")
		values := rapid.SampledFrom([]float64{1, 7, 9, 9, 11, 13})
		var all []*Sample
		v := 1.0
		for i := range n {
			if rapid.IntRange(0, 2).Draw(t, "moves") == 2 {
				v = values.Draw(t, "value")
			}
			all = append(all, reading(start.Add(time.Duration(i)*time.Minute), v))
			all[i].Device = "d"
		}
		last := *all[n-1]
		last.At = last.At.Add(time.Minute)
		last.Received = last.At
		all = append(all, &last)
		a, b := begun(t, p), begun(t, p)
		for _, s := range all {
			a.step(Input{Now: s.At, Sample: s})
		}
		var story []Input
		for _, s := range slices.Concat(all[:hole], all[back:wait]) {
			story = append(story, Input{Now: s.At, Sample: s})
		}
		came := all[wait-1].At.Add(time.Second)
		story = append(story, drawLate(t, all[hole:back], came, all[wait:])...)
		restart := rapid.IntRange(0, 2*len(story)).Draw(t, "restart")
		for i, in := range story {
			if i == restart {
				b.revive(p)
			}
			b.step(in)
		}
		wrong := func(why string) {
			t.Helper()
			ap, ao := a.chapters()
			bp, bo := b.chapters()
			var series strings.Builder
			for _, s := range all {
				fmt.Fprintf(&series, " %s=%v", written(s.At.Sub(start)), s.Num)
			}
			t.Fatalf("%s\n%s\n%s\nstory%s\n\nin time %v %v\nlate    %v %v", condition, why, series.String(), tellInputs(story), ap, ao, bp, bo)
		}
		in, inSince := a.stands()
		kept, keptSince := b.stands()
		present, past := b.chapters()
		known := kept == firing && present[len(present)-1].told.Before(came)
		ours := known && present[len(present)-1].told.After(all[hole-1].At) && present[len(present)-1].told.Before(all[back].At)
		if in != kept && !(known && in == pending) && !ours {
			wrong(fmt.Sprintf("in time it is %v since %v, late %v since %v", in, inSince.Sub(start), kept, keptSince.Sub(start)))
		}
		once := slices.ContainsFunc(story, func(in Input) bool { return len(in.Batch) == back-hole })
		if in == kept && !known && !inSince.Equal(keptSince) && !windowed && (once || kept == pending) {
			wrong(fmt.Sprintf("in time since %v, late since %v", inSince.Sub(start), keptSince.Sub(start)))
		}
		whole, _ := a.chapters()
		for _, c := range whole {
			if !slices.ContainsFunc(slices.Concat(present, past), c.overlaps) {
				wrong("not told: " + c.String())
			}
		}
		for i, c := range past {
			if slices.ContainsFunc(past[:i], c.overlaps) || !windowed && slices.ContainsFunc(present, c.within) {
				wrong("told twice: " + c.String())
			}
			if once && !windowed && !slices.ContainsFunc(whole, func(w chapter) bool { return w.began.Equal(c.began) && w.ended.Equal(c.ended) }) {
				wrong("not so: " + c.String())
			}
		}
	})
}

// How often a device reports is learnt when it does, and not from the stamps of what
// it has kept: otherwise readings would be too old in the past before they are in the
// present.
func TestThePastIsJudgedByTheIntervalOfThePresent(t *testing.T) {
	const rules = "[defaults]\nlate = \"3m\"\n[rule.fell]\nmetric = \"x\"\nover = \"5m\"\ndelta_below = -2\n"
	for _, story := range []string{
		"10m d x=-5 age=64s\n10m d x=-3 age=14s\n10m d x=5 age=3s\n10m d x=0 age=1s",
		"10m d x=0 age=1s\n10m d x=-5 age=64s\n10m d x=-3 age=14s\n10m d x=5 age=3s",
	} {
		tell(t, rules, "0s d x=0\n"+story+"\n20m d x=0 age=161s\n21m tick", "14m47s fired warning fell/d")
	}
}
