package bridge

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// lanes are the lanes of all endpoints. A reload may add, change and remove them
// while they run.
type lanes struct {
	mu     sync.RWMutex
	byName map[string]*lane
	gone   []string                                // endpoints that are owed something and are not configured
	start  func(*lane) (cancel context.CancelFunc) // nil while nothing is delivered
}

// get returns an endpoint's lane, nil for none.
func (ls *lanes) get(name string) *lane {
	ls.mu.RLock()
	defer ls.mu.RUnlock()
	return ls.byName[name]
}

// notify wakes an endpoint's lane, if it has one.
func (ls *lanes) notify(name string) {
	if l := ls.get(name); l != nil {
		l.notify()
	}
}

// put adds a lane, which begins to deliver if the others do.
func (ls *lanes) put(l *lane) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	name := l.endpoint.Load().Name
	ls.byName[name] = l
	ls.gone = slices.DeleteFunc(ls.gone, func(s string) bool { return s == name })
	if ls.start != nil {
		l.cancel = ls.start(l)
	}
}

// remove lets a lane start nothing more. What its endpoint is owed stays in the
// store.
func (ls *lanes) remove(name string, owed bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l := ls.byName[name]; l != nil && l.cancel != nil {
		l.cancel()
	}
	delete(ls.byName, name)
	if owed {
		ls.gone = append(ls.gone, name)
	}
}

// conditions are the states of all endpoints, those that left included.
func (ls *lanes) conditions() map[string]string {
	ls.mu.RLock()
	defer ls.mu.RUnlock()
	all := make(map[string]string, len(ls.byName))
	for _, name := range ls.gone {
		all[name] = "unconfigured"
	}
	for name, l := range ls.byName {
		all[name] = l.condition()
	}
	return all
}

// deliver runs every lane until ctx ends.
func (b *Bridge) deliver(ctx context.Context) {
	var running sync.WaitGroup
	start := func(l *lane) context.CancelFunc {
		ctx, cancel := context.WithCancel(ctx)
		running.Go(func() {
			defer cancel()
			name := l.endpoint.Load().Name
			if err := l.run(ctx, b.grace); err != nil {
				b.fatal(fmt.Errorf("delivering to endpoint %s: %w", name, err))
			}
			b.lanes.notify(name) // a lane that has taken over may have waited for this one
		})
		return cancel
	}
	b.lanes.mu.Lock()
	b.lanes.start = start
	for _, l := range b.lanes.byName {
		l.cancel = start(l)
	}
	b.lanes.mu.Unlock()

	<-ctx.Done()
	b.lanes.mu.Lock()
	b.lanes.start = nil
	b.lanes.mu.Unlock()
	running.Wait()
}

// wakeLanes wakes the lane of every endpoint that something was written for.
func (b *Bridge) wakeLanes(g *group) {
	for _, s := range g.batch.Endpoints {
		b.lanes.notify(s.Name)
	}
	woken := make(map[string]bool)
	for i := range g.batch.Transitions {
		for j := range g.batch.Transitions[i].Events {
			ev := &g.batch.Transitions[i].Events[j]
			b.metrics.events.WithLabelValues(string(ev.Type)).Inc()
			for _, name := range ev.Endpoints {
				woken[name] = true
			}
		}
	}
	for name := range maps.Keys(woken) {
		b.lanes.notify(name)
	}
}
