package rules

import (
	"fmt"
	"testing"
	"time"
)

// benchmarkStep plays samples that change nothing to one device among many.
func benchmarkStep(b *testing.B, p *Program, devices int) {
	e := NewEngine(p, Options{})
	samples := make([]Sample, devices)
	var out Output
	for i := range samples {
		samples[i] = *reading(start, -20)
		samples[i].Device = fmt.Sprint("freezer-", i)
		e.Step(Input{Now: start, Sample: &samples[i]}, &out)
	}
	out.Reset()
	now := start
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		s := &samples[i]
		if i++; i == len(samples) {
			i = 0
		}
		now = now.Add(time.Millisecond)
		s.At, s.Num = now, -20.5
		e.Step(Input{Now: now, Sample: s}, &out)
	}
	if len(out.Transitions)+len(out.Problems) != 0 {
		b.Fatalf("%d transitions, problems %q", len(out.Transitions), out.Problems)
	}
}

// BenchmarkLimitRule is the target: at most 50 ns a sample, and no allocation.
func BenchmarkLimitRule(b *testing.B) {
	benchmarkStep(b, mustCompile(b, coldFile(freezer(b))), 1)
}

func BenchmarkLimitRuleThousandDevices(b *testing.B) {
	benchmarkStep(b, mustCompile(b, coldFile(freezer(b))), 1000)
}

// BenchmarkRulesThatDoNotMatch has 10,000 rules beside the one that matches:
// half on other metrics, half on other devices.
func BenchmarkRulesThatDoNotMatch(b *testing.B) {
	f := coldFile(freezer(b))
	for i := range 5000 {
		r := freezer(b)
		r.Metric = fmt.Sprint("metric-", i)
		f.Rule[fmt.Sprint("m", i)] = r
		r = freezer(b)
		r.Devices = Scope{fmt.Sprint("other-", i)}
		f.Rule[fmt.Sprint("d", i)] = r
	}
	benchmarkStep(b, mustCompile(b, f), 1)
}

// BenchmarkUnusedMetric is a reading that no rule asks about.
func BenchmarkUnusedMetric(b *testing.B) {
	e := NewEngine(mustCompile(b, coldFile(freezer(b))), Options{})
	s := reading(start, -20)
	s.Metric = "humidity"
	var out Output
	b.ReportAllocs()
	for b.Loop() {
		e.Step(Input{Now: start, Sample: s}, &out)
	}
}

// BenchmarkFiring is the cost of a reading of an alarm that stays on.
func BenchmarkFiring(b *testing.B) {
	rule := freezer(b)
	rule.For = nil
	e := NewEngine(mustCompile(b, coldFile(rule)), Options{})
	s := reading(start, -14)
	var out Output
	now := start
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second)
		s.At = now
		e.Step(Input{Now: now, Sample: s}, &out)
	}
}

// BenchmarkFiredAndResolved is two events, through JSON.
func BenchmarkFiredAndResolved(b *testing.B) {
	rule := freezer(b)
	rule.For, rule.ClearFor = nil, nil
	e := NewEngine(mustCompile(b, coldFile(rule)), Options{})
	s := reading(start, -14)
	var out Output
	var body []byte
	now := start
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		for _, v := range []float64{-14, -20} {
			now = now.Add(time.Second)
			s.At, s.Num = now, v
			e.Step(Input{Now: now, Sample: s}, &out)
		}
		for i := range out.Transitions {
			var err error
			if body, err = out.Transitions[i].Events[0].AppendJSON(body[:0]); err != nil {
				b.Fatal(err)
			}
		}
	}
}
