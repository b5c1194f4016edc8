package bridge

import (
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"
)

// A Breaker says when an endpoint that keeps failing is left alone. What it is
// owed waits; nothing is given up by it.
type Breaker struct {
	Failures int           // in a row that open it; 0 means 10
	Window   time.Duration // in which they have to lie; 0 means 5m
	Open     time.Duration // until the first probe, doubled by each that fails; 0 means 30s
	MaxOpen  time.Duration // the longest wait between probes; 0 means 15m
}

func (o Breaker) withDefaults() Breaker {
	if o.Failures == 0 {
		o.Failures = 10
	}
	if o.Window == 0 {
		o.Window = 5 * time.Minute
	}
	if o.Open == 0 {
		o.Open = 30 * time.Second
	}
	if o.MaxOpen == 0 {
		o.MaxOpen = 15 * time.Minute
	}
	return o
}

// pause is how long the endpoint is left alone after it was found failing so
// many times in a row.
func (o Breaker) pause(opened int) time.Duration {
	d := o.Open
	for range opened - 1 {
		if d *= 2; d >= o.MaxOpen {
			break
		}
	}
	return min(d, o.MaxOpen)
}

// A breaker is closed until an endpoint has failed so many times in a row, open
// until its time is over, and then lets one probe through. When that is accepted
// it is closed, with a slow start. Time is data to it; the zero value is closed.
type breaker struct {
	failures []time.Time // since the last success, ascending; no more than open it
	opened   int         // times in a row that it was opened, with no full recovery between
	until    time.Time   // no probe before; zero: closed
	probing  bool        // a probe is under way
	era      int         // rises when it opens: attempts begun before tell nothing of the time after
	ramp     ramp
}

// isOpen reports whether nothing but probes is let through.
func (b *breaker) isOpen() bool { return !b.until.IsZero() }

// allow is how many attempts may begin now, and when to ask again if that is not
// enough; the zero time means when an attempt has ended.
func (b *breaker) allow(now time.Time) (n int, next time.Time) {
	switch {
	case !b.isOpen():
		return b.ramp.allow(now)
	case b.probing:
		return 0, time.Time{}
	case now.Before(b.until):
		return 0, b.until
	}
	return 1, time.Time{}
}

// begin takes note of an attempt that begins, and returns what it is to be ended
// with.
func (b *breaker) begin() (era int) {
	if b.isOpen() {
		b.probing = true
	}
	b.ramp.use()
	return b.era
}

// succeed takes note of an attempt that was accepted, and reports whether that
// closed the breaker.
func (b *breaker) succeed(now time.Time) (closed bool) {
	b.failures = b.failures[:0]
	if b.isOpen() {
		b.until, b.probing, closed = time.Time{}, false, true
		b.era++
		b.ramp.begin(now)
	}
	if !b.ramp.running() {
		b.opened = 0
	}
	return closed
}

// fail takes note of an attempt that failed, and reports whether that opened the
// breaker anew.
func (b *breaker) fail(now time.Time, o Breaker, era int) (opened bool) {
	if era != b.era {
		return false // what began before it opened is no news
	}
	if b.isOpen() {
		b.open(now, o)
		return false
	}
	b.ramp.restart(now)
	b.failures = append(b.failures, now)
	b.failures = slices.DeleteFunc(b.failures, func(at time.Time) bool { return now.Sub(at) > o.Window })
	if len(b.failures) < o.Failures {
		return false
	}
	b.open(now, o)
	return true
}

func (b *breaker) open(now time.Time, o Breaker) {
	b.opened++
	b.era++
	b.until, b.probing, b.failures, b.ramp = now.Add(o.pause(b.opened)), false, nil, ramp{draw: b.ramp.draw}
}

// abandon takes note of an attempt that has told nothing.
func (b *breaker) abandon(era int) {
	if era == b.era {
		b.probing = false
	}
}

const (
	rampRound = time.Second
	rampLimit = 1 << 10 // attempts in a round from which on nobody is spared
)

// A ramp is a slow start: in its first second one attempt, then two, four and so
// on, each at a random time of its second, so that what has waited does not
// arrive all at once. It is over when it holds nothing back any more. The zero
// value is one that is over.
type ramp struct {
	size  int            // of this round; 0: it is over
	ends  time.Time      // of this round
	slots []time.Time    // when attempts may begin, ascending
	asked time.Time      // up to when slots have been offered
	draw  func() float64 // from 0 to below 1; nil means by chance. It belongs to who has the ramp
}

// drawing is where an endpoint's chances come from; nil for a seed of 0.
func drawing(seed uint64, endpoint string) func() float64 {
	if seed == 0 {
		return nil
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(endpoint))
	return rand.New(rand.NewPCG(seed, h.Sum64())).Float64 // #nosec G404 -- jitter, not a secret
}

func (r *ramp) chance() float64 {
	if r.draw == nil {
		return rand.Float64() // #nosec G404 -- jitter, not a secret
	}
	return r.draw()
}

func (r *ramp) running() bool { return r.size > 0 }

func (r *ramp) begin(now time.Time) {
	r.size = 0
	r.round(now, 1)
}

// restart goes back to one attempt a second.
func (r *ramp) restart(now time.Time) {
	if r.running() {
		r.begin(now)
	}
}

func (r *ramp) round(now time.Time, size int) {
	r.size, r.ends, r.slots = size, now.Add(rampRound), r.slots[:0]
	for range size {
		r.slots = append(r.slots, now.Add(time.Duration(r.chance()*float64(rampRound))))
	}
	slices.SortFunc(r.slots, time.Time.Compare)
}

// unlimited is as many attempts as anybody asks for.
const unlimited = 1 << 30

// allow is how many attempts may begin now, and when more may.
func (r *ramp) allow(now time.Time) (n int, next time.Time) {
	if r.running() && !now.Before(r.ends) {
		if 2*r.declined() > r.size || 2*r.size > rampLimit {
			*r = ramp{draw: r.draw} // it holds nothing back: there was less to do, or others hold back more
		} else {
			left := slices.Clone(r.slots) // by who asks too late for the last of a round
			r.round(now, 2*r.size)
			r.slots = append(left, r.slots...)
		}
	}
	if !r.running() {
		return unlimited, time.Time{}
	}
	r.asked = now
	for n < len(r.slots) && !r.slots[n].After(now) {
		n++
	}
	if n < len(r.slots) {
		return n, r.slots[n]
	}
	return n, r.ends
}

// declined is how many attempts of this round were offered and not begun.
func (r *ramp) declined() (n int) {
	for n < len(r.slots) && !r.slots[n].After(r.asked) {
		n++
	}
	return n
}

// use takes up one of the attempts allowed.
func (r *ramp) use() {
	if len(r.slots) > 0 {
		r.slots = r.slots[1:]
	}
}

// reset closes the breaker because somebody knows better; it begins slowly.
func (b *breaker) reset(now time.Time) {
	b.failures, b.opened, b.until, b.probing = nil, 0, time.Time{}, false
	b.era++
	b.ramp.begin(now)
	b.ramp.slots[0] = now // which is the probe
}
