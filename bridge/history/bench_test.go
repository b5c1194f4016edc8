package history

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"tocsin/rules"
)

// fleet makes inputs as a bridge does: devices report three metrics a message, to
// a tenth, stamped in milliseconds.
func fleet(devices, n int) []rules.Input {
	r := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- the same every time
	labels := []map[string]string{{"site": "lyon"}, {"site": "paris"}}
	metrics := []string{"temperature", "humidity", "battery"}
	names := make([]string, devices)
	level := make([]float64, 3*devices)
	for i := range names {
		names[i] = fmt.Sprintf("freezer-%05d", i)
	}
	all := make([]rules.Input, 0, n)
	now := time.Unix(1_800_000_000, 123456789).UTC()
	for i := 0; len(all) < n; i++ {
		d := r.IntN(devices)
		now = now.Add(time.Duration(100_000 + r.IntN(1_000_000)))
		received := now.Add(-time.Duration(2000 + r.IntN(30_000)))
		at := received.Add(-time.Duration(20+r.IntN(80)) * time.Millisecond).Truncate(time.Millisecond)
		for m, metric := range metrics {
			v := &level[3*d+m]
			*v += math.Round(r.NormFloat64()*3) / 10
			all = append(all, rules.Input{Now: now, Sample: &rules.Sample{
				Source: "plant", Device: names[d], Metric: metric, Labels: labels[d%2],
				Num: math.Round(*v*10) / 10, At: at, Received: received, Clock: rules.ClockDevice,
			}})
		}
	}
	return all
}

var sink rules.Sample // what a copy goes to, so that it is made

func BenchmarkAppend(b *testing.B) {
	for _, devices := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprint("devices=", devices), func(b *testing.B) {
			l := open(b, b.TempDir())
			all := fleet(devices, 1<<17)
			written := 0
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				l.Append(all[i%len(all)])
				if len(l.sealed) > 8 { // the disk's part is not measured
					b.StopTimer()
					for _, s := range l.sealed {
						written += int(s.bounds.count)
					}
					l.flush(false)
					b.StartTimer()
				}
			}
			b.StopTimer()
			if l.missing > 0 {
				b.Fatalf("%d were left out", l.missing)
			}
			if written > 0 {
				b.ReportMetric(float64(l.bytes.Load())/float64(written), "disk-B/sample")
			}
			shut(b, l)
		})
	}
	b.Run("copy", func(b *testing.B) {
		all := fleet(1000, 1<<17)
		b.ResetTimer()
		for i := range b.N {
			sink = *all[i%len(all)].Sample
		}
	})
	b.Run("channel", func(b *testing.B) {
		all := fleet(1000, 1<<17)
		ch := make(chan rules.Sample, 1<<10)
		b.ResetTimer()
		for i := range b.N {
			select {
			case ch <- *all[i%len(all)].Sample:
			default:
				for len(ch) > 0 {
					sink = <-ch
				}
			}
		}
	})
}

func BenchmarkReplay(b *testing.B) {
	var file bytes.Buffer
	r, err := NewRecorder(&file)
	if err != nil {
		b.Fatal(err)
	}
	all := fleet(1000, 1<<17)
	for _, in := range all {
		if err := r.Record(in); err != nil {
			b.Fatal(err)
		}
	}
	if err := r.Flush(); err != nil {
		b.Fatal(err)
	}
	u, err := newUnpacker()
	if err != nil {
		b.Fatal(err)
	}
	var d decoder
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; {
		err := headers("", bytes.NewReader(file.Bytes()), int64(file.Len()), func(h *header, at int64) bool {
			payload, err := u.read(bytes.NewReader(file.Bytes()), h, at)
			if err != nil {
				b.Fatal(err)
			}
			d.begin(payload)
			for {
				if _, _, ok, err := d.next(); !ok || err != nil {
					break
				}
				n++
			}
			return n < b.N
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// At one reading a second per block, names are most of what is written.
func BenchmarkSlowFleet(b *testing.B) {
	for _, rate := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint("samples/s=", rate), func(b *testing.B) {
			var file bytes.Buffer
			r, err := NewRecorder(&file)
			if err != nil {
				b.Fatal(err)
			}
			all := fleet(10*rate, 100*rate)
			b.ResetTimer()
			n := 0
			for range b.N {
				for i := range all {
					if err := r.Record(all[i]); err != nil {
						b.Fatal(err)
					}
					if n++; n%rate == 0 {
						if err := r.Flush(); err != nil {
							b.Fatal(err)
						}
					}
				}
			}
			b.ReportMetric(float64(file.Len())/float64(n), "disk-B/sample")
		})
	}
}

// A chart of one metric of a thousand devices, of an hour and of all: how long a
// person waits.
func BenchmarkRange(b *testing.B) {
	l := open(b, b.TempDir())
	all := fleet(1000, 1<<20)
	for i, in := range all {
		l.Append(in)
		if i%(1<<14) == 0 {
			l.flush(true)
		}
	}
	l.flush(true)
	first, last := all[0].Now, all[len(all)-1].Now
	for _, c := range []struct {
		name  string
		from  time.Time
		limit int
	}{{"newest", first, 100}, {"all", first, 1 << 20}} {
		b.Run(c.name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				points, err := l.Range(b.Context(), "freezer-00007", "temperature", c.from, last, c.limit)
				if err != nil {
					b.Fatal(err)
				}
				n = len(points)
			}
			b.ReportMetric(float64(n), "points")
		})
	}
	shut(b, l)
}
