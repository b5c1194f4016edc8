package storetest

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tocsin/bridge"
	"tocsin/rules"
)

// doesWhatTheModelDoes drives a store and a model of it, a few plain slices,
// with the same random commits, claims, outcomes, switches, replays, trims and
// restarts.
func doesWhatTheModelDoes(t *testing.T, outer *fixture) {
	enough := time.Now().Add(3 * time.Second)
	rapid.Check(t, func(rt *rapid.T) {
		if time.Now().After(enough) && os.Getenv("TOCSIN_TORTURE") == "" {
			return // as many as fit; all of them in the long form
		}
		m := &model{
			fixture:  &fixture{t: t, open: outer.open, dir: t.TempDir()},
			owed:     map[string][]*owed{"x": nil, "y": nil, "z": nil},
			disabled: make(map[string]bool),
			bodies:   make(map[string]bridge.Delivery),
			events:   make(map[string]*modelEvent),
		}
		m.reopen()
		defer m.close()
		rt.Repeat(map[string]func(*rapid.T){
			"":        m.check,
			"commit":  m.commitSome,
			"also":    m.alsoSome,
			"claim":   m.claimSome,
			"stale":   m.claimStale,
			"finish":  m.finishSome,
			"switch":  m.switchOne,
			"replay":  m.replaySome,
			"discard": m.discardSome,
			"digest":  m.digestSome,
			"trim":    m.trimAll,
			"reopen":  m.restart,
		})
	})
}

type model struct {
	*fixture
	ids      []string
	events   map[string]*modelEvent // those that were not trimmed
	owed     map[string][]*owed     // by endpoint, in order of commit
	disabled map[string]bool
	bodies   map[string]bridge.Delivery // as first seen
}

type modelEvent struct {
	alarm string
	typ   rules.Type
}

type owed struct {
	id string
	*modelEvent
	state   bridge.DeliveryState
	leased  *bridge.Delivery
	attempt int
	later   bool   // not due within the test
	heard   bool   // the receiver may have taken it
	began   string // id of the event with which it is one
	folded  bool   // it waits for a digest
}

func (o *owed) waits() bool { return o.state == bridge.DeliveryWaiting }

func (m *model) endpoint(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"x", "y", "z"}).Draw(rt, "endpoint")
}

func (m *model) commitSome(rt *rapid.T) {
	types := []rules.Type{rules.AlarmFired, rules.AlarmFired, rules.AlarmResolved, rules.AlarmResolved, rules.AlarmEscalated, rules.AlarmReminder, rules.ReadingMatched}
	var ts []rules.Transition
	for range rapid.IntRange(0, 4).Draw(rt, "events") {
		alarm := fmt.Sprintf("rule/%d", rapid.IntRange(0, 3).Draw(rt, "alarm"))
		if len(m.ids) > 0 && rapid.IntRange(0, 9).Draw(rt, "again") == 0 {
			ts = append(ts, event(m.ids[len(m.ids)-1], alarm, m.endpoint(rt)))
			continue
		}
		id := fmt.Sprintf("%06d", len(m.ids))
		m.ids = append(m.ids, id)
		m.events[id] = &modelEvent{alarm: alarm, typ: rapid.SampledFrom(types).Draw(rt, "type")}
		endpoints := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"x", "y", "z"}), rapid.ID).Draw(rt, "endpoints")
		for _, name := range endpoints {
			m.owe(id, name)
		}
		tr := event(id, alarm, endpoints...)
		tr.Events[0].Type = m.events[id].typ
		ts = append(ts, tr)
	}
	m.commitAll(ts...)
}

func (m *model) owe(id, name string) {
	list := append(m.owed[name], &owed{id: id, modelEvent: m.events[id], state: bridge.DeliveryWaiting})
	slices.SortFunc(list, func(a, b *owed) int { return cmp.Compare(a.id, b.id) })
	m.owed[name] = list
}

