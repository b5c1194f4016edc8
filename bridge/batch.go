package bridge

import (
	"cmp"
	"slices"
	"time"
)

// Batching has several deliveries sent as one message.
type Batching struct {
	Max  int           // deliveries in a message; 0 or 1: each is a message of its own
	Wait time.Duration // for more to come, from the first on
}

// batchBytes is what a batch holds at most, of events; one that is larger is sent
// alone.
const batchBytes = 256 << 10

// A gatherer makes batches of deliveries that were claimed. Those of a batch that
// has to be sent again are kept together, so that it is the same batch, under the
// same id. Members are of different alarms: a store hands out one of each. Time
// is data to it; the zero value is empty.
type gatherer struct {
	bundles []*bundle         // not complete yet, the oldest first
	again   map[int64]*bundle // by event: the batch it was in when that failed
}

// A bundle is a batch that is being put together.
type bundle struct {
	size    int // complete with so many; 0: whatever fits
	members []Delivery
	bytes   int
	until   time.Time // sent then, complete or not
}

// held is how many deliveries wait to be sent.
func (g *gatherer) held() (n int) {
	for _, b := range g.bundles {
		n += len(b.members)
	}
	return n
}

// add takes claimed deliveries in.
func (g *gatherer) add(now time.Time, due []Delivery, o Batching) {
	for _, d := range due {
		b := g.again[d.Event]
		switch {
		case b != nil && slices.Contains(g.bundles, b):
		case b != nil:
			b.until, b.members, b.bytes = now.Add(o.Wait), nil, 0 // some of it may have gone before the rest
			g.bundles = append(g.bundles, b)
		default:
			b = g.open(now, len(d.Data), o)
		}
		b.members = append(b.members, d)
		b.bytes += len(d.Data)
	}
}

// open is the bundle that takes in what was never tried.
func (g *gatherer) open(now time.Time, size int, o Batching) *bundle {
	for _, b := range g.bundles {
		if b.size == 0 && len(b.members) < o.Max && b.bytes+size <= batchBytes {
			return b
		}
	}
	b := &bundle{until: now.Add(o.Wait)}
	g.bundles = append(g.bundles, b)
	return b
}

// ready hands out up to limit batches that are complete, or have waited long
// enough; next is when another will have.
func (g *gatherer) ready(now time.Time, limit int, o Batching) (batches [][]Delivery, next time.Time) {
	g.bundles = slices.DeleteFunc(g.bundles, func(b *bundle) bool {
		full := len(b.members) >= cmp.Or(b.size, o.Max) || b.size == 0 && b.bytes >= batchBytes
		if len(batches) == limit || !full && now.Before(b.until) {
			if next.IsZero() || b.until.Before(next) {
				next = b.until
			}
			return false
		}
		slices.SortFunc(b.members, func(x, y Delivery) int { return cmp.Compare(x.Event, y.Event) })
		batches = append(batches, b.members)
		return true
	})
	return batches, next
}

// retry keeps a batch together for its next attempt, or takes it apart: what was
// refused whole may be accepted in parts.
func (g *gatherer) retry(batch []Delivery, apart bool) {
	if g.again == nil {
		g.again = make(map[int64]*bundle)
	}
	together := &bundle{size: len(batch)}
	for _, d := range batch {
		if apart {
			together = &bundle{size: 1}
		}
		g.again[d.Event] = together
	}
}

// end forgets a batch that has ended.
func (g *gatherer) end(batch []Delivery) {
	for _, d := range batch {
		delete(g.again, d.Event)
	}
}

// leave hands out what was claimed and not sent.
func (g *gatherer) leave() (left []Delivery) {
	for _, b := range g.bundles {
		left = append(left, b.members...)
	}
	g.bundles = nil
	return left
}
