package window

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

// Each benchmark has a reference beside it: a slice of readings, searched and
// sorted whenever somebody asks.

func BenchmarkP95FiveMinutes(b *testing.B) {
	for _, n := range []int64{300, exactLimit - 1, 20_000} {
		b.Run(fmt.Sprintf("window/%d", n), func(b *testing.B) {
			w, at := filled(n)
			b.ReportAllocs()
			for b.Loop() {
				at += second
				w.Add(at, wave(at))
				w.Advance(at)
				w.Quantile(0.95)
			}
		})
		b.Run(fmt.Sprintf("sorting/%d", n), func(b *testing.B) {
			held, at := naive(n)
			var values []float64
			b.ReportAllocs()
			for b.Loop() {
				at += second
				copy(held, held[1:])
				held[len(held)-1] = reading{at, wave(at)}
				values = values[:0]
				for _, r := range held {
					values = append(values, r.v)
				}
				slices.Sort(values)
			}
		})
	}
}

func BenchmarkSlope(b *testing.B) {
	for _, n := range []int64{60, 300, exactLimit - 1, 20_000} {
		b.Run(fmt.Sprintf("window/%d", n), func(b *testing.B) {
			w, at := filled(n)
			b.ReportAllocs()
			for b.Loop() {
				at += second
				w.Add(at, wave(at))
				w.Advance(at)
				w.Slope()
			}
		})
		b.Run(fmt.Sprintf("twice_over/%d", n), func(b *testing.B) {
			held, at := naive(n)
			b.ReportAllocs()
			for b.Loop() {
				at += second
				copy(held, held[1:])
				held[len(held)-1] = reading{at, wave(at)}
				var t, v, tt, tv float64
				for _, r := range held {
					t += float64(r.at-held[0].at) / float64(n)
					v += r.v / float64(n)
				}
				for _, r := range held {
					d := float64(r.at-held[0].at) - t
					tt, tv = tt+d*d, tv+d*(r.v-v)
				}
			}
		})
	}
}

func BenchmarkAvg(b *testing.B) {
	for _, n := range []int64{60, 300, exactLimit - 1} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w, at := filled(n)
			for b.Loop() {
				at += second
				w.Add(at, wave(at))
				w.Advance(at)
				w.Avg()
			}
		})
	}
}

func BenchmarkAppendBinary(b *testing.B) {
	w, _ := filled(300)
	w.Quantile(0.95)
	var to []byte
	for b.Loop() {
		to = w.AppendBinary(to[:0])
	}
	b.ReportMetric(float64(len(to)), "B")
}

func wave(at int64) float64 { return math.Round(float64(at/second*7919%1000)) / 10 }

func filled(n int64) (w *Window, at int64) {
	w, at = New(time.Duration(n)*time.Second, allNeeds), base
	for range 2 * n {
		at += second
		w.Add(at, wave(at))
		w.Advance(at)
	}
	return w, at
}

func naive(n int64) (held []reading, at int64) {
	for i := range n {
		at = base + i*second
		held = append(held, reading{at, wave(at)})
	}
	return held, at
}