// alsoSome makes an event owed to one more endpoint. The store knows an event by
// its number, which somebody who was handed it knows.
func (m *model) alsoSome(rt *rapid.T) {
	if len(m.bodies) == 0 {
		rt.Skip("no event was handed out")
	}
	var known []string
	for id := range m.bodies {
		known = append(known, id)
	}
	slices.Sort(known)
	id, name := rapid.SampledFrom(known).Draw(rt, "known"), m.endpoint(rt)
	b := bridge.Batch{Also: []bridge.Also{{Event: m.bodies[id].Event, Endpoint: name}}}
	if err := m.Commit(context.Background(), b); err != nil {
		rt.Fatalf("Commit: %v", err)
	}
	if m.events[id] != nil && !slices.ContainsFunc(m.owed[name], func(o *owed) bool { return o.id == id }) {
		m.owe(id, name)
	}
}

// lines are the deliveries that wait, by alarm.
func (m *model) lines(name string) map[string][]*owed {
	lines := make(map[string][]*owed)
	for _, o := range m.owed[name] {
		if o.waits() && !o.folded {
			lines[o.alarm] = append(lines[o.alarm], o)
		}
	}
	return lines
}

// head is what a line hands out next, or has handed out.
func head(line []*owed) *owed {
	for _, o := range line {
		if o.leased != nil {
			return o
		}
	}
	return line[0]
}

func (m *model) heads(name string) (heads []*owed) {
	lines := m.lines(name)
	for _, o := range m.owed[name] {
		if line := lines[o.alarm]; o.waits() && !o.folded && head(line) == o {
			heads = append(heads, o)
		}
	}
	return heads
}

func (m *model) claimSome(rt *rapid.T) {
	name, limit := m.endpoint(rt), rapid.IntRange(1, 5).Draw(rt, "limit")
	due, next := m.claimNext(name, limit)
	m.handedOut(rt, name, limit, due, next)
}

func (m *model) handedOut(rt *rapid.T, name string, limit int, due []bridge.Delivery, next time.Time) {
	ready, waiting := make(map[string]*owed), false
	for _, o := range m.heads(name) {
		switch {
		case m.disabled[name] || o.leased != nil:
		case o.later:
			waiting = true
		default:
			ready[o.alarm] = o
		}
	}
	if want := min(limit, len(ready)); len(due) != want {
		rt.Fatalf("Claim(%s, %d) = %v, want %d of %d", name, limit, ids(due), want, len(ready))
	}
	if len(due) < limit && (next.IsZero() == waiting || waiting && time.Until(next) < far/2) {
		rt.Fatalf("Claim(%s) says next = %v; something waits: %v", name, next, waiting)
	}
	for _, d := range due {
		o := ready[d.Alarm]
		if o == nil || o.attempt != d.Attempt || (o.began == "") != (o.id == d.ID) || o.began != "" && d.Type != rules.AlarmOccurred {
			rt.Fatalf("Claim(%s) hands out %+v, the model holds %+v", name, d, o)
		}
		delete(ready, d.Alarm)
		o.leased = &d
		same := d
		same.Endpoint, same.Owed, same.Folded = "", time.Time{}, false // of its own for each
		key := o.id
		if o.began != "" {
			key = d.ID
		}
		if first, ok := m.bodies[key]; ok {
			sameDelivery(m.t, same, first)
		} else if o.began == "" {
			m.bodies[key] = same
		}
	}
}

// claimStale claims by a mode. What the store then holds for superseded must be
// so by that mode, and nothing stale may be left where something was handed out.
// What was not due may have been looked at or not.
func (m *model) claimStale(rt *rapid.T) {
	const limit = 100
	name := m.endpoint(rt)
	mode := rapid.SampledFrom([]bridge.Stale{bridge.StaleLatest, bridge.StaleCollapse}).Draw(rt, "mode")
	due, next := m.ask(bridge.Ask{Endpoint: name, Limit: limit, Stale: mode})
	superseded := make(map[string]bool)
	for _, d := range m.list(bridge.DeliveryQuery{Endpoint: name, State: bridge.DeliverySuperseded, Limit: 1000}) {
		superseded[d.ID] = true
	}
	for alarm, line := range m.lines(name) {
		lead := head(line)
		if lead.leased != nil || m.disabled[name] {
			continue
		}
		stale, began := staleBy(mode, line)
		for _, o := range line {
			switch {
			case superseded[o.id] && !stale[o.id]:
				rt.Fatalf("%s of %s is superseded at %s", o.id, alarm, name)
			case superseded[o.id]:
				o.state = bridge.DeliverySuperseded
			case stale[o.id] && !lead.later:
				rt.Fatalf("%s of %s is not superseded at %s", o.id, alarm, name)
			}
		}
		for _, o := range line {
			if first := began[o.id]; first != "" && superseded[first] {
				o.began = first
			}
		}
	}
	m.handedOut(rt, name, limit, due, next)
}

