package bridge

import (
	"sync"
	"time"
)

// A bucket bounds how many attempts begin in a second. It holds one second's
// worth at most, and at least one. Time is data to it.
type bucket struct {
	rate   float64 // per second; 0: nothing is bounded
	tokens float64
	at     time.Time // when tokens was so; zero: full
}

// fill brings the bucket up to now.
func (b *bucket) fill(now time.Time) {
	most := max(1, b.rate)
	if b.at.IsZero() {
		b.tokens = most
	} else if past := now.Sub(b.at); past > 0 {
		b.tokens = min(most, b.tokens+past.Seconds()*b.rate)
	}
	b.at = now
}

// allow is how many attempts may begin now, and when the next may if none may.
func (b *bucket) allow(now time.Time) (n int, next time.Time) {
	if b.rate <= 0 {
		return unlimited, time.Time{}
	}
	b.fill(now)
	if n = int(b.tokens); n > 0 {
		return n, time.Time{}
	}
	return 0, now.Add(time.Duration((1-b.tokens)/b.rate*float64(time.Second)) + 1)
}

// take uses up what n attempts need; with a negative n it gives it back.
func (b *bucket) take(n int) { b.tokens -= float64(n) }

// set changes the rate; what is in the bucket stays, as far as there is room.
func (b *bucket) set(rate float64) {
	b.rate = rate
	b.tokens = min(b.tokens, max(1, rate))
}

// A host is where endpoints live: it is not asked more of because it has several.
type host struct {
	mu     sync.Mutex
	bucket bucket
}

// take reserves up to n attempts, and says when to ask again if there is none.
func (h *host) take(now time.Time, n int) (granted int, next time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	granted, next = h.bucket.allow(now)
	granted = min(granted, n)
	h.bucket.take(granted)
	return granted, next
}

// give returns what was not used.
func (h *host) give(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bucket.take(-n)
}
