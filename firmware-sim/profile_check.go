package sim

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"tocsin/firmware-sim/payload"
)

// Limits of a profile, so that a slip of the pen is an error and not a dead machine.
const (
	maxDevices = 100_000
	maxSignals = 100
)

func (c *checker) profile(p *Profile) {
	c.format("format", p.Format)
	if p.Topic != "" || len(p.Models) == 0 {
		c.topic("topic", p.Topic, p.Format)
	}
	if len(p.Models) == 0 {
		c.add("model", "there is none (add a table [model.NAME])")
	}
	if len(p.Fleets) == 0 {
		c.add("fleet", "there is none (add a table [fleet.NAME])")
	}
	for name, m := range sorted(p.Models) {
		c.model("model."+name, m, p)
	}
	c.fleets(p)
	for name, f := range sorted(p.Faults) {
		c.fault("fault."+name, f, p)
	}
	for name, e := range sorted(p.Expect) {
		c.expect("expect."+name, e, p)
	}
}

// format refuses one that there is not.
func (c *checker) format(at, format string) bool {
	if format == "" || slices.Contains(payload.Names(), format) {
		return true
	}
	c.add(at, "%q is none (use %s)", format, strings.Join(payload.Names(), ", "))
	return false
}

// topic refuses one that is not of each device alone.
func (c *checker) topic(at, topic, format string) {
	switch {
	case !strings.Contains(topic, "{device}") || strings.ContainsAny(topic, "+#\x00"):
		c.add(at, `%q is not a topic of each device (write one like "site/{device}/telemetry")`, topic)
	case format == "scalar" && !strings.Contains(topic, "{metric}"):
		c.add(at, `%q is one topic for all scalars of a device (write one like "site/{device}/{metric}")`, topic)
	case format != "scalar" && strings.Contains(topic, "{metric}"):
		c.add(at, `%q: {metric} is for format = "scalar" (leave it out)`, topic)
	}
}

func (c *checker) topics(at string, m *Model, p *Profile) {
	if !c.format(at+".format", m.Format) {
		return
	}
	where := at + ".topic"
	if m.Topic == p.Topic && c.lines[where] == 0 {
		where = "topic"
	}
	switch {
	case m.Topic == "" && !payload.HasTopics(m.Format):
		c.topic(where, "", "")
	case m.Topic != "" && m.Format == "sparkplug":
		c.add(where, "Sparkplug says itself what its topics are (leave it out)")
	case m.Topic != "" && where != "topic":
		c.topic(where, m.Topic, m.Format)
	case m.Topic != "" && m.Format != p.Format:
		c.topic(where, m.Topic, m.Format)
	}
	for key, topic := range map[string]string{"status": m.Status, "events": m.Events, "config": m.Config, "command": m.Command, "reply": m.Reply} {
		if topic != "" {
			c.topic(at+"."+key, topic, "")
		}
	}
	if m.Reply == "" && (m.Command != "" || m.Config != "") {
		c.add(at+".reply", `is missing, and answers to command and config go there (write one like "site/{device}/reply")`)
	}
}

func (c *checker) model(at string, m *Model, p *Profile) {
	c.topics(at, m, p)
	if m.Every == 0 {
		c.add(at+".every", `is missing or zero (say how often a device reports: every = "10s")`)
	}
	if len(m.Signals) == 0 {
		c.add(at, "measures nothing (add a table [%s.signal.NAME])", at)
	}
	if len(m.Signals) > maxSignals {
		c.add(at, "%d signals, at most %d fit (split the model)", len(m.Signals), maxSignals)
	}
	for name, s := range sorted(m.Signals) {
		if slices.Contains([]string{"ts", "seq", "boot"}, name) {
			c.add(at+".signal."+name, "is the payload's own field (choose another name)")
		}
		c.signal(at+".signal."+name, s)
	}
	m.plan = newPlan(m, func(signal, key, format string, args ...any) {
		where := at + ".signal." + signal
		if key != "" {
			where += "." + key
		}
		c.add(where, format, args...)
	})
}

