package history

import (
	"bytes"
	"math"
	"slices"
	"time"

	"tocsin/rules"
)

// ranging gathers the newest readings of some metrics of a device.
type ranging struct {
	device   string
	metrics  map[string]*newest
	from, to time.Time
	limit    int

	decoder decoder
}

// newest are the newest readings of one metric.
type newest struct {
	limit  int
	found  []rules.Point // at most twice the limit
	oldest int64         // where there are limit points: no older one is needed
}

// done reports whether a block whose newest reading is of a time has nothing to
// add.
func (r *ranging) done(endAt int64) bool {
	for _, n := range r.metrics {
		if r.limit > 0 && (len(n.found) < r.limit || endAt >= n.oldest) {
			return false
		}
	}
	return true
}

// take gathers from the payload of a block.
func (r *ranging) take(payload []byte) error {
	// Names are written as they are, so most blocks without the device need no
	// decoding.
	if !bytes.Contains(payload, []byte(r.device)) {
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
	for _, n := range r.metrics {
		if len(n.found) >= n.limit {
			n.trim()
		}
	}
	return nil
}

func (r *ranging) sample(s *rules.Sample) {
	if s.Device != r.device || !counts(s) || s.At.Before(r.from) || !s.At.Before(r.to) {
		return
	}
	n := r.metrics[s.Metric]
	if n == nil {
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
	n.found = append(n.found, p)
	if n.limit < math.MaxInt/2 && len(n.found) >= 2*n.limit {
		n.trim()
	}
}

// trim keeps the newest.
func (n *newest) trim() {
	slices.SortStableFunc(n.found, func(a, b rules.Point) int { return a.At.Compare(b.At) })
	if k := len(n.found); k > n.limit {
		n.found = append(n.found[:0], n.found[k-n.limit:]...)
	}
	if len(n.found) > 0 {
		n.oldest = nanos(n.found[0].At)
	}
}

func (n *newest) points() []rules.Point {
	if n.limit <= 0 {
		return nil
	}
	n.trim()
	return n.found
}
