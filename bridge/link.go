package bridge

import "tocsin/rules"

// watchLinks tells the engine which sources hear their devices, at the start and
// when that changes: what cannot be heard is not silent.
func (b *Bridge) watchLinks() {
	if b.connected == nil {
		return
	}
	for i := range b.sources {
		s := &b.sources[i]
		now := b.connected(s.Name())
		if s.linked != nil && *s.linked == now {
			continue
		}
		// Refused while nothing can be stored: asked again a second later.
		if _, _, err := b.step(rules.Input{Link: &rules.Link{Source: s.Name(), Connected: now}}); err == nil {
			s.linked = &now
		}
	}
}