// staleBy says what a mode does not send of a line, and which events carry an
// episode that began with another.
func staleBy(mode bridge.Stale, line []*owed) (stale map[string]bool, began map[string]string) {
	stale, began = make(map[string]bool), make(map[string]string)
	if mode == bridge.StaleLatest {
		newest := 0
		for i, o := range line {
			if o.typ != rules.AlarmReminder && o.typ != rules.ReadingMatched {
				newest = i
			}
		}
		for _, o := range line[:newest] {
			stale[o.id] = o.typ != rules.ReadingMatched
		}
		return stale, began
	}
	first := -1
	for i, o := range line {
		switch o.typ {
		case rules.AlarmFired:
			if first = i; o.heard {
				first = -1
			}
		case rules.AlarmResolved:
			if first >= 0 && o.began == "" {
				began[o.id] = line[first].id
				for _, o := range line[first:i] {
					stale[o.id] = o.typ != rules.ReadingMatched
				}
			}
			first = -1
		}
	}
	return stale, began
}

func (m *model) finishSome(rt *rapid.T) {
	name := m.endpoint(rt)
	for _, o := range m.heads(name) {
		if o.leased == nil || rapid.IntRange(0, 2).Draw(rt, "wait") == 0 {
			continue
		}
		fate := rapid.SampledFrom([]bridge.Fate{
			bridge.Delivered, bridge.Retry, bridge.Dead, bridge.Released, bridge.Superseded, bridge.Cancelled, bridge.Folded,
		}).Draw(rt, "fate")
		out := bridge.Outcome{
			Event: o.leased.Event, Endpoint: name, Fate: fate, Attempt: o.attempt + 1, At: time.Now(), Due: time.Now(),
			Unheard: rapid.Bool().Draw(rt, "unheard"),
		}
		if fate != bridge.Released && fate != bridge.Folded {
			o.heard = o.heard || !out.Unheard
		}
		switch fate {
		case bridge.Retry:
			o.attempt++
			if o.later = rapid.Bool().Draw(rt, "later"); o.later {
				out.Due = out.Due.Add(far)
			}
		case bridge.Released:
		case bridge.Folded:
			o.folded = true
		default:
			o.attempt++
			o.state = [...]bridge.DeliveryState{
				bridge.Delivered: bridge.DeliveryDelivered, bridge.Dead: bridge.DeliveryDead,
				bridge.Superseded: bridge.DeliverySuperseded, bridge.Cancelled: bridge.DeliveryCancelled,
			}[fate]
		}
		if err := m.Finish(context.Background(), []bridge.Outcome{out}); err != nil {
			rt.Fatalf("Finish: %v", err)
		}
		o.leased = nil
	}
}

// choose draws a selection, and says what it means of the deliveries that it is about.
func (m *model) choose(rt *rapid.T, about func(*owed) bool) (s bridge.Selection, chosen []*owed) {
	s.Endpoint = m.endpoint(rt)
	s.Latest = rapid.Bool().Draw(rt, "latest")
	switch rapid.IntRange(0, 2).Draw(rt, "part") {
	case 0:
		s.Alarm = fmt.Sprintf("rule/%d", rapid.IntRange(0, 3).Draw(rt, "alarm"))
	case 1:
		s.Dead = true
	}
	for _, o := range m.owed[s.Endpoint] {
		if about(o) && (s.Alarm == "" || s.Alarm == o.alarm) {
			chosen = append(chosen, o)
		}
	}
	return s, chosen
}

// newest are the newest of each alarm that tell more than a remark.
func newest(list []*owed) map[*owed]bool {
	byAlarm := make(map[string]*owed)
	for _, o := range list {
		if o.typ != rules.AlarmReminder {
			byAlarm[o.alarm] = o
		}
	}
	set := make(map[*owed]bool)
	for _, o := range byAlarm {
		set[o] = true
	}
	return set
}

