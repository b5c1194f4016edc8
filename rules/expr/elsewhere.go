package expr

import "strings"

// elsewhere is what is written here for a function that other languages have,
// or "".
func elsewhere(name string) string {
	name = strings.ToLower(name)
	if agg, found := strings.CutSuffix(name, "_over_time"); found {
		if form, _ := lookup(agg); form != noFunction {
			return agg + "(metric, 5m)"
		}
		name = agg
	}
	switch name {
	case "ispresent", "exists", "isnull", "is_null", "coalesce", "isnan":
		return "age(metric) < 10m for a reading that is there, or metric ?? 0 for a default"
	case "absent", "deadman", "time", "now", "timestamp", "since":
		return `age(metric) > 5m, or a rule with silent = "5m"`
	case "increase", "difference", "diff":
		return "delta(metric, 5m)"
	case "irate", "deriv", "derivative":
		return "rate(metric, 5m)"
	case "predict_linear", "forecast", "holt_winters":
		return "metric + rate(metric, 1h) * 4h"
	case "lag", "previous", "last_value":
		return "prev(metric)"
	case "mean", "average", "moving_average", "movingaverage":
		return "avg(metric, 5m)"
	case "quantile", "percentile", "histogram_quantile", "percentile_cont":
		return "p95(metric, 5m)"
	case "stdev", "std", "sigma", "zscore", "mad":
		return `a rule with deviates = { method = "zscore", by = 3 }`
	case "had_changed", "changed_col", "changed_cols", "changes":
		return "changed(metric)"
	}
	return ""
}
