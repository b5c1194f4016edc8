package rules_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"pgregory.net/rapid"

	"tocsin/rules"
)

// A model of the engine, as plain as can be: it keeps every reading for ever, and
// at every moment at which an answer may change it works all of it out anew. It
// shares nothing with the engine but the rule that is judged.
//
// It knows one alarm of one severity, as Prometheus does: a measurement, a limit,
// for, and clear_for (keep_firing_for). Times are nanoseconds of the bridge's
// clock, which a device's clock may be ahead of by always the same.
type model struct {
	fn              string // "" for the newest reading, or what is made of a window
	over            int64
	min             int // fewer readings in the window are unknown
	fires, clears   func(v float64) bool
	hold, clearHold int64
	stale, late     int64
	skew            int64 // a device's time less the bridge's
}

// An arrival is a reading when it comes: in the order of came.
type arrival struct {
	came, at int64 // on the bridge's clock, on the device's
	v        float64
}

// A turn is the alarm beginning or ending to fire.
type turn struct {
	fired   bool
	at      int64
	started int64 // since when the condition held, on the device's clock; of fired only
}

func (t turn) String() string {
	if t.fired {
		return fmt.Sprintf("fired at %v since %v", short(t.at), short(t.started))
	}
	return fmt.Sprintf("resolved at %v", short(t.at))
}

func short(at int64) time.Duration { return time.Duration(at - origin.UnixNano()) }

var origin = time.Date(2026, 11, 6, 14, 0, 0, 0, time.UTC)

// known are the readings that count among the first n that came: numbers, each
// once, none older than late allows when it came. The newest is the one with the
// latest stamp, and of those of one stamp the last that came.
func (m *model) known(list []arrival) (kept []arrival, newest *arrival) {
	for _, a := range list {
		switch {
		case math.IsNaN(a.v):
			continue
		case newest != nil && a.at < newest.at-m.late:
			continue
		case newest != nil && a.at == newest.at && a.v == newest.v:
			continue
		}
		if !slices.ContainsFunc(kept, func(k arrival) bool { return k.at == a.at && k.v == a.v }) {
			kept = append(kept, a)
		}
		if newest == nil || a.at >= newest.at {
			newest = &a
		}
	}
	return kept, newest
}

// measure is what the rule compares at a moment, false if nothing is known. What
// leaves the window then leaves it with the newest reading, or when the moment is over.
func (m *model) measure(list []arrival, now int64, over bool) (float64, bool) {
	kept, newest := m.known(list)
	if newest == nil || now >= newest.came+m.stale && (m.fn != "count" || m.min > 0) {
		return 0, false
	}
	if m.fn == "" {
		return newest.v, true
	}
	var in []arrival
	begin := now + m.skew - m.over
	if !over {
		begin = max(begin-1, newest.at-m.over)
	}
	for _, a := range kept {
		if a.at > begin && !m.passed(a) && a.at <= now+m.skew {
			in = append(in, a)
		}
	}
	if m.fn == "count" && m.min == 0 {
		return float64(len(in)), true
	}
	if len(in) < max(m.min, 1) {
		return 0, false
	}
	slices.SortStableFunc(in, func(a, b arrival) int { return cmp.Compare(a.at, b.at) })
	if m.fn == "rate" && in[len(in)-1].at-in[0].at < int64(m.over)/10 {
		return 0, false
	}
	if m.fn == "sum" && now < list[0].came+m.over && slices.ContainsFunc(in, func(a arrival) bool { return a.v < 0 }) {
		return 0, false // what came before the first that was heard may be less than nothing
	}
	return aggregate(m.fn, in)
}

func aggregate(fn string, in []arrival) (float64, bool) {
	n := float64(len(in))
	sum, values := 0.0, []float64(nil)
	for _, a := range in {
		sum += a.v
		values = append(values, a.v)
	}
	slices.Sort(values)
	switch fn {
	case "count":
		return n, true
	case "sum":
		return sum, true
	case "avg":
		return sum / n, true
	case "min":
		return values[0], true
	case "max":
		return values[len(values)-1], true
	case "spread":
		return values[len(values)-1] - values[0], true
	case "last":
		return in[len(in)-1].v, true
	case "delta":
		return in[len(in)-1].v - in[0].v, len(in) > 1
	case "stddev":
		squares := 0.0
		for _, v := range values {
			squares += (v - sum/n) * (v - sum/n)
		}
		return math.Sqrt(squares / n), true
	case "median":
		return quantile(values, 0.5), true
	case "p90":
		return quantile(values, 0.9), true
	case "rate":
		return slope(in)
	}
	panic("unknown function " + fn)
}

