package window

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

// size is what a window takes of memory.
func size(w *Window) int {
	n := int(unsafe.Sizeof(*w)) + cap(w.buf)*int(unsafe.Sizeof(reading{})) + cap(w.sorted)*8 + cap(w.folds.tails)*int(unsafe.Sizeof(moments{}))
	if c := w.coarse; c != nil {
		n += int(unsafe.Sizeof(*c)) + cap(c.total.bins)*int(unsafe.Sizeof(bin{})) + cap(c.buckets)*int(unsafe.Sizeof(bucket{}))
		for i := range c.buckets {
			n += cap(c.buckets[i].bins.bins) * int(unsafe.Sizeof(bin{}))
		}
	}
	return n
}

// What sensors say, and what they ought not to.
var signals = map[string]func(r *rand.Rand, i int) float64{
	"room":      func(r *rand.Rand, i int) float64 { return 21 + 2*math.Sin(float64(i)/3000) + r.NormFloat64()/5 },
	"freezer":   func(r *rand.Rand, i int) float64 { return math.Round(10*(-18+3*math.Sin(float64(i)/700))) / 10 },
	"vibration": func(r *rand.Rand, i int) float64 { return r.NormFloat64() * 5 },
	"light":     func(r *rand.Rand, i int) float64 { return math.Exp(r.NormFloat64() * 4) },
	"counter":   func(r *rand.Rand, i int) float64 { return float64(i * 3) },
	"garbage":   func(r *rand.Rand, i int) float64 { return math.Ldexp(r.Float64()-0.5, r.IntN(900)-450) },
}

func TestMoreThanAreHeldAreSummedUp(t *testing.T) {
	for name, signal := range signals {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			over := time.Hour
			w := New(over, allNeeds)
			var all []reading
			for i := range 40_000 {
				at := base + int64(i)*second/4
				if i%50 == 49 {
					at -= r.Int64N(int64(over)) // late
				}
				if v := signal(r, i); w.Add(at, v) {
					all = append(all, reading{at, v})
				}
				w.Advance(base + int64(i)*second/4)
				if i < 1000 {
					w.Quantile(0.5) // sorted values are kept, until there are too many
				}
			}
			if w.Exact() {
				t.Fatal("14400 readings are held as they are")
			}
			inside := 0
			for _, r := range all {
				if r.at > w.Span() {
					inside++
				}
			}
			if w.Count() < inside {
				t.Errorf("holds %d readings of %d that are in the window", w.Count(), inside)
			}
			m := &model{}
			for _, r := range all {
				if r.at >= w.Oldest() {
					m.held = append(m.held, r)
				}
			}
			if back := w.Newest() - w.Oldest(); back > int64(over)+int64(over)/parts {
				t.Errorf("reaches back %v", time.Duration(back))
			}
			if name != "garbage" { // the model's own sums are none
				sortReadings(m.held)
				w.Quantile(0.5) // only now it counts how many bins there are
				near(t, w, m, 1e-9, w.QuantileError()+1e-9)
			}
			if name == "room" || name == "freezer" || name == "counter" {
				if w.QuantileError() > 0.008 {
					t.Errorf("quantile error %v", w.QuantileError())
				}
			}
			if got := size(w); got > 112<<10 {
				t.Errorf("takes %d bytes", got)
			}
			t.Logf("%d readings, %d bytes, quantiles within %v", w.Count(), size(w), w.QuantileError())
		})
	}
}

func sortReadings(held []reading) {
	m := model{held: held, cut: math.MinInt64}
	last := m.held[len(held)-1]
	m.held = held[:len(held)-1]
	m.add(last.at, last.v)
}

// TestAWindowIsExactAgain: a burst is no reason to be inexact for ever.
func TestAWindowIsExactAgain(t *testing.T) {
	over := time.Minute
	w, m := New(over, allNeeds), newModel(over)
	for i := range int64(6000) {
		w.Add(base+i*second/100, float64(i%77))
		w.Quantile(0.5)
	}
	if w.Exact() {
		t.Fatal("6000 readings are held as they are")
	}
	for i := range int64(130) {
		at := base + (61+i)*second
		w.Add(at, float64(i))
		m.add(at, float64(i))
		w.Advance(at)
		m.advance(at)
	}
	if !w.Exact() {
		t.Fatal("is never exact again")
	}
	near(t, w, m, 1e-12, 1e-12)
}

