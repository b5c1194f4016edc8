package history

import (
	"bytes"
	"math"
	"slices"
	"time"

	"tocsin/rules"
)

// ranging gathers the newest readings of one metric.
type ranging struct {
	device, metric string
	from, to       time.Time
	limit          int

	decoder decoder
	found   []rules.Point // at most twice the limit
	oldest  int64         // where there are limit points: no older one is needed
}

// done reports whether a block whose newest reading is of a time has nothing to
// add.
func (r *ranging) done(endAt int64) bool {
	return r.limit <= 0 || len(r.found) >= r.limit && endAt < r.oldest
}

// take gathers from the payload of a block.
func (r *ranging) take(payload []byte) error {
	// Names are written as they are, so most blocks without the device need no
	// decoding.
	if !bytes.Contains(payload, []byte(r.device)) || !bytes.Contains(payload, []byte(r.metric)) {
		return nil
	}
	r.decoder.begin(payload)
	for {
		in, _, ok, err := r.decoder.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if in.Sample != nil {
			r.sample(in.Sample)
		}
		for i := range in.Batch {
			r.sample(&in.Batch[i])
		}
	}
	if len(r.found) >= r.limit {
		r.trim()
	}
	return nil
}

func (r *ranging) sample(s *rules.Sample) {
	if s.Device != r.device || s.Metric != r.metric || s.Invalid != "" || s.At.Before(r.from) || !s.At.Before(r.to) ||
		s.Flags&rules.Retained != 0 && s.Clock == rules.ClockArrival {
		return
	}
	p := rules.Point{At: s.At}
	switch s.Kind {
	case rules.Bool:
		p.Value = s.Num != 0
	case rules.Text:
		p.Value = s.Text
	default:
		p.Value = s.Num
	}
	r.found = append(r.found, p)
	if r.limit < math.MaxInt/2 && len(r.found) >= 2*r.limit {
		r.trim()
	}
}

// trim keeps the newest.
func (r *ranging) trim() {
	slices.SortStableFunc(r.found, func(a, b rules.Point) int { return a.At.Compare(b.At) })
	if n := len(r.found); n > r.limit {
		r.found = append(r.found[:0], r.found[n-r.limit:]...)
	}
	if len(r.found) > 0 {
		r.oldest = nanos(r.found[0].At)
	}
}

func (r *ranging) points() []rules.Point {
	if r.limit <= 0 {
		return nil
	}
	r.trim()
	return r.found
}
