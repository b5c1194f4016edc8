package window

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

const (
	hour = 3600 * second
	day  = 24 * hour
)

func hourOf(at int64) int { return int(at / hour % 24) }

func medianOf(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// plainScore is the score as one would write it.
func plainScore(values []float64, v float64, method Method) float64 {
	n := float64(len(values))
	var mean, sq float64
	for _, v := range values {
		mean += v / n
	}
	for _, v := range values {
		sq += (v - mean) * (v - mean) / n
	}
	median := medianOf(values)
	var away []float64
	var sum float64
	for _, v := range values {
		away = append(away, math.Abs(v-median))
		sum += math.Abs(v-median) / n
	}
	switch method {
	case ZScore:
		return math.Abs(v-mean) / max(math.Sqrt(sq), math.Abs(mean)/1000, 1e-9)
	case Relative:
		return math.Abs(v-mean) / max(math.Abs(mean), 1e-9)
	}
	spread := 1.4826 * medianOf(away)
	if spread == 0 {
		spread = 1.2533 * sum
	}
	return math.Abs(v-median) / max(spread, math.Abs(median)/1000, 1e-9)
}

// TestScoresAreThoseOfTheReadings: as long as all are kept, in whatever order they
// come.
func TestScoresAreThoseOfTheReadings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := NewBaseline(BaselineOptions{Slots: 24})
		seen := map[int][]float64{}
		times := rapid.SliceOfNDistinct(rapid.Int64Range(0, 13*24*4), 1, 200, rapid.ID).Draw(t, "times")
		for _, i := range times {
			at := base + i*hour/4
			// Halves are exact in any form.
			v := float64(rapid.IntRange(-40, 40).Draw(t, "v")) / 2
			b.Add(at, hourOf(at), v)
			seen[hourOf(at)] = append(seen[hourOf(at)], v)
		}
		if rapid.Bool().Draw(t, "restore") {
			b = restoredBaseline(t, b)
		}
		now := base + 13*day
		for slot, values := range seen {
			v := float64(rapid.IntRange(-100, 100).Draw(t, "score"))
			for _, method := range []Method{Mad, ZScore, Relative} {
				got, ok := b.Score(now, slot, v, method)
				want := plainScore(values, v, method)
				if ok != (len(values) >= fewest) || ok && math.Abs(got-want) > 1e-5*max(1, want) {
					t.Fatalf("method %d of %v: %v %v, want %v", method, values, got, ok, want)
				}
			}
		}
	})
}

func restoredBaseline(t interface{ Fatalf(string, ...any) }, b *Baseline) *Baseline {
	stored := b.AppendBinary(nil)
	back, rest, err := DecodeBaseline(append(stored, 7))
	if err != nil || len(rest) != 1 {
		t.Fatalf("decode: %v, %d left", err, len(rest))
	}
	if !bytes.Equal(back.AppendBinary(nil), stored) {
		t.Fatalf("a restored baseline is stored as something else")
	}
	return back
}

// TestASampleIsAsGoodAsItSays measures what the comment of Baseline promises.
func TestASampleIsAsGoodAsItSays(t *testing.T) {
	var median, mad int
	const trials = 300
	for trial := range uint64(trials) {
		r := rand.New(rand.NewPCG(trial, 9))
		b := NewBaseline(BaselineOptions{Slots: 24})
		var values []float64
		for d := range int64(15) {
			for i := range int64(120) {
				at := base - base%day + (d+int64(trial)*20)*day + 8*hour + i*30*second
				v := 1000 + 5*r.NormFloat64()
				values = append(values, v)
				b.Add(at, 8, v)
			}
		}
		gotMedian, gotSpread := b.slots[8].robust(len(values))
		wantMedian := medianOf(values)
		for i := range values {
			values[i] = math.Abs(values[i] - wantMedian)
		}
		wantSpread := 1.4826 * medianOf(values)
		if math.Abs(gotMedian-wantMedian) <= 0.17*5 {
			median++
		}
		if math.Abs(gotSpread-wantSpread) <= 0.15*wantSpread {
			mad++
		}
	}
	if median < trials*19/20 || mad < trials*19/20 {
		t.Errorf("of %d, %d medians and %d spreads are as near as they ought to be", trials, median, mad)
	}
	t.Logf("of %d, %d medians and %d spreads", trials, median, mad)
}