func TestARestoredWindowGoesOnIdentically(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		over := time.Duration(rapid.IntRange(60, 600).Draw(t, "over")) * time.Second
		needs := Needs(rapid.Uint8Range(0, uint8(allNeeds)).Draw(t, "needs"))
		ask := rapid.Bool().Draw(t, "ask")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		step := rapid.Int64Range(second/30, second).Draw(t, "step")
		one := New(over, needs)
		var two *Window
		at := base
		for i := range rapid.IntRange(100, 6000).Draw(t, "readings") {
			at += r.Int64N(step)
			w := at
			if i%17 == 0 {
				w -= r.Int64N(int64(over))
			}
			v := math.Round(r.NormFloat64()*100) / 10
			got := one.Add(w, v)
			one.Advance(at)
			if ask {
				one.Quantile(0.5)
			}
			if i == 2500 {
				one.Need(Quantiles)
				one.Resize(over / 2)
				two = nil
			}
			if two != nil {
				if two.Add(w, v) != got {
					t.Fatalf("reading %d is taken by one only", i)
				}
				two.Advance(at)
				if ask {
					two.Quantile(0.5)
				}
			}
			if i%1000 == 50 {
				two = restored(t, one)
			}
		}
		if two != nil {
			if string(two.AppendBinary(nil)) != string(one.AppendBinary(nil)) {
				t.Fatalf("stored forms differ")
			}
			same(t, two, one)
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	exact, most := 0, 0
	for name, signal := range signals {
		for _, over := range []time.Duration{time.Second, time.Hour, 90 * 24 * time.Hour} {
			w, taken := New(over, allNeeds), 0
			for i := range 12_000 {
				// Clocks that jump, and nobody who advances.
				at := base + int64(i)*int64(over)/3000 + r.Int64N(int64(over)*3)
				if w.Add(at, signal(r, i)) {
					taken++
				}
				if n := len(w.folds.tails); n > parts+1 {
					t.Fatalf("%s: %d sums of slots", name, n)
				}
				if i%3 == 0 {
					w.Quantile(0.9)
					w.Avg()
				}
				if i == 9000 {
					w.Resize(over * 2)
				}
				if w.Exact() {
					exact = max(exact, size(w))
				} else {
					most = max(most, size(w))
				}
				if w.coarse != nil && len(w.coarse.buckets) > maxBuckets {
					t.Fatalf("%s: %d buckets", name, len(w.coarse.buckets))
				}
				if w.Count() < taken && w.Span() == math.MinInt64 {
					t.Fatalf("%s: %d of %d readings are forgotten, and the span does not say so", name, taken-w.Count(), taken)
				}
			}
		}
	}
	if exact > 64<<10 || most > 112<<10 {
		t.Errorf("takes %d bytes exact, %d else", exact, most)
	}
	t.Logf("%d bytes exact, %d else", exact, most)
}

func TestALongerWindowSaysSinceWhenItIsComplete(t *testing.T) {
	for _, step := range []int64{second, second / 50} {
		w := New(time.Minute, allNeeds)
		at := base
		for range 10_000 {
			at += step
			w.Add(at, 1)
			w.Advance(at)
		}
		before := w.Count()
		w.Resize(5 * time.Minute)
		w.Advance(at)
		if w.Count() != before || w.Span() != at-int64(time.Minute) {
			t.Errorf("step %d: %d readings since %d, want %d since a minute", step, w.Count(), at-w.Span(), before)
		}
		w.Advance(at + int64(4*time.Minute))
		if w.Span() != at-int64(time.Minute) {
			t.Error("span moved early")
		}
		w.Advance(at + int64(4*time.Minute) + 1)
		if w.Span() != at-int64(time.Minute)+1 {
			t.Error("span did not move")
		}
	}
}

// TestQuantilesNeededLateAreUnknownFirst: part of an answer is no answer.
func TestQuantilesNeededLateAreUnknownFirst(t *testing.T) {
	w := New(time.Minute, Sums)
	at := base
	add := func(n int) {
		for range n {
			at += second / 100
			w.Add(at, float64(at/second%60))
			w.Advance(at)
		}
	}
	add(6000)
	w.Need(Quantiles)
	if v, ok := w.Quantile(0.5); ok {
		t.Errorf("quantile %v of buckets that were not counted", v)
	}
	add(6600)
	if _, ok := w.Quantile(0.5); !ok {
		t.Error("quantile is never known")
	}
}

func TestARepeatedReadingIsRefusedWhileCoarse(t *testing.T) {
	w := New(time.Minute, allNeeds)
	for i := range int64(6000) {
		w.Add(base+i*second/100, float64(i%10))
	}
	for i := int64(6000 - recent - 1); i < 6000; i++ {
		if w.Add(base+i*second/100, float64(i%10)) {
			t.Fatalf("reading %d was taken twice", i)
		}
	}
}

func TestALateReadingIsTheOldest(t *testing.T) {
	w := New(2*time.Minute, allNeeds)
	for i := range int64(6000) {
		w.Add(base+i*second/100, 5)
	}
	for i, late := range []int64{-1, +1} {
		if !w.Add(base+late, 42) || w.Oldest() != base-1 {
			t.Errorf("late reading %d: the oldest is at %d", i, w.Oldest()-base)
		}
		if v, _ := w.First(); v != 42 {
			t.Errorf("late reading %d: first is %v", i, v)
		}
		w.Resize(10 * time.Second) // buckets stay as wide as they are
	}
}
