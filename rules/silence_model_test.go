package rules

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A listener is a model of what could be heard: it keeps every moment of contact
// and every stretch in which nobody listened, for ever.
type listener struct {
	now     time.Duration // since start
	begun   time.Duration
	deaf    []stretchOf
	sources map[string]*sourceModel
	devices map[string]*deviceModel
}

type stretchOf struct{ from, to time.Duration }

type sourceModel struct {
	up, known bool
	since     time.Duration // it is down
	first     time.Duration // it was connected, if it was never away
	deaf      []stretchOf
}

type deviceModel struct {
	source     string
	met        time.Duration
	contact    time.Duration
	contacted  bool
	status     Status
	statusAt   time.Duration
	unexpected bool // it was never heard of, and no file names it
}

func newListener() *listener {
	l := &listener{sources: map[string]*sourceModel{}, devices: map[string]*deviceModel{}}
	for _, id := range [...]string{"a", "b", "gw", "u"} {
		l.devices[id] = &deviceModel{unexpected: id == "u"}
	}
	return l
}

func (l *listener) source(name string) *sourceModel {
	if l.sources[name] == nil {
		l.sources[name] = &sourceModel{}
	}
	return l.sources[name]
}

// hear takes an input in.
func (l *listener) hear(in Input) {
	if g := in.Gap; g != nil {
		from, to := g.From.Sub(start), g.To.Sub(start)
		if to < from {
			l.setBack(to - from)
		} else {
			l.deaf = append(l.deaf, stretchOf{from, to})
		}
	}
	l.now = in.Now.Sub(start)
	switch {
	case in.Sample != nil:
		d := l.devices[in.Sample.Device]
		if d.unexpected {
			d.unexpected, d.met = false, l.now
		}
		if in.Sample.Flags&Retained == 0 {
			d.source = in.Sample.Source
			d.contact, d.contacted = l.now, true
			if d.status != StatusUnknown && d.status != Online {
				d.status, d.statusAt = Online, l.now
			}
		}
	case in.Presence != nil:
		d := l.devices[in.Presence.Device]
		if d.unexpected {
			d.unexpected, d.met = false, l.now
		}
		d.source = in.Presence.Source
		if s := in.Presence.Status; s == Online || s == Sleeping {
			d.contact, d.contacted = l.now, true
		}
		gone := func(s Status) bool { return s == Lost || s == Offline }
		if was := d.status; was != in.Presence.Status {
			d.status = in.Presence.Status
			if !gone(was) || !gone(d.status) {
				d.statusAt = l.now
			}
		}
	case in.Link != nil:
		s := l.source(in.Link.Source)
		switch up := in.Link.Connected; {
		case !s.known:
			s.known, s.up, s.since, s.first = true, up, l.now, l.now
		case up && !s.up:
			s.up = true
			s.deaf = append(s.deaf, stretchOf{s.since, l.now})
		case !up && s.up:
			s.up, s.since = false, l.now
		}
	}
}

// setBack moves everything with our clock.
func (l *listener) setBack(by time.Duration) {
	move := func(list []stretchOf) {
		for i := range list {
			list[i].from, list[i].to = list[i].from+by, list[i].to+by
		}
	}
	l.begun += by
	move(l.deaf)
	for _, s := range l.sources {
		s.since, s.first = s.since+by, s.first+by
		move(s.deaf)
	}
	for _, d := range l.devices {
		d.contact, d.statusAt, d.met = d.contact+by, d.statusAt+by, d.met+by
	}
}

// heard is for how long a device could have been heard between two moments: in
// steps of half a second, at which alone anything happens.
func (l *listener) heard(d *deviceModel, from, to time.Duration) time.Duration {
	const step = time.Second / 2
	total := time.Duration(0)
	for t := from; t < to; t += step {
		if !l.deafAt(d, t) {
			total += min(step, to-t)
		}
	}
	return total
}

func (l *listener) deafAt(d *deviceModel, t time.Duration) bool {
	within := func(s stretchOf) bool { return s.from <= t && t < s.to }
	if slices.ContainsFunc(l.deaf, within) {
		return true
	}
	away := func(s *sourceModel) bool {
		return s != nil && (slices.ContainsFunc(s.deaf, within) || s.known && !s.up && t >= s.since)
	}
	if d.source != "" {
		return away(l.sources[d.source])
	}
	for _, other := range l.devices { // a source of which nobody said that it is away
		if other.source != "" && l.sources[other.source] == nil {
			return false
		}
	}
	for _, s := range l.sources {
		if !away(s) {
			return false
		}
	}
	return len(l.sources) > 0
}

// quietSince is for how long a device could have been heard and was not.
func (l *listener) quietSince(d *deviceModel) time.Duration {
	if d.contacted {
		return l.heard(d, d.contact, l.now)
	}
	return l.heard(d, max(l.begun, d.met), l.now)
}

// graced reports whether a device has had its time to be heard, for so long now, to
// the end of the moment in which that ended.
func (l *listener) graced(d *deviceModel, grace, hold time.Duration) bool {
	now := l.now - hold
	over := func(list []stretchOf) bool {
		return !slices.ContainsFunc(list, func(s stretchOf) bool { return now <= s.to+min(grace, s.to-s.from) })
	}
	s := l.sources[d.source]
	return now > max(l.begun, d.met)+grace && over(l.deaf) && (s == nil || over(s.deaf) && (!s.known || s.up && now > s.first+grace))
}