// TestAMachineThatSwitchesDoesNotFoolTheSample: every second reading is of the
// machine at rest.
func TestAMachineThatSwitchesDoesNotFoolTheSample(t *testing.T) {
	b := NewBaseline(BaselineOptions{Slots: 24})
	for i := range 14 * day / (30 * second) {
		at := base + i*30*second
		v := 2.0
		if i%4 != 0 {
			v = 1000 + float64(i%9)
		}
		b.Add(at, hourOf(at), v)
	}
	for slot := range 24 {
		if score, ok := b.Score(base+14*day, slot, 1003, Mad); !ok || score > 2 {
			t.Errorf("slot %d: the usual is %v away", slot, score)
		}
		if score, _ := b.Score(base+14*day, slot, 1500, Mad); score < 20 {
			t.Errorf("slot %d: half as much again is %v away", slot, score)
		}
	}
}

func TestNormalNeedsHistory(t *testing.T) {
	b := NewBaseline(BaselineOptions{Slots: 1, MinHistory: 3 * 24 * time.Hour})
	for i := range int64(80) {
		at := base + i*hour
		score, ok := b.Score(at, 0, 100, Mad)
		if want := i >= 72; ok != want {
			t.Fatalf("after %d h: %v %v", i, score, ok)
		}
		b.Add(at, 0, float64(20+i%3))
	}
	if score, ok := b.Score(base+30*day, 0, 100, Mad); ok {
		t.Errorf("after a month of silence there is a normal: %v", score)
	}
	if _, ok := b.Since(); ok {
		t.Error("something is remembered after a month")
	}
	b.Add(base, 0, 5)
	if _, ok := b.Since(); ok {
		t.Error("a reading of before the span was taken")
	}
}

func TestNormalForgets(t *testing.T) {
	for _, slots := range []int{1, 7, 24, 168} {
		b := NewBaseline(BaselineOptions{Span: 14 * 24 * time.Hour, Slots: slots})
		add := func(from, to int64, v float64) {
			for at := from; at < to; at += hour / 6 {
				b.Add(at, int(at/hour)%slots, v+float64(at/second%7)/10)
			}
		}
		add(base, base+20*day, 20)
		add(base+20*day, base+40*day, 50)
		for slot := range slots {
			if score, ok := b.Score(base+40*day, slot, 50, Mad); !ok || score > 2 {
				t.Errorf("%d slots: after 20 days of it, 50 is %v away, %v", slots, score, ok)
			}
			if score, _ := b.Score(base+40*day, slot, 20, ZScore); score < 20 {
				t.Errorf("%d slots: 20 days ago is not forgotten: %v", slots, score)
			}
		}
	}
}

// TestASampleIsOfTheWholeStep: not of what came first.
func TestASampleIsOfTheWholeStep(t *testing.T) {
	b := NewBaseline(BaselineOptions{Slots: 24})
	for d := range int64(14) {
		for i := range int64(400) {
			v := 9.0
			if i < 100 {
				v = 1
			}
			b.Add(base-base%day+d*day+8*hour+i*second, 8, v)
		}
	}
	if score, ok := b.Score(base+13*day, 8, 9, Mad); !ok || score != 0 {
		t.Errorf("what three in four readings are is %v away, %v", score, ok)
	}
}

func TestHistoryBeginsAnewAfterAGap(t *testing.T) {
	for _, slots := range []int{1, 168} {
		b := NewBaseline(BaselineOptions{Slots: slots})
		b.Add(base, 0, 5)
		b.Add(base+10*day, 0, 5)
		b.Add(base+22*day, 0, 5)
		if since, ok := b.Since(); !ok || since != base+10*day {
			t.Errorf("%d slots: since day %d", slots, (since-base)/day)
		}
	}
}

