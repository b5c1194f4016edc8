package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"

	"tocsin/firmware-sim/formula"
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

	Formula string   `toml:"formula"` // arithmetic over t (seconds) and other signals
	Replay  *Replay  `toml:"replay"`
	Battery *Battery `toml:"battery"` // in percent; when it is empty the device is dead

	Noise   float64  `toml:"noise"` // standard deviation of a gaussian
	Like    *Like    `toml:"like"`  // whose noise it shares
	Spikes  *Spikes  `toml:"spikes"`
	Min     *float64 `toml:"min"`     // the sensor saturates here
	Max     *float64 `toml:"max"`     // and here
	Quantum float64  `toml:"quantum"` // the sensor's resolution; 0: not rounded

	Unit string   `toml:"unit"` // for formats that send it: °C, %, bar
	Bool bool     `toml:"bool"` // sent as true from 0.5 up, else false
	Text []string `toml:"text"` // instead: the word for off, and the word for on

	arithmetic *formula.Formula
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

// Like makes the noise of a signal go with that of another: R is their
// correlation, from -1 to 1.
type Like struct {
	Signal string  `toml:"signal"`
	R      float64 `toml:"r"`
}

// Spikes add up to ±By to Chance of the readings.
type Spikes struct {
	By     float64 `toml:"by"`
	Chance float64 `toml:"chance"`
}

// A Battery lasts for Life: long nearly full, then empty within the last third.
// Used is the share of its life that is over at the start, up to Spread more of
// it at random.
type Battery struct {
	Life   Duration `toml:"life"`
	Used   float64  `toml:"used"`
	Spread float64  `toml:"spread"`
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
	if s.Spikes != nil {
		n["spikes"] = s.Spikes.By
	}
	if s.Min != nil {
		n["min"] = *s.Min
	}
	if s.Max != nil {
		n["max"] = *s.Max
	}
	return maps.All(n)
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