func (m *model) replaySome(rt *rapid.T) {
	s, chosen := m.choose(rt, func(o *owed) bool { return !o.waits() })
	if s.Dead {
		chosen = slices.DeleteFunc(chosen, func(o *owed) bool { return o.state != bridge.DeliveryDead })
	}
	if s.Latest {
		last := newest(chosen)
		chosen = slices.DeleteFunc(chosen, func(o *owed) bool { return !last[o] })
	}
	n, err := m.Log().Replay(context.Background(), s)
	if n != len(chosen) || err != nil {
		rt.Fatalf("Replay(%+v) = %d, %v, want %d", s, n, err, len(chosen))
	}
	for _, o := range chosen {
		o.heard = o.heard || o.state == bridge.DeliveryDelivered
		o.state, o.attempt, o.later, o.folded = bridge.DeliveryWaiting, 0, false, false
	}
}

// digestSome sums up what is folded, and has it told or given up, or neither.
func (m *model) digestSome(rt *rapid.T) {
	name := m.endpoint(rt)
	f, err := m.Log().Fold(context.Background(), name)
	var all []*owed
	for _, o := range m.owed[name] {
		if o.waits() && o.folded {
			all = append(all, o)
		}
	}
	if err != nil || f.Events != len(all) {
		rt.Fatalf("Fold(%s) = %+v, %v, the model holds %d", name, f, err, len(all))
	}
	fate := rapid.SampledFrom([]bridge.Fate{bridge.Superseded, bridge.Dead, bridge.Released}).Draw(rt, "fate")
	if fate == bridge.Released || len(all) == 0 {
		return
	}
	n, err := m.Log().EndFold(context.Background(), name, f.Mark, fate, "told")
	if err != nil || n != len(all) {
		rt.Fatalf("EndFold(%s) = %d, %v, want %d", name, n, err, len(all))
	}
	for _, o := range all {
		if o.state = bridge.DeliverySuperseded; fate == bridge.Dead {
			o.state = bridge.DeliveryDead
		}
	}
}

func (m *model) discardSome(rt *rapid.T) {
	s, chosen := m.choose(rt, (*owed).waits)
	if s.Latest {
		last := newest(chosen)
		chosen = slices.DeleteFunc(chosen, func(o *owed) bool { return last[o] })
	}
	chosen = slices.DeleteFunc(chosen, func(o *owed) bool { return o.leased != nil })
	n, err := m.Log().Discard(context.Background(), s)
	if n != len(chosen) || err != nil {
		rt.Fatalf("Discard(%+v) = %d, %v, want %d", s, n, err, len(chosen))
	}
	for _, o := range chosen {
		o.state = bridge.DeliveryCancelled
	}
}

func (m *model) switchOne(rt *rapid.T) {
	name := m.endpoint(rt)
	m.disabled[name] = !m.disabled[name]
	m.set(bridge.EndpointState{Name: name, Disabled: m.disabled[name]})
	if !m.disabled[name] {
		for _, o := range m.owed[name] {
			o.later = false
		}
	}
}

func (m *model) trimAll(*rapid.T) {
	m.trim(time.Now().Add(far), 0)
	stays := make(map[string]bool)
	if len(m.ids) > 0 {
		stays[m.ids[len(m.ids)-1]] = true
	}
	for _, list := range m.owed {
		for _, o := range list {
			stays[o.id] = stays[o.id] || o.waits()
			stays[o.began] = true
		}
	}
	for id := range m.events {
		if !stays[id] {
			delete(m.events, id)
		}
	}
	for name, list := range m.owed {
		m.owed[name] = slices.DeleteFunc(list, func(o *owed) bool { return !stays[o.id] })
	}
}

func (m *model) restart(*rapid.T) {
	m.reopen()
	for _, list := range m.owed {
		for _, o := range list {
			o.leased = nil
		}
	}
}

func (m *model) check(rt *rapid.T) {
	for name, list := range m.owed {
		count, dead := 0, 0
		for _, o := range list {
			switch o.state {
			case bridge.DeliveryWaiting:
				count++
			case bridge.DeliveryDead:
				dead++
			}
		}
		b, err := m.Log().Backlog(context.Background(), name)
		if err != nil || b.Count != count || b.Dead != dead || b.Oldest.IsZero() != (count == 0) || (b.Bytes == 0) != (count == 0) {
			rt.Fatalf("Backlog(%s) = %+v, %v, the model holds %d owed and %d dead", name, b, err, count, dead)
		}
	}
}
