package sim

import (
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"tocsin/firmware-sim/payload"
)

// A source is a signal of one device as it unfolds. Readings are taken in order.
type source struct {
	*Signal
	name   string
	seed   uint64
	rng    *rand.Rand
	own    float64 // this device's share of Spread
	sineAt time.Duration
	sawAt  time.Duration
	used   float64 // share of the battery's life that is over at the start
	drawn  float64 // the noise of this reading, in standard deviations
	walked float64
	lagged float64
	last   float64 // what was measured last,
	taken  bool    // if anything was
	faults []*Fault
}

func newSource(name string, s *Signal, seed uint64, device string) *source {
	own := hash(seed, device, name)
	src := &source{Signal: s, name: name, rng: random(own, 0), seed: own}
	src.own = s.Spread * (2*src.rng.Float64() - 1)
	src.sineAt = s.Sine.phase(src.rng)
	src.sawAt = s.Saw.phase(src.rng)
	if s.Battery != nil {
		src.used = s.Battery.Used + s.Battery.Spread*uniform(own, 0)
	}
	return src
}

func (w *Wave) phase(rng *rand.Rand) time.Duration {
	drawn := rng.Float64() // always, so that one wave does not change another's
	switch {
	case w == nil:
		return 0
	case w.Phase != nil:
		return time.Duration(*w.Phase)
	}
	return time.Duration(drawn * float64(w.Period))
}

// beside is what a signal takes from others of its device.
type beside struct {
	leader float64       // the signal that it follows
	drawn  float64       // the noise of the one that it is like
	inputs []float64     // of its formula
	drain  time.Duration // how much the battery has aged beyond its time
}

// at is the signal at a simulated time, dt after the reading before. It is what
// is there; what the sensor makes of it is measured.
func (s *source) at(t, dt time.Duration, o beside) float64 {
	v := s.Base + s.own + s.moved(t)
	if w := s.Walk; w != nil {
		s.walked = min(w.Within, max(-w.Within, s.walked+w.Step*s.rng.NormFloat64()))
		v += s.walked
	}
	if f := s.Follow; f != nil {
		s.lagged = lag(s.lagged, f.Gain*o.leader, dt, f)
		v += s.lagged
	}
	if s.arithmetic != nil {
		v += finite(s.arithmetic.Eval(t.Seconds(), o.inputs))
	}
	if b := s.Battery; b != nil {
		v += charge(s.used + float64(t+o.drain)/float64(b.Life))
	}
	for _, f := range s.faults {
		if f.Kind == "offset" {
			v += f.offset(t)
		}
	}
	if s.Noise > 0 {
		s.drawn = s.rng.NormFloat64()
		if l := s.Like; l != nil {
			s.drawn = l.R*o.drawn + math.Sqrt(1-l.R*l.R)*s.drawn
		}
		v += s.Noise * s.drawn
	}
	if p := s.Spikes; p != nil && uniform(s.seed, moment(t)) < p.Chance {
		v += p.By * (2*uniform(s.seed+1, moment(t)) - 1)
	}
	if f := faulty(s.faults, "set", t); f != nil {
		v = *f.Set
	}
	return s.resolved(v)
}

// moved is the sum of the parts that depend on nothing but time.
func (s *source) moved(t time.Duration) float64 {
	v := 0.0
	if w := s.Sine; w != nil {
		v += w.Amplitude * math.Sin(2*math.Pi*cycle(t+s.sineAt, w.Period))
	}
	if w := s.Saw; w != nil {
		v += w.Amplitude * (2*saw(cycle(t+s.sawAt, w.Period), w.Rise) - 1)
	}
	if p := s.Pulse; p != nil && pulse(t, p, s.seed) {
		v += p.By
	}
	if p := s.Step; p != nil && t >= time.Duration(p.At) {
		v += p.By
	}
	if p := s.Ramp; p != nil {
		v += p.By * min(1, max(0, float64(t-time.Duration(p.At))/float64(p.Over)))
	}
	if r := s.Replay; r != nil {
		v += r.at(t)
	}
	return v
}

// resolved is what a sensor of this range and resolution can say of a value.
func (s *source) resolved(v float64) float64 {
	if s.Min != nil {
		v = max(v, *s.Min)
	}
	if s.Max != nil {
		v = min(v, *s.Max)
	}
	if s.Quantum > 0 {
		v = math.Round(v/s.Quantum) * s.Quantum
	}
	if v == 0 {
		return 0 // and not the negative zero that rounding can make
	}
	return v
}

