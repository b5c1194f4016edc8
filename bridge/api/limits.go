package api

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A Rate is how often somebody may ask: Burst requests at once, and PerSecond in
// the long run.
type Rate struct {
	PerSecond float64
	Burst     int
}

// Rates are how often whom is answered. What is zero is the default.
type Rates struct {
	Address Rate // an address (of IPv6, a network of /64); 200 a second, 1000 at once
	Token   Rate // a token, wherever it is sent from; 100 a second, 500 at once
	Refused Rate // an address that bears a wrong token, or none; 1 a second, 10 at once
}

// limits are the three of them.
type limits struct{ address, token, refused *limiter }

func newLimits(r Rates) limits {
	return limits{
		address: newLimiter(r.Address, Rate{200, 1000}),
		token:   newLimiter(r.Token, Rate{100, 500}),
		refused: newLimiter(r.Refused, Rate{1, 10}),
	}
}

const (
	maxLimited = 4096 // of whom a limiter keeps count; all the others share one
	sweepEvery = time.Second
)

// A limiter has a token bucket for each of many.
type limiter struct {
	rate Rate

	mu     sync.Mutex
	of     map[string]*rate.Limiter
	others *rate.Limiter
	swept  time.Time
}

func newLimiter(r, standard Rate) *limiter {
	if r == (Rate{}) {
		r = standard
	}
	return &limiter{rate: r, of: make(map[string]*rate.Limiter), others: rate.NewLimiter(rate.Limit(r.PerSecond), r.Burst)}
}

// take takes one from somebody's bucket, or says when there will be one.
func (l *limiter) take(whose string) (wait time.Duration) {
	now := time.Now()
	r := l.bucket(whose, now).ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

func (l *limiter) bucket(whose string, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.of[whose]
	if b != nil {
		return b
	}
	if len(l.of) >= maxLimited && now.Sub(l.swept) >= sweepEvery {
		l.swept = now
		for name, b := range l.of { // who has a full bucket is as one that was never seen
			if b.TokensAt(now) >= float64(l.rate.Burst) {
				delete(l.of, name)
			}
		}
	}
	if len(l.of) >= maxLimited {
		return l.others
	}
	b = rate.NewLimiter(rate.Limit(l.rate.PerSecond), l.rate.Burst)
	l.of[whose] = b
	return b
}

// addressOf is whom the sender of a request is taken for: its address, or of IPv6,
// where everybody has many, its network.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if addr = addr.Unmap().WithZone(""); addr.Is6() {
		if network, err := addr.Prefix(64); err == nil {
			return network.String()
		}
	}
	return addr.String()
}

// tooMany answers who asks too often.
func tooMany(w http.ResponseWriter, wait time.Duration, why string) {
	seconds := strconv.Itoa(int((wait + time.Second - 1) / time.Second))
	w.Header().Set("Retry-After", seconds)
	problem(w, http.StatusTooManyRequests, why+" (ask again in "+seconds+" s)")
}
