package window

import (
	"bytes"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const (
	second = int64(time.Second)
	base   = 1_760_000_000 * second
)

// A model is a window as one would write it without a thought for cost.
type model struct {
	over, cut int64
	held      []reading
}

func newModel(over time.Duration) *model { return &model{over: int64(over), cut: math.MinInt64} }

func (m *model) add(at int64, v float64) bool {
	if at <= m.cut || slices.Contains(m.held, reading{at, v}) {
		return false
	}
	m.held = append(m.held, reading{at, v})
	slices.SortStableFunc(m.held, func(a, b reading) int { return int(max(-1, min(1, a.at-b.at))) })
	return true
}

func (m *model) advance(now int64) {
	m.cut = max(m.cut, now-m.over)
	m.held = slices.DeleteFunc(m.held, func(r reading) bool { return r.at <= m.cut })
}

// An answer is one aggregate; known is false where there is none.
type answer struct {
	name  string
	v     float64
	known bool
}

var quantiles = []float64{0, 0.05, 0.5, 0.9, 0.95, 0.99, 1}

func answers(w *Window) []answer {
	var out []answer
	ask := func(name string, f func() (float64, bool)) {
		v, ok := f()
		out = append(out, answer{name, v, ok})
	}
	ask("sum", w.Sum)
	ask("avg", w.Avg)
	ask("stddev", w.Stddev)
	ask("first", w.First)
	ask("last", w.Last)
	ask("delta", w.Delta)
	ask("slope", w.Slope)
	ask("min", w.Min)
	ask("max", w.Max)
	ask("spread", w.Spread)
	for _, q := range quantiles {
		ask("quantile", func() (float64, bool) { return w.Quantile(q) })
	}
	return out
}

func (m *model) answers() []answer {
	names := []string{"sum", "avg", "stddev", "first", "last", "delta", "slope", "min", "max", "spread"}
	out := make([]answer, len(names)+len(quantiles))
	for i := range out {
		out[i].name = "quantile"
	}
	for i, name := range names {
		out[i].name = name
	}
	n := float64(len(m.held))
	if n == 0 {
		return out
	}
	values := make([]float64, 0, len(m.held))
	var sum, meanAt float64
	first, last := m.held[0], m.held[len(m.held)-1]
	for _, r := range m.held {
		values = append(values, r.v)
		sum += r.v
		meanAt += float64(r.at-first.at) / n
	}
	mean := sum / n
	var vv, tv, tt float64
	for _, r := range m.held {
		d, t := r.v-mean, float64(r.at-first.at)-meanAt
		vv, tv, tt = vv+d*d, tv+t*d, tt+t*t
	}
	slices.Sort(values)
	lo, hi := values[0], values[len(values)-1]
	for i, v := range []float64{sum, mean, math.Sqrt(vv / n), first.v, last.v, last.v - first.v, tv / tt * 1e9, lo, hi, hi - lo} {
		out[i].v, out[i].known = v, true
	}
	if first.at == last.at {
		out[6] = answer{name: "slope"}
	}
	for i, q := range quantiles {
		at := q * (n - 1)
		a, b := values[int(at)], values[min(int(at)+1, len(values)-1)]
		out[len(names)+i] = answer{"quantile", a + (b-a)*(at-math.Floor(at)), true}
	}
	return out
}

// near allows for the model's own rounding, relative to the numbers it had to do
// with.
func near(t interface{ Fatalf(string, ...any) }, w *Window, m *model, tolerance, quantile float64) {
	if w.Count() != len(m.held) {
		t.Fatalf("count %d, want %d", w.Count(), len(m.held))
	}
	scale := 1.0
	for _, r := range m.held {
		scale = max(scale, math.Abs(r.v))
	}
	want := m.answers()
	for i, got := range answers(w) {
		allowed := tolerance * scale
		switch got.name {
		case "sum":
			allowed *= float64(1 + len(m.held))
		case "quantile":
			allowed = max(allowed, quantile*math.Abs(want[i].v))
		case "slope":
			allowed /= math.Sqrt(float64(max(1, w.Newest()-w.Oldest())) / 1e9 / float64(1+len(m.held)))
			allowed *= 10
		case "stddev":
			allowed = math.Sqrt(tolerance) * scale / 10
		}
		if got.known != want[i].known || math.Abs(got.v-want[i].v) > allowed {
			t.Fatalf("%s %d: %v, want %v within %g, of %d readings", got.name, i, got, want[i], allowed, len(m.held))
		}
	}
}

// same compares bit by bit.
func same(t interface{ Fatalf(string, ...any) }, got, want *Window) {
	if got.Count() != want.Count() || got.Oldest() != want.Oldest() || got.Newest() != want.Newest() || got.Span() != want.Span() {
		t.Fatalf("%d readings from %d to %d since %d, want %d from %d to %d since %d",
			got.Count(), got.Oldest(), got.Newest(), got.Span(), want.Count(), want.Oldest(), want.Newest(), want.Span())
	}
	if diff := cmp.Diff(answers(want), answers(got), cmp.AllowUnexported(answer{})); diff != "" {
		t.Fatalf("answers differ:\n%s", diff)
	}
}

func restored(t interface{ Fatalf(string, ...any) }, w *Window) *Window {
	stored := w.AppendBinary([]byte("before"))[6:]
	back, rest, err := Decode(append(stored, "after"...))
	if err != nil || string(rest) != "after" {
		t.Fatalf("decode: %v, rest %q", err, rest)
	}
	if again := back.AppendBinary(nil); !bytes.Equal(again, stored) {
		t.Fatalf("a restored window is stored as something else")
	}
	return back
}

func TestAnswersAreThoseOfTheReadings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		over := time.Duration(rapid.IntRange(1, 60).Draw(t, "over")) * time.Second
		w, m := New(over, 0), newModel(over)
		now := base
		value := rapid.OneOf(rapid.Float64Range(-50, 50), rapid.Map(rapid.IntRange(-3, 3), func(i int) float64 { return float64(i) / 10 }), rapid.Float64Range(-1e9, 1e9))
		steps := rapid.IntRange(1, 120).Draw(t, "steps")
		for range steps {
			switch rapid.IntRange(0, 9).Draw(t, "do") {
			case 0:
				now += rapid.Int64Range(0, 20).Draw(t, "wait") * second / 2
				w.Advance(now)
				m.advance(now)
			case 1:
				over = time.Duration(rapid.IntRange(1, 60).Draw(t, "resize")) * time.Second
				w.Resize(over)
				m.over = int64(over)
			case 2:
				w = restored(t, w)
			case 3:
				near(t, w, m, 1e-12, 1e-12)
			default:
				at := now + rapid.Int64Range(-70, 4).Draw(t, "at")*second/2
				v := value.Draw(t, "v")
				if got, want := w.Add(at, v), m.add(at, v); got != want {
					t.Fatalf("add %d %v: %v, want %v", at, v, got, want)
				}
				now = max(now, at)
			}
		}
		near(t, w, m, 1e-12, 1e-12)
		if w.Span() != m.cut {
			t.Fatalf("span %d, want %d", w.Span(), m.cut)
		}
	})
}