// A sense is what a reader can make of a field.
type sense uint8

const (
	usable  sense = iota
	unclear       // a number, and not what it seems
	useless       // no number
)

// measured is what the sensor, with its faults, says of a value; there is
// nothing to send if it is not ok.
func (s *source) measured(v float64, t time.Duration) (f payload.Field, reads sense, ok bool) {
	v = s.strayed(v, t)
	if s.taken && faulty(s.faults, "stuck", t) != nil {
		v = s.last
	}
	s.last, s.taken = v, true
	if f := faulty(s.faults, "out-of-range", t); f != nil {
		v = *f.Set
	}
	unit := s.Unit
	if f := faulty(s.faults, "unit", t); f != nil {
		v, unit, reads = f.converted(v)
		v = s.rounded(v)
	}
	f = s.field(v, unit)
	switch {
	case faulty(s.faults, "missing", t) != nil:
		return f, useless, false
	case faulty(s.faults, "null", t) != nil:
		f.Kind, reads = payload.Null, useless
	case faulty(s.faults, "nan", t) != nil:
		f.Kind, reads = payload.NaN, useless
	}
	if w := faulty(s.faults, "text", t); w != nil {
		f.Kind, f.Text, reads = payload.Text, w.Word, useless
		if f.Text == "" {
			f.Text = "unavailable"
		}
	}
	return f, reads, true
}

func (s *source) strayed(v float64, t time.Duration) float64 {
	strayed := false
	for _, f := range s.faults {
		switch {
		case f.Kind == "drift" && f.active(t):
			since, _ := f.since(t)
			v, strayed = v+*f.Add*since.Hours(), true
		case f.Kind == "spikes" && f.hits(t):
			v, strayed = v+*f.Add*(0.5+uniform(f.drawn+1, moment(t))/2), true
		}
	}
	if strayed {
		return s.resolved(v)
	}
	return v
}

// converted is a value in the unit of a unit fault.
func (f *Fault) converted(v float64) (float64, string, sense) {
	unit, gain, add := f.Unit, f.Gain, 0.0
	if unit == "" {
		unit = "°F"
	}
	if gain == 0 {
		gain, add = 1.8, 32
	}
	if f.Add != nil {
		add = *f.Add
	}
	return v*gain + add, unit, unclear
}

// rounded keeps a converted value as short as the sensor's own.
func (s *source) rounded(v float64) float64 {
	if s.Quantum == 0 {
		return v
	}
	scale := math.Pow10(decimals(s.Quantum))
	return math.Round(v*scale) / scale
}

// field is the value as it is sent.
func (s *source) field(v float64, unit string) payload.Field {
	f := payload.Field{Name: s.name, Num: v, Unit: unit}
	switch on := v >= 0.5; {
	case s.Bool:
		f.Kind, f.On, f.Num = payload.Bool, on, 0
		if on {
			f.Num = 1
		}
	case len(s.Text) == 2:
		f.Kind, f.Text = payload.Text, s.Text[0]
		if on {
			f.Text = s.Text[1]
		}
	case s.Quantum > 0:
		f.Text = strconv.FormatFloat(v, 'f', decimals(s.Quantum), 64)
	default:
		f.Text = strconv.FormatFloat(v, 'g', -1, 64)
	}
	if f.Kind == payload.Number {
		if seen, err := strconv.ParseFloat(f.Text, 64); err == nil {
			f.Num = seen // a limit is judged on what was sent
		}
	}
	return f
}

// empty reports whether the signal is a battery and has nothing left.
func (s *source) empty(t, drain time.Duration) bool {
	return s.Battery != nil && s.used+float64(t+drain)/float64(s.Battery.Life) >= 1
}

// charge is what a lithium cell shows, in percent, when this share of its life
// is used: nearly full for long, and then falling ever faster.
func charge(used float64) float64 {
	const knee, shown = 0.7, 85.0
	switch {
	case used <= 0:
		return 100
	case used < knee:
		return 100 - (100-shown)*used/knee
	case used >= 1:
		return 0
	}
	return shown * (1 - math.Pow((used-knee)/(1-knee), 1.5))
}

// finite keeps what a formula made of a division by zero out of a payload.
func finite(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return min(1e12, max(-1e12, v))
}

// moment is a simulated time as a seed.
func moment(t time.Duration) uint64 { return uint64(t) } // #nosec G115 -- a seed