// quantile goes between the two nearest ranks in proportion.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	lower := math.Floor(at)
	upper := min(int(lower)+1, len(sorted)-1)
	return sorted[int(lower)] + (sorted[upper]-sorted[int(lower)])*(at-lower)
}

// slope is that of the line with the least squares, in units per second.
func slope(in []arrival) (float64, bool) {
	n, mt, mv := float64(len(in)), 0.0, 0.0
	for _, a := range in {
		mt += float64(a.at-in[0].at) / 1e9 / n
		mv += a.v / n
	}
	above, below := 0.0, 0.0
	for _, a := range in {
		t := float64(a.at-in[0].at)/1e9 - mt
		above += t * (a.v - mv)
		below += t * t
	}
	return above / below, in[0].at != in[len(in)-1].at
}

// An answer is what was said to the question at hand, from a moment on.
type answer struct {
	at     int64
	yes    bool
	known  bool
	device int64 // the moment on the device's clock
}

// held is for how long the answer has been yes at a moment, since when, and
// whether it is now. What is unknown neither counts nor interrupts.
func held(answers []answer, now int64) (total, since int64, yes bool) {
	end := now
	for i := len(answers) - 1; i >= 0; i-- {
		a := answers[i]
		if a.known && !a.yes {
			break
		}
		if a.known {
			total, since, yes = total+end-a.at, a.device, true
		}
		end = a.at
	}
	return total, since, yes && answers[len(answers)-1].known
}

// judge says when the alarm fires and when it is over, until end.
func (m *model) judge(list []arrival, end int64) []turn {
	var turns []turn
	var answers []answer
	on, last := false, int64(math.MinInt64)
	flip := func(now int64) {
		wait := m.hold
		if on {
			wait = m.clearHold
		}
		total, since, yes := held(answers, now)
		if !yes || total < wait {
			return
		}
		on, answers = !on, nil
		t := turn{fired: on, at: now}
		if on {
			last = max(since, last+1) // two episodes never begin at the same nanosecond
			t.started = last
		}
		turns = append(turns, t)
	}
	ask := func(now int64, n int, over bool) {
		v, known := m.measure(list[:n], now, over)
		question := m.fires
		if on {
			question = func(v float64) bool { return m.clears(v) && !m.fires(v) }
		}
		yes := known && question(v)
		if (m.fn == "count" || m.fn == "sum") && now < list[0].came+m.over {
			known = known && yes == question(math.Inf(1)) // more may have come before the first that was heard
			yes = yes && known
		}
		answers = append(answers, answer{now, yes, known, now + m.skew})
		flip(now)
	}
	moments := m.moments(list, end)
	came := 0
	for now := int64(0); now < end; {
		next := end
		for _, t := range moments {
			if t > now {
				next = min(next, t)
			}
		}
		if wait := m.wait(on); len(answers) > 0 {
			if total, _, yes := held(answers, now); yes {
				next = min(next, now+wait-total)
			}
		}
		now = next
		flip(now) // what has run its time ends before anything else of that moment
		for came < len(list) && list[came].came == now {
			if came++; !m.passed(list[came-1]) {
				ask(now, came, false)
			}
		}
		ask(now, came, true)
	}
	return turns
}

// passed reports whether a reading is too old for the window when it comes.
func (m *model) passed(a arrival) bool { return m.over > 0 && a.at <= a.came+m.skew-m.over }

func (m *model) wait(on bool) int64 {
	if on {
		return m.clearHold
	}
	return m.hold
}

