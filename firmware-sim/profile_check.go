package sim

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Limits of a profile, so that a slip of the pen is an error and not a dead machine.
const (
	maxDevices = 100_000
	maxSignals = 100
)

// A checker collects what is wrong with one profile.
type checker struct {
	file     string
	lines    map[string]int // by dotted path, see lines
	problems []problem
}

type problem struct {
	line int
	text string
}

// add reports a problem at a dotted path. If the path is not written in the
// file, the nearest table around it is where the user has to look.
func (c *checker) add(at, format string, args ...any) {
	line := 0
	for p := at; line == 0 && p != ""; {
		line = c.lines[p]
		p = p[:max(0, strings.LastIndexByte(p, '.'))]
	}
	c.problems = append(c.problems, problem{max(1, line), at + ": " + fmt.Sprintf(format, args...)})
}

func (c *checker) err() error {
	slices.SortStableFunc(c.problems, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.text, b.text))
	})
	errs := make([]error, len(c.problems))
	for i, p := range c.problems {
		errs[i] = fmt.Errorf("%s:%d: %s", c.file, p.line, p.text)
	}
	return errors.Join(errs...)
}

// decodeError puts what the TOML library says into the form of every other
// problem. It ends at the first.
func (c *checker) decodeError(err error) error {
	var parse toml.ParseError
	if errors.As(err, &parse) {
		key, text := parse.LastKey, parse.Message
		if key != "" {
			key += ": "
		}
		if !strings.HasSuffix(text, ")") { // an UnmarshalText of ours has a remedy of its own
			text = strings.TrimSuffix(text, ".") + " (mend the TOML)"
		}
		return fmt.Errorf("%s:%d: %s%s", c.file, max(1, parse.Position.Line), key, text)
	}
	mismatch := regexp.MustCompile(`\(last key "(.+)"\): incompatible types: TOML value has type (.+); destination has type (.+)$`)
	if m := mismatch.FindStringSubmatch(err.Error()); m != nil {
		c.add(m[1], "is of type %s (write one of type %s)", m[2], m[3])
		return c.err()
	}
	return fmt.Errorf("%s:1: %w (mend the TOML)", c.file, err)
}

func (c *checker) unknown(meta toml.MetaData) {
	told := make(map[string]bool)
	for _, key := range meta.Undecoded() {
		key, known := firstUnknown(key)
		if at := key.String(); !told[at] { // inside an unknown table everything is
			told[at] = true
			c.add(at, "unknown key (known here: %s)", strings.Join(known, ", "))
		}
	}
}

// firstUnknown is the part of a key up to the first name that a profile does not
// have, and the names that it has there.
func firstUnknown(key toml.Key) (toml.Key, []string) {
	t := reflect.TypeFor[Profile]()
	for i, name := range key {
		switch t.Kind() {
		case reflect.Map:
			t = t.Elem()
		case reflect.Struct:
			var known []string
			var next reflect.Type
			for f := range t.Fields() {
				tag := f.Tag.Get("toml")
				if tag != "" && tag != "-" {
					known = append(known, tag)
				}
				if tag == name {
					next = f.Type
				}
			}
			if next == nil {
				return key[:i+1], known
			}
			t = next
		}
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
	}
	return key, nil
}

func (c *checker) profile(p *Profile) {
	if !strings.Contains(p.Topic, "{device}") || strings.ContainsAny(p.Topic, "+#\x00") {
		c.add("topic", `%q is not a topic of each device (write one like "site/{device}/telemetry")`, p.Topic)
	}
	if len(p.Models) == 0 {
		c.add("model", "there is none (add a table [model.NAME])")
	}
	if len(p.Fleets) == 0 {
		c.add("fleet", "there is none (add a table [fleet.NAME])")
	}
	for name, m := range sorted(p.Models) {
		c.model("model."+name, m)
	}
	c.fleets(p)
	for name, f := range sorted(p.Faults) {
		c.fault("fault."+name, f, p)
	}
	for name, e := range sorted(p.Expect) {
		c.expect("expect."+name, e, p)
	}
}

func (c *checker) model(at string, m *Model) {
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
		c.signal(at+".signal."+name, s, m)
	}
}

func (c *checker) signal(at string, s *Signal, m *Model) {
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
	if f := s.Follow; f != nil {
		if other := m.Signals[f.Signal]; other == nil || other.Follow != nil {
			c.add(at+".follow", "signal %q is not one that follows nothing itself (of this model: %s)", f.Signal, cmp.Or(strings.Join(leaders(m), ", "), "none"))
		}
	}
}

// number refuses what a sum of signals could not carry as JSON.
func (c *checker) number(at string, v *float64) {
	if v != nil && !(math.Abs(*v) <= 1e12) { // written so that NaN fails
		c.add(at, "%v is not a usable number (write one within ±1e12)", *v)
	}
}

// leaders are the signals that another may follow.
func leaders(m *Model) []string {
	var names []string
	for name, s := range sorted(m.Signals) {
		if s.Follow == nil {
			names = append(names, name)
		}
	}
	return names
}

