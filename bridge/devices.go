package bridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tocsin/rules"
)

// ErrNoDevice is a device that nobody has heard of.
var ErrNoDevice = errors.New("there is no device")

// Devices reports on devices in the order of their names. Intake waits while it
// looks at them.
func (b *Bridge) Devices(q rules.DeviceQuery) ([]rules.DeviceReport, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.engine == nil {
		return nil, fmt.Errorf("listing devices: %w", errRefused)
	}
	return b.engine.Reports(q), nil
}

// Device reports on one device; its error is [ErrNoDevice] if there is none.
func (b *Bridge) Device(id string) (rules.DeviceReport, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.engine == nil {
		return rules.DeviceReport{}, fmt.Errorf("reporting on %s: %w", id, errRefused)
	}
	r, ok := b.engine.Report(id)
	if !ok {
		return r, fmt.Errorf("%w %q (tocsin devices lists them)", ErrNoDevice, id)
	}
	return r, nil
}

// Samples are the newest readings of a metric of a device since a time, at most
// limit, oldest first. There are none where no history is kept.
func (b *Bridge) Samples(ctx context.Context, device, metric string, since time.Time, limit int) ([]rules.Point, error) {
	if b.history == nil {
		return nil, nil
	}
	return b.history.Range(ctx, device, metric, since, b.clock.now().Add(time.Hour), limit)
}
