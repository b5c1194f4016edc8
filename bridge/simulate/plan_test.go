package simulate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"tocsin/bridge"
	"tocsin/rules"
)

// A plan is everything that a seed draws: how the bridge is set up, and what
// befalls it. Nothing is drawn later, so that the first n steps are the same
// however many there are.
type plan struct {
	seed     uint64
	external bool // messages come from somebody else's broker, whose link may break
	devices  int
	rules    string
	changed  string // what a reload may put in their place
	ops, crm treatment
	steps    []step
}

// A treatment is how an endpoint is configured.
type treatment struct {
	stale    bridge.Stale
	batch    int
	atOnce   int
	failures int // that open its breaker
	backlog  int
	giveUp   time.Duration
	rate     float64
	fallback bool
	budget   int
	digest   time.Duration // an outage of so long ends with a summary
	beat     time.Duration
}

// A step is one thing that happens, and the time that goes by with it.
type step struct {
	what  string
	who   string // an endpoint or a device
	n     int
	value float64
	text  string
	wait  time.Duration
}

func (s step) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %d %v %s", s.what, s.who, s.n, s.value, s.text)) + " then " + s.wait.String()
}

// The rules that the model knows, and what all files declare.
const knownRules = `
schema = 1
[metric.temperature]
type = "number"
[metric.door]
type = "text"
[metric.pulses]
kind = "counter"
type = "number"
[metric.level]
type = "number"
range = [-50.0, 50.0]
[device.d0]
every = "1m"
labels = { room = "r" }
[device.d1]
labels = { room = "r" }
[schedule.shift]
hours = ["00:00-04:10", "04:30-12:00", "16:00-24:00"]
[rule.warm]
metric = "temperature"
above = -15
clear = -17
severity = "warning"
[rule.hot]
metric = "temperature"
above = -10
clear = -12
for = "2m"
clear_for = "1m"
severity = "major"
stale_after = "6h"
[rule.quiet]
devices = "*"
silent = "15m"
severity = "major"
[rule.base]
metric = "level"
above = 2
`

// families are conditions of every family, over metrics that the model leaves
// alone.
var families = []string{
	"metric = \"level\"\nabove = 3\nclear = 1",
	"metric = \"level\"\noutside = [-4, 4]\nclear = [-2, 2]",
	"metric = \"door\"\nis = \"open\"",
	"metric = \"door\"\nchanged = true\nhold = \"5m\"",
	"metric = \"level\"\nrate_above = \"0.5 /min\"\nover = \"10m\"\nmin_samples = 3",
	"metric = \"pulses\"\ndelta_above = 5\nover = \"5m\"",
	"metric = \"level\"\nagg = \"avg\"\nover = \"5m\"\nabove = 2\nclear = 1",
	"metric = \"level\"\nagg = \"count\"\nover = \"5m\"\nbelow = 2",
	"metric = \"level\"\ndeviates = { method = \"mad\", by = 3.0, baseline = \"1h\", min_history = \"3m\" }\nclear = 2.0",
	"silent = \"auto\"\nunless = [\"sleeping\"]",
	"metric = \"level\"\nflat = { for = \"5m\", within = 0.5 }",
	"metric = \"level\"\ninvalid = { count = 2, within = \"10m\" }",
	"skew = \"2m\"",
	"metric = \"level\"\nabove = 2\nrepeats = { count = 2, within = \"10m\" }",
	"across = \"label:room\"\nmetric = \"level\"\nreduce = \"median\"\nabove = 1\nclear = 0\nfresh = \"5m\"\nquorum = 1",
	"across = \"label:room\"\nwhen = \"count_firing(base) >= 2\"",
	"when = \"level > 2 and door == 'open'\"\nclear = \"level < 1\"",
	"when = \"firing(base) and level > 2\"\nfresh = \"10m\"",
	"when = \"age(level) > 120\"",
}

var behaviours = []string{
	"for = \"2m\"", "clear_for = \"3m\"", "samples = 2", "cooldown = \"15m\"", "renotify = [\"5m\", \"20m\"]", "latch = true",
	"schedule = \"shift\"", "no_data = \"fire\"", "no_data = \"resolve\"", "stale_after = \"4m\"", "suppress_if = [\"base\"]", "shadow = true", "forward = true",
}

var tables = []string{
	"escalate.unacked]\nafter = \"10m\"\nseverity = \"critical\"",
	"flap]\nchanges = 3\nwithin = \"15m\"\nhold = \"10m\"",
	"level.critical]\nfor = \"6m\"",
	"override.d1]\nfor = \"1m\"",
}

func compile(text string) (*rules.Program, error) {
	f := new(rules.File)
	if _, err := toml.Decode(text, f); err != nil {
		return nil, err
	}
	p, problems := rules.Compile(f)
	if p == nil {
		return nil, fmt.Errorf("%v", problems)
	}
	return p, nil
}