func (c *checker) fleets(p *Profile) {
	total := 0
	for name, f := range sorted(p.Fleets) {
		c.fleet("fleet."+name, f, p)
		total += max(0, f.Count)
	}
	if total > maxDevices {
		c.add("fleet", "%d devices in all, at most %d are played (lower count)", total, maxDevices)
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
	if p.Models[f.Model] == nil {
		c.add(at+".model", "there is no model %q (have: %s)", f.Model, names(p.Models))
	}
	if f.Count < 1 {
		c.add(at+".count", "is %d (a fleet has at least one device)", f.Count)
	}
	one := fmt.Sprintf(f.ID, 1)
	if one == f.ID || strings.Contains(one, "%!") || !regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`).MatchString(one) {
		c.add(at+".id", "%q makes %q (write letters, digits and . _ : - with one %%d or %%02d for the number)", f.ID, one)
	}
	if _, missing := expand(p.Topic, "x", f.Vars); missing != "" {
		c.add("topic", "{%s} is not in [%s.vars] (add it there)", missing, at)
	}
	for name, v := range sorted(f.Vars) {
		if name == "device" || v == "" || strings.ContainsAny(v, "+#/\x00") {
			c.add(at+".vars."+name, "is %q (a name other than device, and a value without + # /)", v)
		}
	}
}

func (c *checker) fault(at string, f *Fault, p *Profile) {
	if _, err := path.Match(f.Device, ""); err != nil || f.Device == "" {
		c.add(at+".device", "%q is neither an id nor a glob (freezer-03, freezer-*)", f.Device)
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(p.Models)), func(m *Model) bool { return m.Signals[f.Signal] != nil }) {
		c.add(at+".signal", "no model has a signal %q (name one that a model has)", f.Signal)
	}
	c.number(at+".add", f.Add)
	c.number(at+".set", f.Set)
	if (f.Add == nil) == (f.Set == nil) {
		c.add(at, "needs either add or set (write one of them)")
	}
	if f.Set != nil && (f.Over != 0 || f.Recover != 0) {
		c.add(at, "over and recover belong to add (remove them)")
	}
	if f.For == 0 {
		c.add(at+".for", `is missing or zero (say how long it lasts: for = "2m")`)
	}
	if f.Over > f.For {
		c.add(at+".over", "is longer than for (the fault would end before it is complete)")
	}
	if f.Repeat != 0 && f.Repeat < f.For+f.Recover {
		c.add(at+".repeat", "is shorter than for and recover together (it would begin again before it has ended)")
	}
}

func (c *checker) expect(at string, e Expect, p *Profile) {
	if !slices.ContainsFunc(slices.Collect(maps.Values(p.Models)), func(m *Model) bool {
		s := m.Signals[e.Metric]
		return s != nil && !s.Bool && len(s.Text) == 0
	}) {
		c.add(at+".metric", "no model has a signal %q that is a number (name one that a model has)", e.Metric)
	}
	c.number(at+".above", e.Above)
	c.number(at+".below", e.Below)
	c.number(at+".clear", e.Clear)
	if (e.Above == nil) == (e.Below == nil) {
		c.add(at, "needs either above or below (write one of them)")
		return
	}
	if e.Clear != nil && (e.Above != nil && *e.Clear > *e.Above || e.Below != nil && *e.Clear < *e.Below) {
		c.add(at+".clear", "lies on the wrong side of the limit (an alarm would fire and clear on every reading)")
	}
}

// sorted goes through a map by name, so that what is made of it is always the same.
func sorted[V any](m map[string]V) func(yield func(string, V) bool) {
	return func(yield func(string, V) bool) {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if !yield(name, m[name]) {
				return
			}
		}
	}
}

func names[V any](m map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}

// lines finds the line of each key and table of a TOML text by its dotted path.
// It reads only what a profile is written with (bare and quoted keys, one a
// line, and inline tables, whose keys are on the line of their table), because
// the TOML library does not tell where an unknown key stands.
func lines(text []byte) map[string]int {
	at := make(map[string]int)
	table := ""
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			name, _, _ := strings.Cut(strings.TrimLeft(line, "["), "]")
			table = dotted(name)
			for prefix := table; prefix != ""; prefix = prefix[:max(0, strings.LastIndexByte(prefix, '.'))] {
				if at[prefix] == 0 {
					at[prefix] = i + 1
				}
			}
			continue
		}
		key, _, found := strings.Cut(line, "=")
		if !found || strings.HasPrefix(line, "#") {
			continue
		}
		full := dotted(key)
		if table != "" {
			full = table + "." + full
		}
		if at[full] == 0 {
			at[full] = i + 1
		}
	}
	return at
}

func dotted(key string) string {
	parts := strings.Split(key, ".")
	for i, p := range parts {
		parts[i] = strings.Trim(strings.TrimSpace(p), `"'`)
	}
	return strings.Join(parts, ".")
}
