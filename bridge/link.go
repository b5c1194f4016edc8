package bridge

import "tocsin/rules"

// watchLinks tells the engine which sources hear their devices, at the start and
// when that changes: what cannot be heard is not silent.
func (b *Bridge) watchLinks() {
	if b.connected == nil {
		return
	}
	for i := range b.sources {
		name := b.sources[i].Name()
		up := b.connected(name)
		b.mu.Lock()
		was, known := b.linked[name]
		b.linked[name] = up
		b.mu.Unlock()
		if known && was == up {
			continue
		}
		if _, _, err := b.step(rules.Input{Link: &rules.Link{Source: name, Connected: up}}); err != nil {
			return // an engine that is made anew is told of all of them
		}
	}
}
