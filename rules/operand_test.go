package rules

import "testing"

// That a device falls silent is no news of what it measures: readings that leave a
// window then neither start an alarm nor end one. How many came is known.
func TestWindowOfASilentDeviceIsUnknownInAnExpression(t *testing.T) {
	const rules = "schema = 1\n[metric.temperature]\n[device.d]\nevery = \"1m\"\n[rule.hot]\nwhen = "
	story := "0m..4m/1m d temperature=20\n5m d temperature=1\n60m tick"
	tell(t, rules+"\"max(temperature, 10m) > 5\"\n", "0m d temperature=20\n1m..5m/1m d temperature=1\n60m tick", "0s fired warning hot/d", "11m stale warning hot/d")
	tell(t, rules+"\"max(temperature, 5m) < 5\"\n", story)
	tell(t, rules+"\"count(temperature, 3m) < 1 and online ?? true\"\n", story, "8m fired warning hot/d")
}