// moments are those at which the measurement may change: a reading comes, leaves
// the window, or is too old to be believed.
func (m *model) moments(list []arrival, end int64) []int64 {
	all := []int64{end, list[0].came + m.over}
	for _, a := range list {
		all = append(all, a.came)
		if m.over > 0 {
			all = append(all, a.at-m.skew+m.over)
		}
		all = append(all, a.came+m.stale)
	}
	return all
}

// A family is a way to measure, as a rule file has it, with limits that sums of
// the readings below do not meet exactly where rounding could tell two sides.
type family struct {
	name, keys string // without limits
	model      model
	limits     []float64
	unit       string
}

func families() []family {
	list := []family{{name: "limit", limits: []float64{-1, 0, 2}}}
	window := func(fn string, limits ...float64) {
		f := family{name: fn, keys: fmt.Sprintf("agg = %q\n", fn), limits: limits}
		f.model.fn = fn
		list = append(list, f)
	}
	window("avg", 0.7123, 1.4123)
	window("min", -1, 0)
	window("max", 2, 3)
	window("sum", 3, -2)
	window("count", 1, 3)
	window("stddev", 1.1123)
	window("spread", 3)
	window("last", 1)
	window("median", 0.6123, 1.3123)
	window("p90", 2.2123)
	rate := family{name: "rate", limits: []float64{0.01123, -0.01123, 0.00123}, unit: "/s"}
	rate.model.fn = "rate"
	delta := family{name: "delta", limits: []float64{0, 2}}
	delta.model.fn, delta.model.min = "delta", 2
	return append(list, rate, delta)
}

// draw makes a rule of the family: the model, and the text of the file.
func (f *family) draw(t *rapid.T) (model, string) {
	m, text := f.model, f.keys
	text += "backfill = \"ignore\"\n"
	wait := func(name string, choices ...time.Duration) int64 {
		d := rapid.SampledFrom(choices).Draw(t, name)
		if d > 0 {
			text += fmt.Sprintf("%s = %q\n", name, d.String())
		}
		return int64(d)
	}
	m.hold = wait("for", 0, 0, 40*time.Second, 5*time.Minute)
	m.clearHold = wait("clear_for", 0, 0, 40*time.Second, 5*time.Minute)
	m.stale = wait("stale_after", 2*time.Minute, 15*time.Minute, 300*time.Hour)
	m.late = int64(2 * time.Minute)
	if m.fn != "" {
		m.over = wait("over", 30*time.Second, 3*time.Minute, 12*time.Minute)
		if n := rapid.SampledFrom([]int{0, 1, 3}).Draw(t, "min_samples"); n > 0 {
			text += fmt.Sprintf("min_samples = %d\n", n)
			m.min = n
		}
	}
	limit := rapid.SampledFrom(f.limits).Draw(t, "limit")
	band := rapid.SampledFrom([]float64{0, 0, 0.5}).Draw(t, "band")
	up, key := rapid.Bool().Draw(t, "above"), "below"
	if up {
		key = "above"
	}
	if !up {
		m.fires = func(v float64) bool { return v < limit }
		m.clears = func(v float64) bool { return v >= limit+band }
		if f.name == "rate" {
			band /= 100
		}
	} else {
		m.fires = func(v float64) bool { return v > limit }
		if f.name == "rate" {
			band /= 100
		}
		m.clears = func(v float64) bool { return v <= limit-band }
	}
	if f.name == "rate" || f.name == "delta" {
		key = f.name + "_" + key
	}
	quantity := func(v float64) string {
		if f.unit == "" {
			return fmt.Sprint(v)
		}
		return fmt.Sprintf("%q", fmt.Sprint(v)+" "+f.unit)
	}
	text += fmt.Sprintf("%s = %s\n", key, quantity(limit))
	if band > 0 {
		clear := limit + band
		if up {
			clear = limit - band
		}
		text += fmt.Sprintf("clear = %s\n", quantity(clear))
	}
	return m, "schema = 1\n[rule.r]\nmetric = \"m\"\nnotify = [\"ops\"]\n" + text
}