func drawPlan(seed uint64) plan {
	r := rand.New(rand.NewPCG(seed, 0x70c51))
	p := plan{seed: seed, external: r.IntN(3) == 0, devices: 2 + r.IntN(3)}
	p.rules = drawRules(r, knownRules, "r", 1+r.IntN(3))
	p.changed = drawRules(r, knownRules, pick(r, "r", "s"), 1+r.IntN(3))
	p.ops, p.crm = drawTreatment(r), drawTreatment(r)
	for range 10 + r.IntN(50) {
		p.steps = append(p.steps, drawStep(r, &p))
	}
	return p
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// drawRules adds rules to a file; what the compiler refuses is left out.
func drawRules(r *rand.Rand, text, prefix string, n int) string {
	for i := range n {
		id := fmt.Sprint(prefix, i)
		more := text + "[rule." + id + "]\n" + pick(r, families...) + "\n"
		if _, err := compile(more); err != nil {
			continue
		}
		for range r.IntN(3) {
			if add := more + pick(r, behaviours...) + "\n"; valid(add) {
				more = add
			}
		}
		if add := more + "[rule." + id + "." + pick(r, tables...) + "\n"; r.IntN(3) == 0 && valid(add) {
			more = add
		}
		text = more
	}
	return text
}

func valid(text string) bool {
	_, err := compile(text)
	return err == nil
}

func drawTreatment(r *rand.Rand) treatment {
	return treatment{
		stale:    pick(r, bridge.StaleAll, bridge.StaleAll, bridge.StaleLatest, bridge.StaleCollapse),
		batch:    pick(r, 0, 0, 3),
		atOnce:   pick(r, 1, 4),
		failures: pick(r, 2, 10, 1000),
		backlog:  pick(r, 0, 0, 0, 4),
		giveUp:   pick(r, 10*time.Minute, 72*time.Hour, 72*time.Hour),
		rate:     pick(r, 0, 0, 1.0),
		fallback: r.IntN(3) == 0,
		budget:   pick(r, 0, 0, 0, 3),
		digest:   pick(r, 0, 5*time.Minute+200*time.Millisecond),
		beat:     pick(r, 0, 0, 20*time.Minute+800*time.Millisecond),
	}
}

// steps are what may happen, as often as they are named.
var happenings = strings.Fields(`
	reading reading reading reading reading reading reading reading reading reading
	other other other other burst
	wait wait wait wait
	answer answer answer answer
	kill kill-before kill-before kill-after kill-after restart
	link link full slow forget
	same changed broken
	ack ack shelve unshelve
	pause enable latest discard replay move
`)

func drawStep(r *rand.Rand, p *plan) step {
	s := step{what: pick(r, happenings...), wait: pick(r, 0, 100*time.Millisecond, time.Second, 10*time.Second, time.Minute)}
	device := fmt.Sprint("d", r.IntN(p.devices))
	switch s.what {
	case "reading":
		s.who, s.value = device, pick(r, -20.0, -18, -17.5, -16, -14, -12, -11, -9, -5)
	case "other":
		s.who, s.text = device, drawOther(r)
	case "burst":
		s.who, s.n = device, 2+r.IntN(6)
	case "wait":
		s.wait = time.Duration(r.Int64N(int64(pick(r, time.Minute, 5*time.Minute, 40*time.Minute))))
	case "answer":
		s.who, s.text = pick(r, "ops", "crm"), pick(r, "accept", "accept", "503", "429", "422", "410", "hang", "lose", "close", "301")
	case "kill", "kill-before", "kill-after", "restart":
		s.wait, s.n = pick(r, 0, time.Second, time.Minute, 40*time.Minute, 5*time.Hour), 1+r.IntN(3)
	case "link", "full", "slow":
		s.wait = pick(r, time.Second, time.Minute, 5*time.Minute)
	case "ack", "shelve", "unshelve":
		s.text = pick(r, "warm", "warm", "r0", "base") + "/" + device
		if s.what != "ack" {
			s.text = pick(r, "r0", "base") + "/" + device
		}
	case "pause", "enable", "latest", "discard", "replay", "move":
		s.who = pick(r, "ops", "crm")
	case "forget":
		s.who = device
	}
	return s
}

// drawOther draws a message that the model leaves alone: of other metrics, late,
// stamped, invalid, or no message at all.
func drawOther(r *rand.Rand) string {
	return pick(r,
		fmt.Sprintf(`{"level":%d}`, r.IntN(12)-6),
		fmt.Sprintf(`{"level":%d}`, r.IntN(12)-6),
		fmt.Sprintf(`{"level":%d,"door":%q}`, r.IntN(12)-6, pick(r, "open", "shut", "ajar")),
		fmt.Sprintf(`{"level":%d,"ago":%d}`, r.IntN(12)-6, r.IntN(1200)),
		fmt.Sprintf(`{"pulses":%d}`, r.IntN(40)),
		`{"level":null}`, `{"level":9999}`, `{"level":"nan"}`, `{"level":1,"level":2}`, `{"temperature":`, `[]`, ``,
	)
}

func (p *plan) did(what ...string) bool {
	return slices.ContainsFunc(p.steps, func(s step) bool { return slices.Contains(what, s.what) })
}

func (p *plan) String() string {
	var b strings.Builder
	_, drawn, _ := strings.Cut(p.rules, knownRules)
	fmt.Fprintf(&b, "external %t, %d devices\nops %+v\ncrm %+v\n%s", p.external, p.devices, p.ops, p.crm, drawn)
	for i, s := range p.steps {
		fmt.Fprintf(&b, "  %3d %v\n", i+1, s)
	}
	return b.String()
}
