package bridge

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"tocsin/rules"
)

// lanes are the lanes of all endpoints. A reload may add, change and remove them
// while they run.
type lanes struct {
	mu     sync.RWMutex
	byName map[string]*lane
	gone   []string                                // endpoints that are owed something and are not configured
	start  func(*lane) (cancel context.CancelFunc) // nil while nothing is delivered

	hostRate float64 // attempts a second at one host, of all endpoints there; 0: no limit
	hosts    map[string]*host
}

// host returns what the endpoints of a host share, nil for nothing.
func (ls *lanes) host(name string) *host {
	if name == "" || ls.hostRate <= 0 {
		return nil
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.hosts[name] == nil {
		ls.hosts[name] = &host{bucket: bucket{rate: ls.hostRate}}
	}
	return ls.hosts[name]
}

// get returns an endpoint's lane, nil for none.
func (ls *lanes) get(name string) *lane {
	ls.mu.RLock()
	defer ls.mu.RUnlock()
	return ls.byName[name]
}

// endpoints are those that have a lane, as they are configured now.
func (ls *lanes) endpoints() (all []*Endpoint) {
	ls.mu.RLock()
	defer ls.mu.RUnlock()
	for _, l := range ls.byName {
		all = append(all, l.endpoint.Load())
	}
	return all
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

// statuses are how all endpoints fare, those that left included, by name. No
// lane is looked at while mu is held: a lane that is at work takes mu.
func (ls *lanes) statuses(now time.Time) []EndpointStatus {
	ls.mu.RLock()
	all := slices.Collect(maps.Values(ls.byName))
	var list []EndpointStatus
	for _, name := range ls.gone {
		list = append(list, EndpointStatus{Name: name, Condition: "unconfigured", Reason: "it is not in the configuration"})
	}
	ls.mu.RUnlock()
	for _, l := range all {
		list = append(list, l.status(now))
	}
	slices.SortFunc(list, func(a, b EndpointStatus) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// others names the endpoints whose match selects an event about one of them.
func (ls *lanes) others(ev *rules.Event, but string) []string {
	ls.mu.RLock()
	defer ls.mu.RUnlock()
	var names []string
	for name, l := range ls.byName {
		if name != but && l.endpoint.Load().Match.selects(ev) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
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

// wakeLanes wakes the lane of every endpoint that something was written for, and
// tells whoever watches or follows.
func (b *Bridge) wakeLanes(g *group) {
	b.follow(g)
	woken := make(map[string]bool)
	for _, s := range g.batch.Endpoints {
		woken[s.Name] = true
	}
	for _, a := range g.batch.Also {
		woken[a.Endpoint] = true
	}
	for i := range g.batch.Transitions {
		for j := range g.batch.Transitions[i].Events {
			ev := &g.batch.Transitions[i].Events[j]
			b.metrics.events.WithLabelValues(string(ev.Type)).Inc()
			b.feed.event(ev)
			for _, name := range ev.Endpoints {
				woken[name] = true
				if l := b.lanes.get(name); l != nil && (ev.Type == rules.AlarmFired || ev.Type == rules.AlarmEscalated) {
					l.fired.Store(time.Now().UnixNano())
				}
			}
		}
	}
	for name := range maps.Keys(woken) {
		b.lanes.notify(name)
	}
}
