package rules

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// rates warns of a max_rate that a device exceeds by what every says of it. Of the
// devices without one of their own, the quickest stands for all.
func (c *compiler) rates() {
	var quickest string
	var shortest Duration
	for _, id := range slices.Sorted(maps.Keys(c.file.Device)) {
		def := c.file.Device[id]
		switch {
		case def.Every == nil || *def.Every <= 0:
		case def.MaxRate != nil:
			c.exceeds([]string{"device", id, "max_rate"}, *def.MaxRate, id, *def.Every)
		case shortest == 0 || *def.Every < shortest:
			quickest, shortest = id, *def.Every
		}
	}
	if r := c.file.Defaults.MaxRate; r != nil && shortest > 0 {
		c.exceeds([]string{"defaults", "max_rate"}, *r, quickest, shortest)
	}
}

func (c *compiler) exceeds(at []string, r MaxRate, id string, every Duration) {
	if r.Count > 0 && r.Count*float64(every) < float64(r.Per) {
		c.warn(at, fmt.Sprintf("max_rate (%s) is lower than what %s sends: a reading every %s, of each metric", r, id, written(time.Duration(every))),
			"write a rate of several times that, since it is there for what is not normal", []string{"device", id, "every"})
	}
}