// TestAMillionReadingsLeaveNoTrace holds a window that has run for long to one that
// was filled with the same readings just now.
func TestAMillionReadingsLeaveNoTrace(t *testing.T) {
	w := New(5*time.Minute, allNeeds)
	rng := uint64(1)
	var last []reading
	for i := range int64(1_000_000) {
		rng = rng*6364136223846793005 + 1442695040888963407
		v := float64(int64(rng>>40))/1e3 - 5e3
		if rng>>33&1023 == 0 {
			v *= 1e12 // a spike that a running sum would never get rid of
		}
		at := base + i*second
		w.Add(at, v)
		w.Advance(at)
		w.Quantile(0.95)
		w.Avg()
		if last = append(last, reading{at, v}); len(last) > 5000 {
			last = slices.Delete(last, 0, 4000)
		}
	}
	fresh := New(5*time.Minute, 0)
	for _, r := range last {
		fresh.Add(r.at, r.v)
		fresh.Advance(r.at)
	}
	if w.Count() != 300 {
		t.Fatalf("%d readings", w.Count())
	}
	same(t, w, fresh)
}

func TestTheWindowIsOpenOnTheLeft(t *testing.T) {
	w := New(time.Minute, Sums)
	for i := range int64(4) {
		w.Add(base+i*60*second, float64(i))
	}
	w.Advance(base + 120*second)
	if got := w.Oldest(); got != base+120*second {
		t.Errorf("oldest %d s after the first, want 120", (got-base)/second)
	}
	if got := w.Count(); got != 2 {
		t.Errorf("%d readings, want 2: the one of now, and one that is ahead", got)
	}
	if w.Add(base+60*second, 9) {
		t.Error("a reading of before the window was taken")
	}
	w.Advance(base)
	if w.Span() != base+60*second {
		t.Error("time went back")
	}
}

func TestWhatIsNoReadingIsRefused(t *testing.T) {
	w := New(time.Minute, allNeeds)
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if w.Add(base, v) {
			t.Errorf("%v was taken", v)
		}
	}
	for _, a := range answers(w) {
		if a.known {
			t.Errorf("an empty window knows its %s: %v", a.name, a.v)
		}
	}
	if w.Oldest() != 0 || w.Newest() != 0 || w.Count() != 0 {
		t.Error("an empty window has readings")
	}
	w.Add(base, 5)
	if _, ok := w.Slope(); ok {
		t.Error("one reading has a slope")
	}
	if w.Add(base, 5) || !w.Add(base, 6) {
		t.Error("a repeated reading is one, another of the same time is another")
	}
	if v, _ := w.Last(); v != 6 {
		t.Errorf("last is %v: of the same time, what came last is last", v)
	}
	w.Add(base+1, math.MaxFloat64)
	w.Add(base+2, math.MaxFloat64)
	if v, ok := w.Sum(); ok {
		t.Errorf("sum %v of numbers that are too large", v)
	}
	if v, ok := w.Quantile(1); !ok || v != math.MaxFloat64 {
		t.Errorf("quantile %v %v", v, ok)
	}
}

