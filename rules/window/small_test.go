package window

import (
	"bytes"
	"math"
	"slices"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

func TestARunEndsWhenTheValueMoves(t *testing.T) {
	for _, c := range []struct {
		name   string
		within float64
		values []float64
		since  int64 // index of the reading
	}{
		{"one reading", 0, []float64{5}, 0},
		{"the same value", 0, []float64{5, 5, 5}, 0},
		{"noise within", 0.05, []float64{21, 21.05, 21, 21.05}, 0},
		{"noise beyond", 0.05, []float64{21, 21.05, 21, 21.06}, 3},
		{"slow drift", 0.1, []float64{1, 1.06, 1.12, 1.18}, 2},
		{"back and forth", 0.1, []float64{1, 1.1, 0.95}, 2},
		{"no number", 0, []float64{5, math.NaN(), math.Inf(1), 5}, 0},
	} {
		var r Run
		if r.Since() != 0 {
			t.Error("nothing has a run")
		}
		for i, v := range c.values {
			r.Add(base+int64(i)*second, v, c.within)
		}
		if got := (r.Since() - base) / second; got != c.since {
			t.Errorf("%s: since %d, want %d", c.name, got, c.since)
		}
	}
	if size := unsafe.Sizeof(Run{}); size != 24 {
		t.Errorf("a run takes %d bytes", size)
	}
}

// TestARunIsNeverLongerThanItWas holds Since to the readings themselves.
func TestARunIsNeverLongerThanItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		within := float64(rapid.IntRange(0, 5).Draw(t, "within"))
		var r Run
		var values []float64
		for i, v := range rapid.SliceOfN(rapid.IntRange(-5, 5), 1, 60).Draw(t, "values") {
			values = append(values, float64(v))
			r.Add(base+int64(i), float64(v), within)
			run := values[r.Since()-base:]
			if slices.Max(run)-slices.Min(run) > within {
				t.Fatalf("run %v moves by more than %v", run, within)
			}
			if i > 0 && math.Abs(values[i]-values[i-1]) <= within && len(run) < 2 && slices.Max(values[max(0, i-1):])-slices.Min(values[max(0, i-1):]) == 0 {
				t.Fatalf("a value that stands still ends its run: %v", values)
			}
		}
	})
}

func TestMarksAreThoseOfTheReadings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 8).Draw(t, "size")
		m := NewMarks(size)
		var all []int64
		for range rapid.IntRange(0, 40).Draw(t, "n") {
			at := base + rapid.Int64Range(0, 100).Draw(t, "at")*second
			m.Add(at)
			all = append(all, at)
			slices.Sort(all)
			all = all[max(0, len(all)-size):]
			if rapid.Bool().Draw(t, "restore") {
				stored := m.AppendBinary(nil)
				back, rest, err := DecodeMarks(append(stored, 1))
				if err != nil || len(rest) != 1 || !bytes.Equal(back.AppendBinary(nil), stored) {
					t.Fatalf("decode: %v", err)
				}
				m = back
			}
		}
		now, d := base+rapid.Int64Range(0, 120).Draw(t, "now")*second, rapid.Int64Range(0, 100).Draw(t, "d")*second
		want := 0
		for _, at := range all {
			if at > now-d {
				want++
			}
		}
		if got := m.Within(now, time.Duration(d)); got != want {
			t.Fatalf("%d within, want %d of %v", got, want, all)
		}
		if m.Count() != len(all) || len(all) > 0 && (m.Oldest() != all[0] || m.Newest() != all[len(all)-1]) {
			t.Fatalf("marks %v, want %v", m.at, all)
		}
	})
	m := NewMarks(4)
	for i := range int64(4) {
		m.Add(base + i)
	}
	m.Resize(2)
	if m.Oldest() != base+2 || m.Count() != 2 {
		t.Error("a resize forgets the newest")
	}
	m.Reset()
	if m.Count() != 0 || m.Oldest() != 0 || m.Newest() != 0 || cap(NewMarks(-1).at) != 0 || NewMarks(-1).size != 1 {
		t.Error("a reset leaves something")
	}
}

