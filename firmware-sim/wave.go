package sim

import (
	"math"
	"time"
)

// decimals is how many digits a multiple of q needs.
func decimals(q float64) int {
	for n, scale := 0, 1.0; n < 9; n, scale = n+1, scale*10 {
		if scaled := q * scale; math.Abs(scaled-math.Round(scaled)) < 1e-9*scaled {
			return n
		}
	}
	return 9
}

// cycle is how much of a period has passed, from 0 to 1.
func cycle(t time.Duration, period Duration) float64 {
	return float64(t%time.Duration(period)) / float64(period)
}

func saw(c, rise float64) float64 {
	switch {
	case rise == 0 || rise == 1:
		return c
	case c < rise:
		return c / rise
	}
	return (1 - c) / (1 - rise)
}

func pulse(t time.Duration, p *Pulse, seed uint64) bool {
	n := t / time.Duration(p.Every)
	room := float64(p.Every - p.For)
	from := time.Duration(room * random(seed, uint64(n)+1).Float64()) // #nosec G115 -- not negative
	in := t % time.Duration(p.Every)
	return in >= from && in < from+time.Duration(p.For)
}

func lag(x, target float64, dt time.Duration, f *Follow) float64 {
	constant := f.Fall
	if math.Abs(target) > math.Abs(x) {
		constant = f.Rise
	}
	if constant == 0 {
		return target
	}
	return x + (target-x)*(1-math.Exp(-float64(dt)/float64(constant)))
}