func (c *checker) signal(at string, s *Signal) {
	for key, v := range s.numbers() {
		c.number(at+"."+key, &v)
	}
	for key, w := range map[string]*Wave{"sine": s.Sine, "saw": s.Saw} {
		if w == nil {
			continue
		}
		if w.Period == 0 {
			c.add(at+"."+key, `has no period (add period = "10m")`)
		}
		if w.Rise < 0 || w.Rise > 1 || (w.Rise != 0 && key == "sine") {
			c.add(at+"."+key, "rise is the share of a saw's period in which it rises (write a number from 0 to 1, in saw only)")
		}
	}
	if p := s.Pulse; p != nil && (p.For == 0 || p.Every < p.For) {
		c.add(at+".pulse", "for must be longer than zero and no longer than every (change one of them)")
	}
	if r := s.Ramp; r != nil && r.Over == 0 {
		c.add(at+".ramp", `has no over (say how long it takes: over = "1h")`)
	}
	if w := s.Walk; w != nil && (w.Step < 0 || w.Within <= 0) {
		c.add(at+".walk", "needs a step that is not negative and a within above zero (within is how far it may stray)")
	}
	for key, width := range map[string]float64{"noise": s.Noise, "quantum": s.Quantum, "spread": s.Spread} {
		if width < 0 {
			c.add(at+"."+key, "is negative, and it is a width (write a number from 0 up)")
		}
	}
	if s.Min != nil && s.Max != nil && *s.Min > *s.Max {
		c.add(at+".min", "is above max (change one of them)")
	}
	if len(s.Text) != 0 && len(s.Text) != 2 {
		c.add(at+".text", "has %d words (write two: what is sent when off, and when on)", len(s.Text))
	}
	if s.Bool && len(s.Text) != 0 {
		c.add(at+".bool", "and text exclude each other (choose one)")
	}
	if l := s.Like; l != nil && (!(l.R >= -1 && l.R <= 1) || s.Noise == 0) {
		c.add(at+".like", "needs noise, and r from -1 to 1 (r is how much of the noise is the other's)")
	}
	if p := s.Spikes; p != nil && !(p.Chance > 0 && p.Chance <= 1) {
		c.add(at+".spikes", "needs a chance above 0 and up to 1 (it is that of each reading)")
	}
	if b := s.Battery; b != nil && (b.Life == 0 || !(b.Used >= 0 && b.Spread >= 0 && b.Used+b.Spread < 1)) {
		c.add(at+".battery", `needs a life, and used and spread below 1 together (life = "720h")`)
	}
	if r := s.Replay; r != nil {
		if err := r.load(c.dir); err != nil {
			c.add(at+".replay", "%v", err)
		}
	}
}

// number refuses what a sum of signals could not carry as JSON.
func (c *checker) number(at string, v *float64) {
	if v != nil && !(math.Abs(*v) <= 1e12) { // written so that NaN fails
		c.add(at, "%v is not a usable number (write one within ±1e12)", *v)
	}
}

func (c *checker) fleets(p *Profile) {
	total := 0
	for name, f := range sorted(p.Fleets) {
		c.fleet("fleet."+name, f, p)
		total += min(max(0, f.Count), maxDevices+1) // which cannot overflow
	}
	if total > maxDevices {
		c.add("fleet", "more than %d devices in all (lower count)", maxDevices)
	}
	if len(c.problems) > 0 {
		return // ids may be anything
	}
	made := make(map[string]string) // fleet by id
	for name, f := range sorted(p.Fleets) {
		for n := range max(0, f.Count) {
			id := fmt.Sprintf(f.ID, n+1)
			if other, taken := made[id]; taken {
				c.add("fleet."+name+".id", "%q makes %q, which is also one of fleet.%s (choose another)", f.ID, id, other)
				break
			}
			made[id] = name
		}
	}
}

