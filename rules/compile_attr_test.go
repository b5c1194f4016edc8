package rules

import (
	"reflect"
	"testing"
)

// What variants by attributes have in common is compiled once; each is what it would
// be if all of it were compiled for it alone.
func TestAVariantByAttributesIsTheWholeRule(t *testing.T) {
	const text = `
[defaults]
notify = ["ops"]
timezone = "Europe/Paris"
[schedule.day]
days = ["mon"]
hours = ["08:00-12:00"]
[metric.temp]
unit = "°C"
[device.d]
attr = { max = "40 °C", worst = "50 °C" }
[device.e]
attr = { max = "41 °C", worst = "50 °C" }
[rule.door]
metric = "door"
is = "open"
[rule.hot]
metric = "temp"
above = "@max"
for = "5m"
schedule = "day"
unless = "door == 'open' or avg(temp, '5m') < 3"
suppress_if = "door"
cooldown = "1h"
title = "{device} is at {value}, limit {threshold}"
level.critical.above = "@worst"
level.critical.for = "1m"
[rule.hot.escalate.late]
after = "5m"
severity = "critical"
[rule.average]
metric = "temp"
agg = "avg"
over = "10m"
above = "@max"
unless = "firing(hot)"
`
	p, list := Compile(readFile(t, text))
	if p == nil {
		t.Fatal(problems(list))
	}
	for _, id := range []string{"hot", "average"} {
		r := p.byID[id]
		for _, device := range []string{"d", "e"} {
			def := p.devices[device]
			shared := p.variant(r, device, def)
			alone := *r
			alone.begun, alone.variants = nil, nil
			whole := p.variant(&alone, device, def)
			if shared == r || shared.disabled || shared.revision != whole.revision || shared.order != whole.order || !reflect.DeepEqual(shared.asks, whole.asks) {
				t.Errorf("%s of %s is %+v, want %+v", id, device, shared, whole)
			}
			if len(shared.gauges) != len(whole.gauges) || shared.plain != whole.plain || shared.unlessWhen != whole.unlessWhen || shared.restHi != whole.restHi {
				t.Errorf("%s of %s measures %+v, want %+v", id, device, shared.gauges, whole.gauges)
			}
		}
		if a, b := p.variant(r, "d", p.devices["d"]), p.variant(r, "e", p.devices["e"]); a.rungs[0].lo != 40 || b.rungs[0].lo != 41 || a.revision == b.revision {
			t.Errorf("%s is above %v for d and %v for e, want 40 and 41", id, a.rungs[0].lo, b.rungs[0].lo)
		}
	}
}
