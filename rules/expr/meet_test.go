package expr_test

import "testing"

func TestConditionsThatMeetAreFound(t *testing.T) {
	f := func(when, clear, subject string, value float64) {
		t.Helper()
		both, ok := compile(t, when).Meet(compile(t, clear))
		if ok != (subject != "") || both.Subject != subject || both.Value != value {
			t.Errorf("%s and %s: %v %v, want %s %v", when, clear, ok, both, subject, value)
		}
		again, ok := compile(t, clear).Meet(compile(t, when))
		if ok != (subject != "") || again != both {
			t.Errorf("%s and %s the other way round: %v, %v", when, clear, again, both)
		}
	}
	none := func(when, clear string) { t.Helper(); f(when, clear, "", 0) }
	f("battery < 15", "battery < 25", "battery", 14)
	f("battery < 15", "battery > 10", "battery", 12.5)
	f("15 > battery", "not (battery <= 10)", "battery", 12.5)
	f(`temperature > "-15 °C"`, `temperature > "5 °F" or temperature < -20`, "temperature", -14)
	f("temperature > 5 or temperature < -5", "temperature < 7 and temperature > -7", "temperature", 6)
	f("p95(temperature, 5m) > 7", "p95(temperature, 5m) < 9", "p95(temperature, 5m)", 8)
	f("hour >= 22", "hour > 20", "hour()", 23)
	f("count(temperature, 5m) > 5", "count(temperature, 5m) < 9", "count(temperature, 5m)", 7)

	none("battery < 15", "battery > 25")
	none("battery < 15", "battery >= 15")
	none("battery <= 15", "battery >= 15") // only there
	none("count(temperature, 5m) > 5", "count(temperature, 5m) < 6")
	none("share_firing(device-silent) > 50%", "share_firing(device-silent) > 100% or share_firing(device-silent) < 40%")
	none("battery < 15", "temperature < 25")
	none("battery < 15", "battery < 25 and temperature < 5")
	none("battery < 15 and not (external_power ?? false)", "battery > 10")
	none("p95(temperature, 5m) > 7", "p95(temperature, 10m) < 9")
	none("abs(temperature) > 7", "temperature < 9")
	none("temperature * 2 > 7", "temperature * 2 < 9")
	none("temperature > @limit", "temperature < 9")
	none(`door == "open"`, `door != "closed"`)
	none("running", "running")
}
