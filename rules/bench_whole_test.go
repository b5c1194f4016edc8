package rules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"testing"
	"time"
	"unsafe"
)

// BenchmarkOneOfManyRules is a limit rule beside 10,000 that do not match, and
// alone, in one run: the ratio is what rules that do not match cost.
func BenchmarkOneOfManyRules(b *testing.B) {
	many := coldFile(freezer(b))
	for i := range 5000 {
		r := freezer(b)
		r.Metric = fmt.Sprint("metric-", i)
		many.Rule[fmt.Sprint("m", i)] = r
		r = freezer(b)
		r.Devices = Scope{fmt.Sprint("other-", i)}
		many.Rule[fmt.Sprint("d", i)] = r
	}
	programs := [2]*Program{mustCompile(b, coldFile(freezer(b))), mustCompile(b, many)}
	var took [2]time.Duration
	const each = 20_000
	rounds := 0
	steppers := [2]func(int){stepper(b, programs[0]), stepper(b, programs[1])}
	for b.Loop() {
		for i, step := range steppers { // interleaved, so that a noisy machine is fair
			begun := time.Now()
			step(each)
			took[i] += time.Since(begun)
		}
		rounds++
	}
	n := float64(rounds * each)
	b.ReportMetric(float64(took[0].Nanoseconds())/n, "ns/alone")
	b.ReportMetric(float64(took[1].Nanoseconds())/n, "ns/of-10000")
	b.ReportMetric(float64(took[1])/float64(took[0]), "ratio")
}

// stepper judges n readings of one device at each call.
func stepper(b *testing.B, p *Program) func(n int) {
	e := NewEngine(p, Options{})
	s := reading(start, -20)
	s.Device = "freezer-0"
	now := start
	var out Output
	return func(n int) {
		for range n {
			now = now.Add(time.Millisecond)
			s.At, s.Num, s.Received = now, -20.5, now
			e.Step(Input{Now: now, Sample: s}, &out)
		}
		if len(out.Transitions) != 0 {
			b.Fatal("something fired")
		}
	}
}

// BenchmarkP95Rule judges a percentile over five minutes of a reading a second:
// at most 500 ns a sample.
func BenchmarkP95Rule(b *testing.B) {
	file := coldFile(freezer(b))
	over := Duration(5 * time.Minute)
	file.Rule["freezer-warm"] = &RuleDef{Metric: "temperature", Condition: Condition{Agg: "p95", Over: &over, Above: qty(b, "40"), MinSamples: ptr(30)}}
	benchmarkStream(b, file)
}

// BenchmarkSlopeRule judges a rate over ten minutes of a reading a second.
func BenchmarkSlopeRule(b *testing.B) {
	file := coldFile(freezer(b))
	over := Duration(10 * time.Minute)
	file.Rule["freezer-warm"] = &RuleDef{Metric: "temperature", Condition: Condition{RateAbove: qty(b, "50 °C/min"), Over: &over}}
	benchmarkStream(b, file)
}

// BenchmarkExpressionRule judges an expression of two readings and a window.
func BenchmarkExpressionRule(b *testing.B) {
	file := coldFile(freezer(b))
	file.Rule["freezer-warm"] = &RuleDef{Condition: Condition{When: ptr(`temperature > 40 and avg(temperature, "1m") > 30 and not (door ?? false)`)}}
	benchmarkStream(b, file)
}

// BenchmarkSilenceRule is what a reading costs that proves its device alive.
func BenchmarkSilenceRule(b *testing.B) {
	file := coldFile(freezer(b))
	file.Rule["quiet"] = &RuleDef{Condition: Condition{Silent: &Silent{After: Duration(time.Hour)}}}
	benchmarkStream(b, file)
}

// benchmarkStream plays a reading a second of one device, none of which fires.
func benchmarkStream(b *testing.B, file *File) {
	e := NewEngine(mustCompile(b, file), Options{})
	s := reading(start, -20)
	var out Output
	now, i := start, 0
	step := func() {
		now = now.Add(time.Second)
		i++
		s.At, s.Received, s.Num = now, now, -20+float64(i*7919%1000)/500
		e.Step(Input{Now: now, Sample: s}, &out)
	}
	for range 1000 {
		step()
	}
	b.ReportAllocs()
	for b.Loop() {
		step()
	}
	if len(out.Transitions) != 0 {
		b.Fatalf("%d transitions", len(out.Transitions))
	}
}

// BenchmarkMillionAlarms makes a million alarms (250,000 devices with four rules)
// and restores them: what one costs in memory, and how long it takes to write
// them down and to take them back.
func BenchmarkMillionAlarms(b *testing.B) {
	const devices, perDevice = 250_000, 4
	file := coldFile(freezer(b))
	for i := range perDevice - 1 {
		r := freezer(b)
		r.Above, r.Clear = qty(b, fmt.Sprint(i)), nil
		file.Rule[fmt.Sprint("other-", i)] = r
	}
	program := mustCompile(b, file)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		before := heap()
		e := NewEngine(program, Options{})
		var out Output
		s := reading(start, -20)
		for i := range devices {
			s.Device = fmt.Sprint("device-", i)
			e.Step(Input{Now: start, Sample: s}, &out)
		}
		b.ReportMetric(float64(heap()-before)/(1<<20), "MiB")
		b.ReportMetric(float64(heap()-before)/(devices*perDevice), "B/alarm")
		b.ReportMetric(float64(unsafe.Sizeof(instance{})), "B/state-at-rest")

		begun := time.Now()
		var records bytes.Buffer
		var ends []int
		for record := range e.Memory() {
			records.Write(record)
			ends = append(ends, records.Len())
		}
		var states [][]byte
		for st := range e.States() {
			text, err := json.Marshal(st)
			if err != nil {
				b.Fatal(err)
			}
			states = append(states, text)
		}
		b.ReportMetric(time.Since(begun).Seconds(), "s/written")
		runtime.KeepAlive(e)
		e = nil
		runtime.GC()

		begun = time.Now()
		again := NewEngine(program, Options{})
		from := 0
		for _, end := range ends {
			if err := again.Recall(records.Bytes()[from:end]); err != nil {
				b.Fatal(err)
			}
			from = end
		}
		b.ReportMetric(time.Since(begun).Seconds(), "s/memory")
		begun = time.Now()
		for _, text := range states {
			var st State
			if err := json.Unmarshal(text, &st); err != nil {
				b.Fatal(err)
			}
			again.Restore(st)
		}
		b.ReportMetric(time.Since(begun).Seconds(), "s/states")
		if n := again.Devices(); n < devices {
			b.Fatalf("%d devices came back", n)
		}
	}
}