func (c *checker) fleet(at string, f *Fleet, p *Profile) {
	c.mix(at, f, p)
	if f.Count < 1 {
		c.add(at+".count", "is %d (a fleet has at least one device)", f.Count)
	}
	one := fmt.Sprintf(f.ID, 1)
	if one == f.ID || strings.Contains(one, "%!") || !regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`).MatchString(one) {
		c.add(at+".id", "%q makes %q (write letters, digits and . _ : - with one %%d or %%02d for the number)", f.ID, one)
	}
	c.fills(at, f, p)
	for name, v := range sorted(f.Vars) {
		if name == "device" || name == "metric" || v == "" || strings.ContainsAny(v, "+#/\x00") {
			c.add(at+".vars."+name, "is %q (a name other than device, and a value without + # /)", v)
		}
	}
}

// mix refuses models that there are not.
func (c *checker) mix(at string, f *Fleet, p *Profile) {
	if len(f.Mix) > 0 && f.Model != "" {
		c.add(at+".mix", "and model exclude each other (choose one)")
	}
	if len(f.Mix) == 0 && p.Models[f.Model] == nil {
		c.add(at+".model", "there is no model %q (have: %s)", f.Model, names(p.Models))
	}
	for name, weight := range sorted(f.Mix) {
		if p.Models[name] == nil {
			c.add(at+".mix."+name, "there is no such model (have: %s)", names(p.Models))
		}
		if weight < 1 || weight > 1000 {
			c.add(at+".mix."+name, "%d is no weight (write a whole number from 1 to 1000)", weight)
		}
	}
	if f.Groups < 0 || f.Groups > maxDevices {
		c.add(at+".groups", "is %d (write how many there are, or leave it out)", f.Groups)
	}
}

// fills refuses a topic with a name that the fleet does not fill.
func (c *checker) fills(at string, f *Fleet, p *Profile) {
	vars := map[string]string{"device": "x"}
	if f.Groups > 0 {
		vars["group"] = "1"
	}
	maps.Copy(vars, f.Vars)
	told := make(map[string]bool)
	for name, m := range sorted(p.Models) {
		if _, mixed := f.Mix[name]; name != f.Model && !mixed {
			continue
		}
		for key, topic := range sorted(map[string]string{"topic": m.Topic, "status": m.Status, "events": m.Events, "config": m.Config, "command": m.Command, "reply": m.Reply}) {
			where := "model." + name + "." + key
			if c.lines[where] == 0 {
				where = "topic"
			}
			if _, missing := payload.Expand(topic, vars); missing != "" && !told[where+missing] {
				told[where+missing] = true
				c.add(where, "{%s} is not in [%s.vars] (add it there)", missing, at)
			}
		}
	}
}

func (c *checker) expect(at string, e Expect, p *Profile) {
	if !slices.ContainsFunc(slices.Collect(maps.Values(p.Models)), func(m *Model) bool {
		s := m.Signals[e.Metric]
		return s != nil && len(s.Text) == 0
	}) {
		c.add(at+".metric", "no model has a signal %q that is a number or a bool (name one that a model has)", e.Metric)
	}
	c.number(at+".above", e.Above)
	c.number(at+".below", e.Below)
	c.number(at+".clear", e.Clear)
	if len(e.Range) != 0 && (len(e.Range) != 2 || !(e.Range[0] < e.Range[1])) {
		c.add(at+".range", "is not a lowest and a highest value (write two numbers: range = [-40.0, 85.0])")
	}
	if (e.Above == nil) == (e.Below == nil) {
		c.add(at, "needs either above or below (write one of them)")
		return
	}
	if e.Clear != nil && (e.Above != nil && *e.Clear > *e.Above || e.Below != nil && *e.Clear < *e.Below) {
		c.add(at+".clear", "lies on the wrong side of the limit (an alarm would fire and clear on every reading)")
	}
}
