package bridge

import (
	"fmt"

	"tocsin/rules"
)

// Health says how every rule fares, by ascending id. Counts go on
// over restarts; without a history they begin with the process.
func (b *Bridge) Health() ([]rules.Health, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.engine == nil {
		return nil, fmt.Errorf("looking at the rules: %w", errRefused)
	}
	return b.engine.Health(), nil
}
