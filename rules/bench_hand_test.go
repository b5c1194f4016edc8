package rules

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkLimitRuleBesideByHand is a limit rule beside the same rule written by
// hand, and beside the loop that only makes the samples, all in one run: the ratio
// says on any machine what the engine costs.
func BenchmarkLimitRuleBesideByHand(b *testing.B) {
	for _, devices := range []int{1, 1000} {
		b.Run(fmt.Sprint(devices), func(b *testing.B) {
			loops := [...]func(s *Sample, now time.Time){byEngine(b), byHand(b), func(*Sample, time.Time) {}}
			var made [len(loops)]func(n int)
			for i, take := range loops {
				made[i] = readings(devices, take)
			}
			var took [len(loops)]time.Duration
			const each = 20_000
			rounds := 0
			for b.Loop() {
				for i, read := range made { // interleaved, so that a noisy machine is fair
					begun := time.Now()
					read(each)
					took[i] += time.Since(begun)
				}
				rounds++
			}
			n := float64(rounds * each)
			b.ReportMetric(float64(took[0].Nanoseconds())/n, "ns/engine")
			b.ReportMetric(float64(took[1].Nanoseconds())/n, "ns/by-hand")
			b.ReportMetric(float64(took[2].Nanoseconds())/n, "ns/sample-made")
			b.ReportMetric(float64(took[0])/float64(took[1]), "ratio")
		})
	}
}

// readings makes n samples of so many devices in turn at each call, none of which
// fires.
func readings(devices int, take func(s *Sample, now time.Time)) func(n int) {
	samples := make([]Sample, devices)
	for i := range samples {
		samples[i] = *reading(start, -20)
		samples[i].Device = fmt.Sprint("freezer-", i)
		take(&samples[i], start)
	}
	now, i := start, 0
	return func(n int) {
		for range n {
			s := &samples[i]
			if i++; i == len(samples) {
				i = 0
			}
			now = now.Add(time.Millisecond)
			s.At, s.Num = now, -20.5
			take(s, now)
		}
	}
}

func byEngine(b *testing.B) func(s *Sample, now time.Time) {
	e := NewEngine(mustCompile(b, coldFile(freezer(b))), Options{})
	out := new(Output)
	return func(s *Sample, now time.Time) {
		e.Step(Input{Now: now, Sample: s}, out)
		if len(out.Transitions) != 0 {
			b.Fatal("something fired")
		}
	}
}

// byHand is a map of devices and a comparison, and nothing else.
func byHand(b *testing.B) func(s *Sample, now time.Time) {
	type last struct {
		at    int64
		value float64
	}
	devices := map[string]*last{}
	return func(s *Sample, _ time.Time) {
		d := devices[s.Device]
		if d == nil {
			d = new(last)
			devices[s.Device] = d
		}
		at := s.At.UnixNano()
		if at < d.at || s.Num != s.Num {
			return
		}
		d.at, d.value = at, s.Num
		if s.Num > -15 {
			b.Fatal("something fired")
		}
	}
}