func TestGapsLearnTheInterval(t *testing.T) {
	for _, c := range []struct {
		name      string
		waits     []float64 // seconds
		interval  time.Duration
		irregular bool
	}{
		{"nothing", nil, 0, false},
		{"too few", []float64{60, 60, 60}, 0, false},
		{"a minute", []float64{60, 60, 61, 60}, time.Minute, false},
		{"bursts", []float64{60, 0.2, 0.2, 59.6, 0.5, 59.5, 60, 0, 60}, time.Minute, false},
		{"faster than told apart", []float64{0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5}, time.Second, false},
		{"one outage", []float64{60, 60, 60, 60, 7200, 60, 60, 60, 60}, time.Minute, false},
		{"by exception", []float64{5, 3600, 2, 9000, 4, 30, 7, 20000, 3}, 7 * time.Second, true},
		{"not enough to tell", []float64{5, 3600, 2, 9000, 4, 30, 7}, 7 * time.Second, false},
		{"only the last 16", append(slices.Repeat([]float64{10}, 20), slices.Repeat([]float64{90}, 16)...), 90 * time.Second, false},
	} {
		var g Gaps
		at := base
		g.Add(at)
		for _, wait := range c.waits {
			at += int64(wait * 1e9)
			g.Add(at)
			g.Add(at - 10*second) // late ones are no gaps
			stored := g.AppendBinary(nil)
			back, rest, err := DecodeGaps(append(stored, 1))
			if err != nil || len(rest) != 1 || !bytes.Equal(back.AppendBinary(nil), stored) {
				t.Fatalf("%s: decode: %v", c.name, err)
			}
			g = back
		}
		interval, ok := g.Interval()
		if interval != c.interval || ok != (c.interval != 0) || g.Irregular() != c.irregular {
			t.Errorf("%s: interval %v %v, irregular %v", c.name, interval, ok, g.Irregular())
		}
	}
	if size := unsafe.Sizeof(Gaps{}); size != 80 {
		t.Errorf("gaps take %d bytes", size)
	}
	var g Gaps
	g.Add(base)
	g.Skip()
	g.Add(base + day)
	g.Add(base + day + 60*second)
	if g.Count() != 1 {
		t.Error("a gap of our own was learnt")
	}
}

func TestSkewIsTheMiddleOfTheLast(t *testing.T) {
	var s Skews
	for i := range 3 {
		s.Add(base+int64(i)*second, base)
	}
	if _, ok := s.Median(); ok {
		t.Error("three are enough")
	}
	for i := range int64(100) {
		ahead := 120 * second
		if i%10 == 0 {
			ahead = -day * 1000 // one that lay about
		}
		s.Add(base+i*second, base+i*second+ahead)
		stored := s.AppendBinary(nil)
		back, rest, err := DecodeSkews(append(stored, 1))
		if err != nil || len(rest) != 1 || !bytes.Equal(back.AppendBinary(nil), stored) {
			t.Fatalf("decode: %v", err)
		}
		s = *back
	}
	if got, ok := s.Median(); !ok || got != -2*time.Minute {
		t.Errorf("median %v %v, want -2m", got, ok)
	}
	if s.Count() != 32 {
		t.Errorf("%d are remembered", s.Count())
	}
}

// FuzzDecode: what is stored may be anything. What is taken for stored can be
// used, and is stored the same again.
func FuzzDecode(f *testing.F) {
	for _, n := range []int64{0, 5, 3000} {
		w := New(time.Duration(n)*time.Second/2, allNeeds)
		for i := range n {
			w.Add(base+i*second/4, wave(base+i*second))
		}
		w.Quantile(0.5)
		f.Add(w.AppendBinary(nil))
	}
	b := NewBaseline(BaselineOptions{Slots: 2})
	m, g, s := NewMarks(3), Gaps{}, Skews{}
	for i := range int64(50) {
		b.Add(base+i*hour, int(i%2), float64(i))
		m.Add(base + i)
		g.Add(base + i*hour)
		s.Add(base+i, base)
	}
	f.Add(b.AppendBinary(nil))
	f.Add(m.AppendBinary(nil))
	f.Add(g.AppendBinary(nil))
	f.Add(s.AppendBinary(nil))
	f.Fuzz(func(t *testing.T, stored []byte) {
		if w, _, err := Decode(stored); err == nil {
			once := w.AppendBinary(nil)
			back, _, err := Decode(once)
			if err != nil || !bytes.Equal(back.AppendBinary(nil), once) {
				t.Fatalf("a window is not read back: %v", err)
			}
			answers(w)
			w.Add(w.Newest()+1, 5)
			w.Resize(2 * w.Over())
			w.Add(w.Oldest()+1, 5)
			w.Advance(w.Newest() + int64(w.Over())/2)
			answers(w)
		}
		if b, _, err := DecodeBaseline(stored); err == nil {
			once := b.AppendBinary(nil)
			back, _, err := DecodeBaseline(once)
			if err != nil || !bytes.Equal(back.AppendBinary(nil), once) {
				t.Fatalf("a baseline is not read back: %v", err)
			}
			for slot := range b.Slots() {
				b.Add(base, slot, 5)
				b.Score(base+day, slot, 5, Mad)
				b.Score(base+day, slot, 5, ZScore)
			}
		}
		if m, _, err := DecodeMarks(stored); err == nil {
			m.Add(base)
			m.Within(base, time.Hour)
		}
		if g, _, err := DecodeGaps(stored); err == nil {
			g.Add(base)
			g.Interval()
			g.Irregular()
		}
		if s, _, err := DecodeSkews(stored); err == nil {
			s.Add(base, base)
			s.Median()
		}
	})
}
