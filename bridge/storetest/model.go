package storetest

import (
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
// with the same random commits, claims, outcomes, switches, trims and restarts.
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
		}
		m.reopen()
		defer m.close()
		rt.Repeat(map[string]func(*rapid.T){
			"":       m.check,
			"commit": m.commitSome,
			"claim":  m.claimSome,
			"finish": m.finishSome,
			"switch": m.switchOne,
			"trim":   m.trimAll,
			"reopen": m.restart,
		})
	})
}

type model struct {
	*fixture
	ids      []string
	owed     map[string][]*owed // by endpoint, in order of commit
	disabled map[string]bool
	bodies   map[string]bridge.Delivery // as first seen
}

type owed struct {
	id, alarm string
	ended     bool // delivered or dead
	dead      bool
	leased    *bridge.Delivery
	attempt   int
	later     bool // not due within the test
}

func (m *model) endpoint(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"x", "y", "z"}).Draw(rt, "endpoint")
}

func (m *model) commitSome(rt *rapid.T) {
	var ts []rules.Transition
	for range rapid.IntRange(0, 4).Draw(rt, "events") {
		alarm := fmt.Sprintf("rule/%d", rapid.IntRange(0, 3).Draw(rt, "alarm"))
		if len(m.ids) > 0 && rapid.IntRange(0, 9).Draw(rt, "again") == 0 {
			ts = append(ts, event(m.ids[len(m.ids)-1], alarm, m.endpoint(rt)))
			continue
		}
		id := fmt.Sprintf("%06d", len(m.ids))
		m.ids = append(m.ids, id)
		endpoints := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"x", "y", "z"}), rapid.ID).Draw(rt, "endpoints")
		for _, name := range endpoints {
			m.owed[name] = append(m.owed[name], &owed{id: id, alarm: alarm})
		}
		ts = append(ts, event(id, alarm, endpoints...))
	}
	m.commitAll(ts...)
}

// heads returns the first delivery of each alarm that has not ended.
func (m *model) heads(name string) (heads []*owed) {
	seen := make(map[string]bool)
	for _, o := range m.owed[name] {
		if !o.ended && !seen[o.alarm] {
			seen[o.alarm] = true
			heads = append(heads, o)
		}
	}
	return heads
}

func (m *model) claimSome(rt *rapid.T) {
	name, limit := m.endpoint(rt), rapid.IntRange(1, 5).Draw(rt, "limit")
	due, next := m.claimNext(name, limit)
	ready, waiting := make(map[string]*owed), false
	for _, o := range m.heads(name) {
		switch {
		case m.disabled[name] || o.leased != nil:
		case o.later:
			waiting = true
		default:
			ready[o.id] = o
		}
	}
	if want := min(limit, len(ready)); len(due) != want {
		rt.Fatalf("Claim(%s, %d) = %v, want %d of %d", name, limit, ids(due), want, len(ready))
	}
	if len(due) < limit && (next.IsZero() == waiting || waiting && time.Until(next) < far/2) {
		rt.Fatalf("Claim(%s) says next = %v; something waits: %v", name, next, waiting)
	}
	for _, d := range due {
		o := ready[d.ID]
		if o == nil || o.alarm != d.Alarm || o.attempt != d.Attempt {
			rt.Fatalf("Claim(%s) hands out %+v, the model holds %+v", name, d, o)
		}
		delete(ready, d.ID)
		o.leased = &d
		d.Endpoint = "" // the same for all of them
		if first, ok := m.bodies[d.ID]; ok {
			sameDelivery(m.t, d, first)
		} else {
			m.bodies[d.ID] = d
		}
		o.leased.Endpoint = name
	}
}

func (m *model) finishSome(rt *rapid.T) {
	name := m.endpoint(rt)
	for _, o := range m.heads(name) {
		if o.leased == nil || rapid.IntRange(0, 2).Draw(rt, "wait") == 0 {
			continue
		}
		fate := rapid.SampledFrom([]bridge.Fate{bridge.Delivered, bridge.Retry, bridge.Dead, bridge.Released}).Draw(rt, "fate")
		due := time.Now()
		if fate == bridge.Retry {
			o.attempt++
			if o.later = rapid.Bool().Draw(rt, "later"); o.later {
				due = due.Add(far)
			}
		}
		m.finish(fate, due, *o.leased)
		o.leased = nil
		o.dead = fate == bridge.Dead
		o.ended = o.dead || fate == bridge.Delivered
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
	owing := make(map[string]bool)
	for _, list := range m.owed {
		for _, o := range list {
			owing[o.id] = owing[o.id] || !o.ended
		}
	}
	for name, list := range m.owed {
		m.owed[name] = slices.DeleteFunc(list, func(o *owed) bool {
			return !owing[o.id] && o.id != m.ids[len(m.ids)-1]
		})
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
			if !o.ended {
				count++
			} else if o.dead {
				dead++
			}
		}
		b, err := m.Log().Backlog(context.Background(), name)
		if err != nil || b.Count != count || b.Dead != dead || b.Oldest.IsZero() != (count == 0) {
			rt.Fatalf("Backlog(%s) = %+v, %v, the model holds %d owed and %d dead", name, b, err, count, dead)
		}
	}
}
