package rules

import (
	"math"
	"time"

	"tocsin/rules/window"
)

// A Past collects what windows lack that are new, or longer than what there was,
// from inputs that somebody has kept. It belongs to one goroutine and needs no
// engine, so that intake goes on while it reads.
type Past struct {
	metrics map[string]*pastMetric
	longest int64
	begins  int64 // since when inputs were kept
}

type pastMetric struct {
	metric  *metric
	windows map[int64]window.Needs // by length
	devices map[string]*pastDevice
	units   map[string]*foreignUnit
}

type pastDevice struct {
	last    value
	windows map[int64]*window.Window
}

// maxPastDevices bounds the devices of a metric whose windows are filled: as many
// as an engine gets to know unless it is told otherwise.
const maxPastDevices = 1_000_000

// NewPast asks for the windows of a program that another one does not have; nil if
// it has all of them.
func NewPast(p, before *Program) *Past {
	var past Past
	p.eachWindow(func(m *metric, over int64, n window.Needs) {
		if _, had := before.windows[m.name][over]; !had {
			past.want(m, over, n)
		}
	})
	return past.orNil()
}

// Lacks asks for the windows that were not remembered over a restart because the
// rules had not asked for them; nil if there are none.
func (e *Engine) Lacks() *Past {
	var past Past
	for _, d := range e.devices {
		for _, c := range d.channels {
			for _, s := range c.windows {
				if s.short(c, e.now) {
					past.want(c.metric, s.over, s.needs)
				}
			}
		}
	}
	return past.orNil()
}

// want asks for a window. Of a counter a window holds what it rose by since its
// device was first heard, which no recording says.
func (p *Past) want(m *metric, over int64, n window.Needs) {
	if m.counter || m.kind == Text {
		return
	}
	if p.metrics == nil {
		p.metrics = make(map[string]*pastMetric)
	}
	pm := p.metrics[m.name]
	if pm == nil {
		pm = &pastMetric{metric: m, windows: map[int64]window.Needs{}, devices: map[string]*pastDevice{}, units: map[string]*foreignUnit{}}
		p.metrics[m.name] = pm
	}
	pm.windows[over] |= n
	p.longest = max(p.longest, over)
}

func (p *Past) orNil() *Past {
	if p.metrics == nil {
		return nil
	}
	return p
}

// Reach is how far back inputs are of use.
func (p *Past) Reach() time.Duration { return time.Duration(p.longest) }

// Begin says since when inputs were kept, before the first of them.
func (p *Past) Begin(at time.Time) { p.begins = nanos(at) }

// Take takes in an input that was kept, in the order in which they came.
func (p *Past) Take(in Input) {
	if in.Sample != nil {
		p.take(in.Sample)
	}
	for i := range in.Batch {
		p.take(&in.Batch[i])
	}
}

func (p *Past) take(s *Sample) {
	m := p.metrics[s.Metric]
	if m == nil || s.Invalid != "" || s.Flags&Retained != 0 {
		return
	}
	if sec := s.At.Unix(); sec <= 0 || sec > latest {
		return
	}
	d := m.devices[s.Device]
	var last *value
	if d != nil {
		last = &d.last
	}
	conv, ok := m.conversion(s.Unit)
	if !ok {
		return
	}
	v, reason := m.metric.read(s, conv, last)
	if reason != "" {
		return
	}
	if d == nil {
		if len(m.devices) == maxPastDevices {
			return
		}
		d = &pastDevice{windows: make(map[int64]*window.Window, len(m.windows))}
		for over, n := range m.windows {
			d.windows[over] = window.New(time.Duration(over), n)
		}
		m.devices[s.Device] = d
	}
	d.last = v
	at := s.At.UnixNano()
	for _, w := range d.windows {
		w.Advance(at)
		w.Add(at, v.num)
	}
}

// conversion is from a unit that a device declares; false where there is none.
func (m *pastMetric) conversion(unit string) (*conversion, bool) {
	if unit == "" || unit == m.metric.unit {
		return nil, true
	}
	f := m.units[unit]
	if f == nil {
		conv, ok := convert(unit, m.metric.unit)
		f = &foreignUnit{unit, conv, ok}
		m.units[unit] = f
	}
	return &f.conv, f.ok
}

// Fill gives windows what a past has for them, before the first Step.
func (e *Engine) Fill(p *Past) {
	if p == nil {
		return
	}
	for _, d := range e.devices {
		for _, c := range d.channels {
			m := p.metrics[c.metric.name]
			if m == nil || m.devices[d.id] == nil {
				continue
			}
			for _, s := range c.windows {
				if w := m.devices[d.id].windows[s.over]; w != nil && s.short(c, e.now) {
					s.fill(w, p.begins)
				}
			}
		}
	}
}

// short reports whether a window of a channel does not reach back over its whole
// length, though readings had come.
func (s *span) short(c *channel, now int64) bool {
	return c.last.at != 0 && s.Span() != math.MinInt64 && s.Span() > c.axis(now)-s.over
}

// fill puts another window in the place of the present one, and adds what that
// holds. Readings are known from begins on.
func (s *span) fill(w *window.Window, begins int64) {
	w.Advance(begins + s.over) // of the time before, nothing is known
	for at, v := range s.Until(math.MaxInt64) {
		w.Add(at, v)
	}
	w.Need(s.needs)
	s.Window = w
}

// since makes a new window of a channel that has been heard already: it knows the
// newest reading, and nothing of the time before.
func (s *span) since(c *channel) {
	s.Advance(c.last.at - 1 + s.over)
	s.Add(c.last.at, c.last.value.num+c.carried)
}

// eachWindow yields every window that a program's rules ask for, some of them more
// than once.
func (p *Program) eachWindow(yield func(m *metric, over int64, n window.Needs)) {
	each := func(r *rule) {
		for i := range r.gauges {
			g := &r.gauges[i]
			for _, ref := range g.refs {
				if ref.metric != nil && ref.Over > 0 {
					yield(ref.metric, int64(ref.Over), needs(ref.Func))
				}
			}
			m := g.metric
			if m == nil {
				m = r.metric
			}
			if over, n := g.window(); over > 0 && m != nil {
				yield(m, over, n)
			}
		}
	}
	for _, r := range p.rules {
		each(r)
		for _, v := range r.alone {
			each(v)
		}
		for _, v := range r.variants {
			each(v)
		}
	}
}

// askedWindows are the windows of each metric that some rule, as it is for some
// device, asks for.
func (p *Program) askedWindows() map[string]map[int64]window.Needs {
	asked := make(map[string]map[int64]window.Needs)
	p.eachWindow(func(m *metric, over int64, n window.Needs) {
		if asked[m.name] == nil {
			asked[m.name] = make(map[int64]window.Needs)
		}
		asked[m.name][over] |= n
	})
	return asked
}