// I6: an alarm about silence covers time in which its device could have been
// heard, and nothing else; and a device that was silent for so long does alarm.
func TestOnlyHeardSilenceIsSilence(t *testing.T) {
	fired := 0
	rapid.Check(t, func(t *rapid.T) {
		silent := rapid.SampledFrom([]string{`"5m"`, `"20m"`, `"auto"`}).Draw(t, "silent")
		explained, hold := rapid.Bool().Draw(t, "explain_by"), rapid.SampledFrom([]time.Duration{0, 0, 2 * time.Minute}).Draw(t, "for")
		text := "[defaults]\nnotify = [\"ops\"]\n[device.gw]\nevery = \"1m\"\n[device.a]\nevery = \"1m\"\nvia = \"gw\"\n[device.b]\nevery = \"3m\"\nvia = \"gw\"\n" +
			"[rule.quiet]\nunless = [\"sleeping\"]\nsilent = " + silent + "\n"
		if explained {
			text += "explain_by = \"via\"\n"
		}
		if hold > 0 {
			text += fmt.Sprintf("for = %q\n", hold)
		}
		least := func(device string) (needs, grace time.Duration) {
			every := map[string]time.Duration{"a": time.Minute, "gw": time.Minute, "b": 3 * time.Minute}[device]
			switch silent {
			case `"auto"`:
				needs = max(3*every, 2*time.Minute)
			case `"5m"`:
				needs = 5 * time.Minute
			default:
				needs = 20 * time.Minute
			}
			if grace = min(needs, max(2*every, time.Minute)); every == 0 {
				grace = needs
			}
			return needs, grace
		}
		p := compileText(text)
		r, l := begun(t, p), newListener()
		var story []Input
		was := map[string]bool{}
		check := func() {
			t.Helper()
			for id, d := range l.devices {
				a := (*instance)(nil)
				if own := r.e.devices[id]; own != nil && len(own.silent) > 0 {
					a = own.silent[0]
				}
				needs, grace := least(id)
				quiet, lost := l.quietSince(d), d.status == Lost || d.status == Offline
				on := a != nil && a.episode != nil && a.episode.fired != 0
				wrong := func(why string) {
					t.Fatalf("%s\n%s\n\n%s at %v: %s, it was quiet for %v", text, tellInputs(story), id, l.now, why, quiet)
				}
				if on && !was[id] {
					fired++
					least := needs
					if !d.contacted {
						least = grace
					}
					if lost && d.statusAt >= d.contact && quiet < least+hold {
						if quiet, least = l.heard(d, d.statusAt, l.now), 30*time.Second; hold > 0 {
							least = 0
						}
					}
					if quiet < least+hold || l.deafAt(d, l.now) {
						wrong("it fires too early")
					}
				}
				if !on && !lost && d.status != Sleeping && !d.unexpected && id != "u" && d.contacted && quiet >= needs+hold+time.Second && l.graced(d, grace, hold) && (id == "gw" || !explained) {
					wrong("it does not fire")
				}
				was[id] = on
			}
		}
		step := func(in Input) {
			story = append(story, in)
			l.hear(in)
			r.step(in)
			check()
		}
		now := start
		tick := func(until time.Time) { // every timer at its moment, so that nothing is missed
			for next := r.e.Next(); !next.IsZero() && !next.After(until); next = r.e.Next() {
				l.hear(Input{Now: next})
				r.step(Input{Now: next})
				check()
			}
			step(Input{Now: until})
		}
		for range rapid.IntRange(1, 25).Draw(t, "inputs") {
			wait := rapid.SampledFrom([]time.Duration{0, time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 21 * time.Minute}).Draw(t, "wait")
			in := drawHeard(t)
			if in.Gap != nil { // by as much as was waited
				tick(now.Add(wait / 2))
				from := now.Add(wait / 2)
				if now = now.Add(wait); in.Gap.From.Equal(in.Gap.To) {
					in = Input{Now: now, Gap: &Gap{from, now}}
				} else {
					now = from.Add(-time.Minute)
					in = Input{Now: now, Gap: &Gap{from, now}}
				}
				step(in)
				continue
			}
			now = now.Add(wait)
			tick(now)
			if in.Now = now; in.Sample != nil {
				in.Sample.At, in.Sample.Received = now, now
			}
			step(in)
			if rapid.IntRange(0, 9).Draw(t, "restart") == 9 {
				r.revive(p)
			}
		}
		tick(now.Add(time.Hour))
	})
	if fired == 0 && !t.Failed() {
		t.Error("no alarm fired in any story: nothing was compared")
	}
}

// drawHeard draws what has to do with being heard, without its time. Of a gap, two
// different times say that the clock was set back.
func drawHeard(t *rapid.T) Input {
	device := rapid.SampledFrom([]string{"a", "b", "gw", "u"}).Draw(t, "device")
	switch kind := rapid.IntRange(0, 19).Draw(t, "kind"); {
	case kind < 9:
		s := reading(start, 1.0)
		s.Device, s.Source = device, sourceOf(device)
		s.Flags = rapid.SampledFrom([]Flags{0, 0, 0, Retained, Dup, Historical}).Draw(t, "flags")
		return Input{Sample: s}
	case kind < 14:
		return Input{Link: &Link{Source: rapid.SampledFrom([]string{"plant", "office"}).Draw(t, "source"), Connected: rapid.Bool().Draw(t, "connected")}}
	case kind < 16:
		status := rapid.SampledFrom([]Status{Online, Offline, Lost, Sleeping}).Draw(t, "status")
		return Input{Presence: &Presence{Source: sourceOf(device), Device: device, Status: status}}
	case kind < 18:
		return Input{Gap: &Gap{start, start}}
	case kind < 19:
		return Input{Gap: &Gap{start, start.Add(1)}}
	}
	return Input{}
}
