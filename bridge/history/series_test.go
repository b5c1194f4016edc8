package history

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tocsin/rules"
)

// One look at the history reduces several channels to what Range says of each.
func TestSeriesSaysWhatRangeSays(t *testing.T) {
	l := open(t, t.TempDir())
	for i := range 20_000 {
		in := reading(i)
		in.Sample.Num = float64(i * 7919 % 1000)
		switch i % 1000 {
		case 3: // of another metric
			in.Sample.Metric = "humidity"
		case 103:
			in.Sample.Kind, in.Sample.Text = rules.Text, "open"
		case 203:
			in.Sample.Invalid = "nan"
		}
		l.Append(in)
		if i%5000 == 0 {
			l.flush(true)
		}
	}
	l.flush(true)
	from, to := reading(4000).Now, reading(16_000).Now
	const buckets = 37
	q := SeriesQuery{From: from, To: to, Buckets: buckets}
	for _, device := range []string{"device-3", "device-99", "nobody"} {
		q.Channels = append(q.Channels, Channel{device, "temperature"})
	}
	s, err := l.Series(ctx(), q)
	if err != nil || len(s.Channels) != 3 || !s.Since.Equal(from) {
		t.Fatalf("%+v, %v", s, err)
	}
	width := (to.Sub(from) + buckets - 1) / buckets
	for i, c := range q.Channels {
		points, err := l.Range(ctx(), c.Device, c.Metric, from, to, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for j := range s.Channels[i] {
			b := &s.Channels[i][j]
			begins, ends := from.Add(time.Duration(j)*width), from.Add(time.Duration(j+1)*width)
			want := Bucket{Low: 1e9, High: -1e9}
			for _, p := range points {
				v, number := p.Value.(float64)
				if !number || p.At.Before(begins) || !p.At.Before(ends) {
					continue
				}
				want.Low, want.High, want.Last, n = min(want.Low, v), max(want.High, v), v, n+1
			}
			if b.Empty() != want.Empty() || !b.Empty() && (b.Low != want.Low || b.High != want.High || b.Last != want.Last) {
				t.Errorf("%v bucket %d: %+v, want %+v", c, j, b, want)
			}
		}
		if want := map[string]int{"device-3": 84, "device-99": 120}[c.Device]; n != want {
			t.Errorf("%v: %d readings, want %d", c, n, want)
		}
	}
	shut(t, l)
}

// Several metrics of a device take one look, and are each what one look would find.
func TestRangesSayWhatRangeSays(t *testing.T) {
	l := open(t, t.TempDir())
	for i := range 20_000 {
		in := reading(i)
		if i%300 == 3 {
			in.Sample.Metric = "humidity"
		}
		l.Append(in)
		if i%3000 == 0 {
			l.flush(true)
		}
	}
	l.flush(true)
	from, to := reading(4000).Now, reading(16_000).Now
	for _, limit := range []int{0, 1, 30, 1000} {
		all, err := l.Ranges(ctx(), RangeQuery{"device-3", []string{"temperature", "humidity", "nothing"}, from, to, limit})
		if err != nil || len(all) != 3 {
			t.Fatal(all, err)
		}
		for metric, points := range all {
			one, err := l.Range(ctx(), "device-3", metric, from, to, limit)
			want := map[string]int{"temperature": min(limit, 80), "humidity": min(limit, 40)}[metric]
			if err != nil || len(points) != want || !slices.Equal(points, one) {
				t.Errorf("%s, %d at most: %d points, %d alone, want %d, %v", metric, limit, len(points), len(one), want, err)
			}
		}
	}
	shut(t, l)
}

// A fleet that reports a lot must not make a chart cost more than was agreed: what is
// left out is the oldest, and that is said.
func TestSeriesLooksAtNoMoreThanItMay(t *testing.T) {
	l := open(t, t.TempDir())
	for i := range 20_000 {
		l.Append(reading(i))
		if i%1000 == 999 {
			l.flush(true)
		}
	}
	l.flush(true)
	q := SeriesQuery{Channels: []Channel{{"device-5", "temperature"}}, From: reading(0).Now, To: reading(20_000).Now, Buckets: 20, Readings: 3500}
	s, err := l.Series(ctx(), q)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for i := range s.Channels[0] {
		text += fmt.Sprint(map[bool]int{true: 0, false: 1}[s.Channels[0][i].Empty()])
	}
	if text != "00000000000000001111" || !s.Since.Equal(reading(15_999).Now) {
		t.Errorf("%s since %s", text, s.Since)
	}
	shut(t, l)
}

// A page of a list: fifty devices of a thousand.
func BenchmarkSeries(b *testing.B) {
	l := open(b, b.TempDir())
	all := fleet(1000, 1<<20)
	for i, in := range all {
		l.Append(in)
		if i%(1<<14) == 0 {
			l.flush(true)
		}
	}
	l.flush(true)
	q := SeriesQuery{From: all[0].Now, To: all[len(all)-1].Now, Buckets: 60}
	for i := range 50 {
		q.Channels = append(q.Channels, Channel{fmt.Sprintf("freezer-%05d", i), "temperature"})
	}
	for b.Loop() {
		if _, err := l.Series(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(1<<20), "ns/reading")
	shut(b, l)
}
