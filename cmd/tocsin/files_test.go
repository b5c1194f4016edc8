package main

import (
	"math"
	"testing"
)

// Where files are few, those who connect leave enough to the store and to deliveries.
func TestFilesAreDivided(t *testing.T) {
	for _, c := range []struct {
		limit         uint64
		devices, http int
	}{
		{64, 16, 8},
		{256, 64, 32},
		{1024, 640, 128},
		{4096, 3584, 256},
		{65536, 65024, 256},
		{math.MaxUint64, 1<<30 - 512, 256},
	} {
		if devices, http := divideFiles(c.limit); devices != c.devices || http != c.http {
			t.Errorf("of %d files: %d for devices and %d for HTTP, want %d and %d", c.limit, devices, http, c.devices, c.http)
		}
	}
}

// What doctor says is enough is enough for the division.
func TestEnoughFilesAreEnough(t *testing.T) {
	for _, connections := range []int{1, 100, 10_000} {
		enough := uint64(connections + otherFiles + httpFiles) // #nosec G115 -- not negative
		if devices, _ := divideFiles(enough); devices < connections {
			t.Errorf("%d files leave %d for %d devices", enough, devices, connections)
		}
	}
}
