package bridge

import "tocsin/rules"

// watchLinks tells the engine which sources hear their devices, at the start and
// when that changes: what cannot be heard is not silent.
func (b *Bridge) watchLinks() {
	if b.connected == nil {
		return
	}
	up := make([]bool, len(b.sources))
	for i := range b.sources {
		up[i] = b.connected(b.sources[i].Name())
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.engine == nil {
		return // asked again a second later
	}
	b.begin()
	for i := range b.sources {
		s := &b.sources[i]
		if was, known := b.linked[s.Name()]; known && was == up[i] {
			continue
		}
		b.linked[s.Name()] = up[i]
		b.put(rules.Input{Now: b.clock.now(), Link: &rules.Link{Source: s.Name(), Connected: up[i]}})
	}
	b.queue()
}
