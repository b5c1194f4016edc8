package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math"
	"math/rand/v2"
	"strconv"
	"time"
)

// A Signal is one measured quantity: the sum of its parts, each of which may be
// left out. Signals that swing do so out of step: each device draws its phase.
type Signal struct {
	Base   float64 `toml:"base"`   // a constant
	Spread float64 `toml:"spread"` // a constant of each device, drawn from ±Spread
	Sine   *Wave   `toml:"sine"`   // a day's curve: period = "24h" and a phase
	Saw    *Wave   `toml:"saw"`
	Pulse  *Pulse  `toml:"pulse"`
	Step   *Step   `toml:"step"`
	Ramp   *Ramp   `toml:"ramp"`
	Walk   *Walk   `toml:"walk"`
	Follow *Follow `toml:"follow"`

	Noise   float64  `toml:"noise"`   // standard deviation of a gaussian
	Min     *float64 `toml:"min"`     // the sensor saturates here
	Max     *float64 `toml:"max"`     // and here
	Quantum float64  `toml:"quantum"` // the sensor's resolution; 0: not rounded

	Bool bool     `toml:"bool"` // sent as true from 0.5 up, else false
	Text []string `toml:"text"` // instead: the word for off, and the word for on
}

// A Wave swings by ±Amplitude. A saw rises for the share Rise of its period (0:
// all of it) and falls for the rest.
type Wave struct {
	Amplitude float64   `toml:"amplitude"`
	Period    Duration  `toml:"period"`
	Phase     *Duration `toml:"phase"` // how long before the start it passed its beginning; default: drawn
	Rise      float64   `toml:"rise"`
}

// A Pulse adds By once in each Every, from a random moment on, for For.
type Pulse struct {
	By    float64  `toml:"by"`
	Every Duration `toml:"every"`
	For   Duration `toml:"for"`
}

// A Step adds By from At on.
type Step struct {
	By float64  `toml:"by"`
	At Duration `toml:"at"`
}

// A Ramp adds more and more from At on, up to By after Over.
type Ramp struct {
	By   float64  `toml:"by"`
	At   Duration `toml:"at"`
	Over Duration `toml:"over"`
}

// A Walk strays at random, by a gaussian step at each reading, no further than ±Within.
type Walk struct {
	Step   float64 `toml:"step"`
	Within float64 `toml:"within"`
}

// A Follow adds Gain times another signal of the device, approached
// exponentially: Rise and Fall are the time constants (0: at once).
type Follow struct {
	Signal string   `toml:"signal"`
	Gain   float64  `toml:"gain"`
	Rise   Duration `toml:"rise"`
	Fall   Duration `toml:"fall"`
}

// numbers yields every number of a signal under its key, for checks.
func (s *Signal) numbers() iter.Seq2[string, float64] {
	n := map[string]float64{"base": s.Base, "spread": s.Spread, "noise": s.Noise, "quantum": s.Quantum}
	if s.Sine != nil {
		n["sine"] = s.Sine.Amplitude + s.Sine.Rise
	}
	if s.Saw != nil {
		n["saw"] = s.Saw.Amplitude + s.Saw.Rise
	}
	if s.Pulse != nil {
		n["pulse"] = s.Pulse.By
	}
	if s.Step != nil {
		n["step"] = s.Step.By
	}
	if s.Ramp != nil {
		n["ramp"] = s.Ramp.By
	}
	if s.Walk != nil {
		n["walk"] = s.Walk.Step + s.Walk.Within
	}
	if s.Follow != nil {
		n["follow"] = s.Follow.Gain
	}
	if s.Min != nil {
		n["min"] = *s.Min
	}
	if s.Max != nil {
		n["max"] = *s.Max
	}
	return maps.All(n)
}

// A source is a signal of one device as it unfolds. Readings are taken in order.
type source struct {
	*Signal
	name   string
	key    []byte    // `"name":`
	words  [2][]byte // Text as JSON
	rng    *rand.Rand
	own    float64 // this device's share of Spread
	sineAt time.Duration
	sawAt  time.Duration
	pulses uint64 // seed of the moments of pulses
	walked float64
	lagged float64
	faults []*Fault
}