// TestEqualReadingsAnswerThemselves: a limit of exactly that value must not be
// crossed by rounding.
func TestEqualReadingsAnswerThemselves(t *testing.T) {
	for _, n := range []int64{2, 3, 10, 300, exactLimit, 5000} {
		for _, v := range []float64{0.1, -0.3, 7.1, 101325.37, 1e-9} {
			w := New(10*time.Minute, allNeeds)
			for i := range n {
				w.Add(base+i*second/10, v)
			}
			want := []answer{{"avg", v, true}, {"stddev", 0, true}, {"slope", 0, true}, {"p05", v, true}, {"p95", v, true}}
			for i, f := range []func() (float64, bool){w.Avg, w.Stddev, w.Slope, func() (float64, bool) { return w.Quantile(0.05) }, func() (float64, bool) { return w.Quantile(0.95) }} {
				if got, ok := f(); !ok || got != want[i].v {
					t.Errorf("%d times %v: %s is %v", n, v, want[i].name, got)
				}
			}
		}
	}
	w := New(time.Minute, Sums)
	for i := range int64(10) {
		w.Add(base+i*second, 0.1)
	}
	if sum, _ := w.Sum(); sum != 1 {
		t.Errorf("ten times 0.1 is %v", sum)
	}
	w = New(10*time.Minute, Sums)
	for i := range int64(5000) {
		w.Add(base+i*second/10, 0.1)
	}
	if sum, _ := w.Sum(); sum != 500 {
		t.Errorf("5000 times 0.1 is %v", sum)
	}
	w = New(time.Minute, Sums)
	w.Add(base, math.Copysign(0, -1))
	if last, _ := w.Last(); math.Signbit(last) {
		t.Error("there are two zeros")
	}
}

func TestSlopeIsExactFarFrom1970(t *testing.T) {
	for _, over := range []time.Duration{time.Second, 10 * time.Minute, 90 * 24 * time.Hour} {
		for _, n := range []int64{2, 60, exactLimit, 20_000} {
			w := New(over, Slope)
			const perSecond = 0.5 / 60
			for i := range n {
				t := int64(over) / n * i
				w.Add(base+t, 1e6+perSecond*float64(t)/1e9)
			}
			got, ok := w.Slope()
			// The values themselves are rounded to 1e-10.
			if allowed := 1e-9 / over.Seconds(); !ok || math.Abs(got-perSecond) > max(allowed, 1e-9*perSecond) {
				t.Errorf("%d readings in %v: %v, want %v", n, over, got, perSecond)
			}
		}
	}
}

func TestASteadyWindowAllocatesNothing(t *testing.T) {
	for _, n := range []int64{5, 300, exactLimit - 1} { // one more is there between Add and Advance
		w := New(time.Duration(n)*time.Second, allNeeds)
		at := base
		step := func() {
			at += second
			w.Add(at, float64(at/second*7919%1000))
			w.Advance(at)
			w.Quantile(0.95)
			w.Avg()
			w.Slope()
		}
		for range 2*n + 10 {
			step()
		}
		if got := testing.AllocsPerRun(3000, step); got != 0 {
			t.Errorf("%d readings: %v allocations each", n, got)
		}
		if w.Count() != int(n) || !w.Exact() {
			t.Errorf("%d readings, want %d", w.Count(), n)
		}
	}
}

// TestSumsAreAFunctionOfTheReadings holds windows that were asked after every
// step to fresh ones, wherever in an epoch they are and whatever comes late.
func TestSumsAreAFunctionOfTheReadings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		over := time.Duration(rapid.IntRange(100, 900).Draw(t, "over")) * time.Second
		whole := rapid.Bool().Draw(t, "whole") // readings where slots begin
		if whole {
			over = 32 * (10*time.Second - 1)
		}
		w, m := New(over, allNeeds), newModel(over)
		at := base + rapid.Int64Range(0, 1e13).Draw(t, "from")
		rng := rapid.Uint64().Draw(t, "seed")
		late := rapid.Uint64Range(2, 500).Draw(t, "late")
		for i := range rapid.IntRange(200, 1500).Draw(t, "readings") {
			rng = rng*6364136223846793005 + 1442695040888963407
			at += int64(rng>>33) % (2 * second)
			then := at
			if rng>>20%late == 0 {
				then -= int64(over) / 3
			}
			if whole {
				then -= then % second
			}
			v := 1000 + float64(int64(rng>>40))/1e7
			w.Add(then, v)
			m.add(then, v)
			now := at
			if rng>>25%97 == 0 {
				now += int64(over) / 4 // a while without readings
			}
			w.Advance(now)
			m.advance(now)
			w.Slope()
			if i%100 == 99 {
				near(t, w, m, 1e-12, 1e-12)
				if i%500 == 399 {
					over = over * 3 / 4
					w.Resize(over)
					m.over = int64(over)
				}
				fresh := New(over, 0)
				fresh.Advance(m.cut + m.over)
				for _, r := range m.held {
					fresh.Add(r.at, r.v)
				}
				same(t, fresh, w)
			}
		}
	})
}