func TestASpreadOfNothingHasAFloor(t *testing.T) {
	for _, c := range []struct {
		name      string
		usual     []float64
		v, mad, z float64
	}{
		{"the same again", []float64{20, 20, 20, 20, 20}, 20, 0, 0},
		{"a thousandth", []float64{20, 20, 20, 20, 20}, 20.02, 1, 1},
		{"nothing but zero", []float64{0, 0, 0, 0, 0}, 5, 5e9, 5e9},
		{"mostly the same", []float64{20, 20, 20, 20, 22}, 24, 4 / (1.2533 * 0.4), 3.6 / 0.8},
	} {
		b := NewBaseline(BaselineOptions{Slots: 1})
		for i, v := range c.usual {
			b.Add(base+int64(i)*hour, 0, v)
		}
		for method, want := range map[Method]float64{Mad: c.mad, ZScore: c.z} {
			if got, ok := b.Score(base+day, 0, c.v, method); !ok || math.Abs(got-want) > 1e-6*max(1, want) {
				t.Errorf("%s, method %d: %v %v, want %v", c.name, method, got, ok, want)
			}
		}
	}
}

func TestABaselineIsBounded(t *testing.T) {
	for slots, most := range map[int]int{1: 64 << 10, 7: 64 << 10, 24: 64 << 10, 168: 224 << 10} {
		for _, span := range []time.Duration{14 * 24 * time.Hour, 90 * 24 * time.Hour} {
			b := NewBaseline(BaselineOptions{Span: span, Slots: slots})
			for at := base; at < base+int64(span)*5/4; at += int64(span) / 40_000 {
				b.Add(at, int(at/hour)%slots, math.Sin(float64(at)))
			}
			got := int(unsafe.Sizeof(*b)) + cap(b.slots)*int(unsafe.Sizeof(season{}))
			for _, s := range b.slots {
				got += cap(s.cells)*int(unsafe.Sizeof(cell{})) + cap(s.kept)*int(unsafe.Sizeof(kept{}))
			}
			if got > most {
				t.Errorf("%d slots, %v: %d bytes", slots, span, got)
			}
			t.Logf("%d slots, %v: %d bytes, %d stored", slots, span, got, len(b.AppendBinary(nil)))
		}
	}
}

func TestARestoredBaselineGoesOnIdentically(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	one := NewBaseline(BaselineOptions{Slots: 24, MinHistory: 24 * time.Hour})
	var two *Baseline
	for i := range int64(40_000) {
		at := base + i*hour/40 - r.Int64N(day)
		v := r.NormFloat64()
		one.Add(at, hourOf(at), v)
		if two != nil {
			two.Add(at, hourOf(at), v)
		}
		if i%3000 == 1000 {
			if two != nil && !bytes.Equal(one.AppendBinary(nil), two.AppendBinary(nil)) {
				t.Fatalf("differs after %d", i)
			}
			two = restoredBaseline(t, one)
		}
	}
}

func TestWhatIsNoReadingIsNotNormal(t *testing.T) {
	b := NewBaseline(BaselineOptions{})
	for _, v := range []float64{math.NaN(), math.Inf(1), math.MaxFloat64} {
		b.Add(base, 0, v)
	}
	b.Add(base, 1, 5)
	b.Add(base, -1, 5)
	if _, ok := b.Since(); ok {
		t.Error("something was taken")
	}
	for _, slot := range []int{-1, 0, 1} {
		if _, ok := b.Score(base, slot, 5, Mad); ok {
			t.Errorf("slot %d has a score", slot)
		}
	}
}

func BenchmarkBaselineScore(b *testing.B) {
	base14, values := fortnight()
	at := base + 14*day
	b.Run("baseline", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			base14.Score(at, 8, 3, Mad)
		}
	})
	b.Run("sorting", func(b *testing.B) {
		for b.Loop() {
			plainScore(values, 3, Mad)
		}
	})
}

func BenchmarkBaselineAdd(b *testing.B) {
	base14, _ := fortnight()
	at := base + 14*day
	b.ReportAllocs()
	for b.Loop() {
		at += 60 * second
		base14.Add(at, hourOf(at), wave(at))
	}
}

// fortnight is two weeks with a reading a minute, and those of eight o'clock.
func fortnight() (b *Baseline, values []float64) {
	b = NewBaseline(BaselineOptions{Slots: 24})
	r := rand.New(rand.NewPCG(7, 8))
	for at := base; at < base+14*day; at += 60 * second {
		v := r.NormFloat64()
		b.Add(at, hourOf(at), v)
		if hourOf(at) == 8 {
			values = append(values, v)
		}
	}
	return b, values
}
