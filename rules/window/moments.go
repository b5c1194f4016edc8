package window

import "math"

// moments are sums over readings, taken relative to one of them. Because the
// origin is a member, what is lost to cancellation is bounded: the sum of squares
// around it is at most count+1 times that around the mean. Readings that are all
// the same come to an average of exactly that, and to no deviation at all.
//
// Products are converted to float64 so that no compiler fuses them: all machines
// come to the same bits.
type moments struct {
	n         int
	at        int64 // the origin
	v         float64
	sum, lost float64 // lost is what rounding took from sum
	d, dd     float64 // of v less the origin's, and its square
	t, tt, td float64 // of ns since the origin, its square, and its product with d
}

func (m *moments) add(at int64, v float64) { m.addAll([]reading{{at, v}}) }

// addAll adds readings one by one. The sums are variables of their own here, or
// each would wait for the last to be stored.
func (m *moments) addAll(held []reading) {
	if len(held) == 0 {
		return
	}
	if m.n == 0 {
		m.at, m.v = held[0].at, held[0].v
	}
	m.n += len(held)
	sum, lost, sd, sdd, st, stt, std := m.sum, m.lost, m.d, m.dd, m.t, m.tt, m.td
	at0, v0 := m.at, m.v
	for _, r := range held {
		s := sum + r.v
		b := s - sum
		lost += (sum - (s - b)) + (r.v - b)
		sum = s
		d, t := r.v-v0, float64(r.at-at0)
		sd += d
		sdd += float64(d * d)
		st += t
		stt += float64(t * t)
		std += float64(t * d)
	}
	m.sum, m.lost, m.d, m.dd, m.t, m.tt, m.td = sum, lost, sd, sdd, st, stt, std
}

// plus adds to the sum and keeps what rounding takes (Knuth's two-sum).
func (m *moments) plus(v float64) {
	s := m.sum + v
	b := s - m.sum
	m.lost += (m.sum - (s - b)) + (v - b)
	m.sum = s
}

// merge adds the readings of o.
func (m *moments) merge(o *moments) {
	if o.n == 0 {
		return
	}
	if m.n == 0 {
		*m = *o
		return
	}
	n, d, t := float64(o.n), o.v-m.v, float64(o.at-m.at)
	m.plus(o.sum)
	m.lost += o.lost
	m.td += o.td + float64(t*o.d) + float64(d*o.t) + float64(float64(n*t)*d)
	m.dd += o.dd + float64(2*float64(d*o.d)) + float64(float64(n*d)*d)
	m.tt += o.tt + float64(2*float64(t*o.t)) + float64(float64(n*t)*t)
	m.d += o.d + float64(n*d)
	m.t += o.t + float64(n*t)
	m.n += o.n
}

func (m *moments) total() float64 { return m.sum + m.lost }

func (m *moments) mean() float64 { return m.v + m.d/float64(m.n) }

// deviation is the standard deviation of the readings themselves, not that of
// what they might be a sample of.
func (m *moments) deviation() float64 {
	n := float64(m.n)
	return math.Sqrt(max(0, m.dd-float64(m.d*m.d)/n) / n)
}

// slope is the rise per second of the line with the least squares.
func (m *moments) slope() float64 {
	n := float64(m.n)
	return (m.td - float64(m.t*m.d)/n) / (m.tt - float64(m.t*m.t)/n) * 1e9
}