// drawSeries makes a series with holes, readings that are no numbers, repetitions,
// and stragglers.
func drawSeries(t *rapid.T, skew int64) []arrival {
	waits := rapid.SampledFrom([]time.Duration{0, time.Second, 10 * time.Second, 30 * time.Second, 40 * time.Second, time.Minute, 90 * time.Second, 4 * time.Minute, 20 * time.Minute})
	values := rapid.SampledFrom([]float64{-3, -1, 0, 0, 1, 2, 2.5, 4, math.NaN()})
	behind := rapid.SampledFrom([]time.Duration{time.Second, 20 * time.Second, time.Minute, 2 * time.Minute, 3 * time.Minute})
	now := origin.UnixNano()
	var list []arrival
	newest := arrival{at: math.MinInt64}
	for range rapid.IntRange(1, 40).Draw(t, "n") {
		now += int64(waits.Draw(t, "wait"))
		a := arrival{now, now + skew, values.Draw(t, "value")}
		switch what := rapid.IntRange(0, 9).Draw(t, "what"); {
		case what == 0 && newest.came != 0:
			a.at = newest.at - int64(behind.Draw(t, "behind"))
		case what == 1 && len(list) > 0:
			before := rapid.SampledFrom(list).Draw(t, "again")
			a.at, a.v = before.at, before.v
		}
		if a.at == newest.at && a.v != newest.v {
			a.at = now + skew // the device's clock would have stood still
		}
		if a.at >= newest.at && !math.IsNaN(a.v) {
			newest = a
		}
		list = append(list, a)
	}
	return list
}

func compileText(t rapid.TB, text string) *rules.Program {
	t.Helper()
	f := new(rules.File)
	if _, err := toml.Decode(text, f); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	p, problems := rules.Compile(f)
	if p == nil {
		t.Fatalf("refused: %v\n%s", problems, text)
	}
	return p
}

// judged is what the engine makes of a series.
func judged(p *rules.Program, list []arrival, end int64) []turn {
	e := rules.NewEngine(p, rules.Options{})
	var out rules.Output
	var turns []turn
	step := func(in rules.Input) {
		out.Reset()
		e.Step(in, &out)
		for _, tr := range out.Transitions {
			for _, ev := range tr.Events {
				switch ev.Type {
				case rules.AlarmFired:
					turns = append(turns, turn{true, ev.At.UnixNano(), ev.Alarm.StartedAt.UnixNano()})
				case rules.AlarmResolved:
					turns = append(turns, turn{false, ev.At.UnixNano(), 0})
				}
			}
		}
	}
	for _, a := range list {
		s := &rules.Sample{Source: "s", Device: "d", Metric: "m", Num: a.v, At: time.Unix(0, a.at), Received: time.Unix(0, a.came), Clock: rules.ClockDevice}
		step(rules.Input{Now: s.Received, Sample: s})
	}
	step(rules.Input{Now: time.Unix(0, end)})
	return turns
}

// The engine, which remembers as little as it can, fires and ends alarms at the
// very moments at which a model does that remembers everything.
func TestTheEngineJudgesAsAModelThatForgetsNothing(t *testing.T) {
	for _, f := range families() {
		t.Run(f.name, func(t *testing.T) {
			fired := 0
			rapid.Check(t, func(t *rapid.T) {
				m, text := f.draw(t)
				m.skew = rapid.SampledFrom([]int64{0, 0, int64(-47 * time.Minute), int64(31 * time.Second)}).Draw(t, "skew")
				list := drawSeries(t, m.skew)
				end := list[len(list)-1].came + int64(200*time.Hour)
				got, want := judged(compileText(t, text), list, end), m.judge(list, end)
				fired += len(want)
				if !slices.Equal(got, want) {
					t.Fatalf("%s\nreadings %s\nengine %v\nmodel  %v", text, spell(list, m.skew), got, want)
				}
			})
			if fired == 0 && !t.Failed() {
				t.Error("no alarm fired in any series: nothing was compared")
			}
		})
	}
}

// spell is a series in few words: when each came, by how much it is late, and
// its value.
func spell(list []arrival, skew int64) string {
	var b strings.Builder
	for _, a := range list {
		fmt.Fprintf(&b, " %v", short(a.came))
		if behind := a.came + skew - a.at; behind != 0 {
			fmt.Fprintf(&b, "(-%v)", time.Duration(behind))
		}
		fmt.Fprintf(&b, "=%v", a.v)
	}
	return b.String()
}
