package history

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"time"

	"tocsin/rules"
)

// A Channel is one metric of one device.
type Channel struct{ Device, Metric string }

// A SeriesQuery asks for what several channels were in a stretch of time, each
// reduced to a few buckets of equal width.
type SeriesQuery struct {
	Channels []Channel
	From, To time.Time
	Buckets  int // at least 1

	// Readings is how many readings may be looked at, of whichever channel; 0 means
	// 2,000,000, which takes less than a second. What is older than these is left out.
	Readings int
}

// A Bucket is what a channel was in a part of the stretch. Low is greater than High
// where there was no reading.
type Bucket struct {
	Low, High, Last float64

	at int64 // of Last
}

// Empty reports whether there was no reading.
func (b *Bucket) Empty() bool { return b.Low > b.High }

// A Series is the answer to a [SeriesQuery].
type Series struct {
	Channels [][]Bucket // as they were asked for; those of texts are empty
	Since    time.Time  // what was before is left out; From, unless there was too much to be looked at
}

// Series reads what several channels were, with one look at every block of the
// time. Readings count as in [Log.Range]; a boolean is 0 or 1.
func (l *Log) Series(ctx context.Context, q SeriesQuery) (Series, error) {
	s := newGathering(&q)
	u, err := newUnpacker()
	if err != nil {
		return Series{}, err
	}
	defer u.close()
	spots, err := l.spots(ctx, since(l.parts(), q.From.Add(-time.Hour)), nanos(q.From), nanos(q.To))
	if err != nil {
		return Series{}, err
	}
	for i := range spots { // the newest first
		if err := ctx.Err(); err != nil {
			return Series{}, err
		}
		if s.left <= 0 {
			s.Since = later(s.Since, time.Unix(0, spots[i].endAt))
			break
		}
		payload, err := spots[i].read(u)
		switch {
		case err == nil:
			err = s.take(payload)
		case errors.Is(err, fs.ErrNotExist): // it was too old
			continue
		}
		if errors.Is(err, errChecksum) || errors.Is(err, errPayload) {
			err = l.note(spots[i].part.of, &Problem{File: spots[i].part.path, Offset: spots[i].at, Fact: err.Error()})
		}
		if err != nil {
			return Series{}, fmt.Errorf("reading history: %w", err)
		}
	}
	return s.Series, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// gathering sorts readings into buckets.
type gathering struct {
	Series
	index    map[Channel]int
	devices  map[string]bool
	from, to int64
	width    int64
	left     int // readings that may still be looked at

	decoder decoder
}

func newGathering(q *SeriesQuery) *gathering {
	g := &gathering{
		index: make(map[Channel]int, len(q.Channels)), devices: make(map[string]bool, len(q.Channels)),
		from: nanos(q.From), to: nanos(q.To), left: q.Readings,
	}
	if g.left == 0 {
		g.left = 2_000_000
	}
	g.width = max(1, (g.to-g.from+int64(q.Buckets)-1)/int64(q.Buckets))
	g.Since = q.From
	for i, c := range q.Channels {
		if _, twice := g.index[c]; !twice {
			g.index[c] = i
		}
		g.devices[c.Device] = true
		buckets := make([]Bucket, q.Buckets)
		for j := range buckets {
			buckets[j] = Bucket{Low: math.Inf(1), High: math.Inf(-1)}
		}
		g.Channels = append(g.Channels, buckets)
	}
	return g
}

// take sorts in the readings of a block.
func (g *gathering) take(payload []byte) error {
	g.decoder.begin(payload)
	for {
		in, _, ok, err := g.decoder.next()
		if err != nil || !ok {
			return err
		}
		if in.Sample != nil {
			g.sample(in.Sample)
		}
		for i := range in.Batch {
			g.sample(&in.Batch[i])
		}
	}
}

func (g *gathering) sample(s *rules.Sample) {
	g.left--
	if !g.devices[s.Device] || !counts(s) || s.Kind == rules.Text {
		return
	}
	i, asked := g.index[Channel{s.Device, s.Metric}]
	at := nanos(s.At)
	if !asked || at < g.from || at >= g.to {
		return
	}
	b := &g.Channels[i][(at-g.from)/g.width]
	if b.Empty() || at >= b.at {
		b.Last, b.at = s.Num, at
	}
	b.Low, b.High = min(b.Low, s.Num), max(b.High, s.Num)
}

// counts reports whether a reading is one that charts show.
func counts(s *rules.Sample) bool {
	return s.Invalid == "" && (s.Flags&rules.Retained == 0 || s.Clock != rules.ClockArrival)
}