func newSource(name string, s *Signal, seed uint64, device string, faults []*Fault) *source {
	own := hash(seed, device, name)
	src := &source{
		Signal: s,
		name:   name,
		key:    append(quote(name), ':'),
		rng:    random(own, 0),
		pulses: own,
		faults: faults,
	}
	for i, word := range s.Text {
		src.words[i] = quote(word)
	}
	src.own = s.Spread * (2*src.rng.Float64() - 1)
	src.sineAt = s.Sine.phase(src.rng)
	src.sawAt = s.Saw.phase(src.rng)
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

// at is the signal at a simulated time, dt after the reading before; other is
// the signal that it follows.
func (s *source) at(t, dt time.Duration, other float64) float64 {
	v := s.Base + s.own
	if w := s.Sine; w != nil {
		v += w.Amplitude * math.Sin(2*math.Pi*cycle(t+s.sineAt, w.Period))
	}
	if w := s.Saw; w != nil {
		v += w.Amplitude * (2*saw(cycle(t+s.sawAt, w.Period), w.Rise) - 1)
	}
	if p := s.Pulse; p != nil && pulse(t, p, s.pulses) {
		v += p.By
	}
	if p := s.Step; p != nil && t >= time.Duration(p.At) {
		v += p.By
	}
	if p := s.Ramp; p != nil {
		v += p.By * min(1, max(0, float64(t-time.Duration(p.At))/float64(p.Over)))
	}
	if w := s.Walk; w != nil {
		s.walked = min(w.Within, max(-w.Within, s.walked+w.Step*s.rng.NormFloat64()))
		v += s.walked
	}
	if f := s.Follow; f != nil {
		s.lagged = lag(s.lagged, f.Gain*other, dt, f)
		v += s.lagged
	}
	for _, f := range s.faults {
		v += f.offset(t)
	}
	if s.Noise > 0 {
		v += s.Noise * s.rng.NormFloat64()
	}
	for _, f := range s.faults {
		if f.Set != nil && f.active(t) {
			v = *f.Set
		}
	}
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

// append writes the value as the payload has it.
func (s *source) append(b []byte, v float64) []byte {
	on := v >= 0.5
	switch {
	case s.Bool:
		return strconv.AppendBool(b, on)
	case len(s.Text) == 2 && on:
		return append(b, s.words[1]...)
	case len(s.Text) == 2:
		return append(b, s.words[0]...)
	case s.Quantum > 0:
		return strconv.AppendFloat(b, v, 'f', decimals(s.Quantum), 64)
	}
	return strconv.AppendFloat(b, v, 'g', -1, 64)
}

// quote writes text as JSON.
func quote(text string) []byte {
	b, err := json.Marshal(text)
	if err != nil {
		return []byte(`""`) // a string always has a JSON form
	}
	return b
}

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

// since is how long ago the fault last began, and whether it ever did.
func (f *Fault) since(t time.Duration) (time.Duration, bool) {
	since := t - time.Duration(f.At)
	if since > 0 && f.Repeat > 0 {
		since %= time.Duration(f.Repeat)
	}
	return since, since >= 0
}

// active reports whether the fault lasts; recovery is after it.
func (f *Fault) active(t time.Duration) bool {
	since, begun := f.since(t)
	return begun && since < time.Duration(f.For)
}

func (f *Fault) offset(t time.Duration) float64 {
	since, begun := f.since(t)
	if f.Add == nil || !begun {
		return 0
	}
	after := since - time.Duration(f.For)
	switch {
	case since < time.Duration(f.Over):
		return *f.Add * float64(since) / float64(f.Over)
	case after < 0:
		return *f.Add
	case after < time.Duration(f.Recover):
		return *f.Add * (1 - float64(after)/float64(f.Recover))
	}
	return 0
}

// random is a generator whose numbers repeat: a simulation wants those.
func random(a, b uint64) *rand.Rand {
	return rand.New(rand.NewPCG(a, b)) // #nosec G404 -- noise that must repeat from a seed, no secret
}

// hash makes the seed of one thing from the seed of all and the thing's name.
func hash(seed uint64, names ...string) uint64 {
	text := fmt.Sprintf("%d %q", seed, names)
	sum := sha256.Sum256([]byte(text))
	return binary.BigEndian.Uint64(sum[:])
}
