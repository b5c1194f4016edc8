package bridge

import (
	"fmt"

	"tocsin/rules"
)

// Health says how every rule fares, by ascending id. It is counted since the
// engine began: at the start, or when a failed write made it begin anew.
func (b *Bridge) Health() ([]rules.Health, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.engine == nil {
		return nil, fmt.Errorf("looking at the rules: %w", errRefused)
	}
	return b.engine.Health(), nil
}
