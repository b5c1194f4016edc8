package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"tocsin/rules"
)

// suggest is a remedy for a name that is none of the known: the nearest one, or
// all of them behind the given words.
func suggest(name string, known []string, all string) string {
	if near := nearest(name, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(known) == 0 {
		return "remove it"
	}
	return all + strings.Join(known, ", ")
}

const maxListed = 24 // keys that are listed where none is like the one written

// suggestKey is a remedy for a key that is none of the known of its table.
func suggestKey(path, known []string) string {
	key := path[len(path)-1]
	switch meant := meantBy(path, known); {
	case len(path) == 3 && path[0] == "rule" && severityOf(key) != rules.Unset:
		return "write " + header(path[0], path[1], "level", severityOf(key).String())
	case home(path) != "":
		return "it belongs in " + home(path)
	case len(meant) > 0:
		for i := range meant {
			meant[i] = strconv.Quote(meant[i])
		}
		return "did you mean " + strings.Join(meant, " or ") + "?"
	case len(known) > maxListed:
		return "remove it; no key here is like it"
	}
	return suggest(key, known, "the keys here are ")
}

// severityOf is the severity that a key is called by, here or elsewhere.
func severityOf(key string) rules.Severity {
	switch key {
	case "warn":
		return rules.Warning
	case "crit":
		return rules.Critical
	}
	severity := rules.Unset
	if severity.UnmarshalText([]byte(key)) != nil {
		return rules.Unset
	}
	return severity
}

// meantBy returns the known keys that may be meant by one that is not known.
func meantBy(path, known []string) []string {
	key := path[len(path)-1]
	if near := nearest(key, known); near != "" {
		return []string{near}
	}
	return slices.DeleteFunc(others(key), func(k string) bool { return !slices.Contains(known, k) })
}

// home returns the table that has a key, if it is another than the one the key is
// written in.
func home(path []string) string {
	key, table := path[len(path)-1], path[0]
	if !slices.Contains([]string{"rule", "metric", "device", "defaults"}, table) {
		return ""
	}
	if table == "rule" && len(path) > 3 {
		if len(path) > 5 && path[2] == "override" && path[4] == "level" && hasKey(reflect.TypeFor[rules.OverrideDef](), key) {
			return header(path[:4]...)
		}
		if path[2] != "override" && path[2] != "level" || !hasKey(reflect.TypeFor[rules.RuleDef](), key) {
			return ""
		}
		return header(path[:2]...)
	}
	for _, h := range []struct {
		table  string
		schema reflect.Type
	}{
		{"rule", reflect.TypeFor[rules.RuleDef]()},
		{"metric", reflect.TypeFor[rules.MetricDef]()},
		{"device", reflect.TypeFor[rules.DeviceDef]()},
	} {
		if hasKey(h.schema, key) && h.table != table {
			return header(h.table, "NAME")
		}
	}
	if hasKey(reflect.TypeFor[rules.Defaults](), key) && table != "defaults" {
		return header("defaults")
	}
	return ""
}

func hasKey(t reflect.Type, key string) bool {
	_, ok := schemaOf(t)[key]
	return ok
}

// header is the line that opens a table.
func header(path ...string) string {
	quoted := make([]string, len(path))
	for i, key := range path {
		if quoted[i] = key; !isPlaceholder(key) {
			quoted[i] = strconv.Quote(key)
		}
	}
	return "[" + strings.Join(quoted, ".") + "]"
}

// others are the keys that mean what other tools call by a name of their own.
func others(key string) []string {
	switch strings.ReplaceAll(strings.ToLower(key), "-", "_") {
	case "threshold", "limit", "value":
		return []string{"above", "below"}
	case "between", "in_range", "out_of_range", "within_range", "outside_range":
		return []string{"inside", "outside"}
	case "operator", "op", "comparison", "compare":
		return []string{"above", "below", "is"}
	case "interval", "report_interval", "frequency", "expected_interval":
		return []string{"every"}
	case "gt", "greater_than", "max", "high", "upper", "maximum", "over_limit":
		return []string{"above", "range"}
	case "gte", "ge":
		return []string{"at_least"}
	case "lt", "less_than", "min", "low", "lower", "minimum", "under":
		return []string{"below", "range"}
	case "lte", "le":
		return []string{"at_most"}
	case "eq", "equals", "equal":
		return []string{"is"}
	case "expr", "expression", "condition", "query", "sql", "lambda", "if", "trigger", "alert":
		return []string{"when"}
	case "hysteresis", "deadband", "reset", "resolve", "recovery", "crit_reset", "return":
		return []string{"clear"}
	case "duration", "delay", "on_delay", "debounce", "keep_for", "pending":
		return []string{"for"}
	case "off_delay", "keep_firing_for", "resolve_after":
		return []string{"clear_for"}
	case "repeat_interval", "repeat", "reminder", "remind", "renotify_interval":
		return []string{"renotify"}
	case "deadman", "heartbeat", "timeout", "no_data_for", "absent", "offline":
		return []string{"silent"}
	case "sigma", "zscore", "anomaly":
		return []string{"deviates"}
	case "repeating", "occurrences":
		return []string{"repeats"}
	case "profile", "device", "entity":
		return []string{"devices"}
	case "window", "period", "range_window":
		return []string{"over"}
	case "function", "aggregate", "aggregation", "func":
		return []string{"agg", "reduce"}
	case "group_by", "by":
		return []string{"across"}
	case "message", "summary", "description", "subject", "text", "annotations":
		return []string{"title"}
	case "priority", "level", "urgency":
		return []string{"severity"}
	case "endpoints", "endpoint", "channels", "receivers", "receiver", "contact", "actions", "webhook":
		return []string{"notify"}
	case "tags":
		return []string{"labels"}
	case "targets", "selector", "scope", "topic":
		return []string{"devices"}
	case "rate", "slope":
		return []string{"rate_above", "rate_below"}
	case "levels", "severities", "create_rules", "createrules", "thresholds":
		return []string{"level"}
	case "clear_rule", "clearrule":
		return []string{"clear"}
	case "no_data_state", "nodata", "on_no_data", "exec_err_state", "missing":
		return []string{"no_data"}
	case "flapping", "flap_detection":
		return []string{"flap"}
	case "mute_timings", "mute", "mute_times", "time_intervals", "active_time_intervals", "hours":
		return []string{"schedule"}
	case "inhibit", "depends_on", "inhibited_by":
		return []string{"suppress_if"}
	case "disabled", "active", "enable":
		return []string{"enabled"}
	case "sticky":
		return []string{"latch"}
	case "at_time", "begin", "since":
		return []string{"from", "start"}
	case "end", "until_time":
		return []string{"to", "until"}
	}
	return nil
}

// nearest returns the known name that is at most a third of its letters away,
// or "".
func nearest(name string, known []string) string {
	best, least := "", 1<<30
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < least && d <= max(1, len(k)/3) {
			best, least = k, d
		}
	}
	return best
}

const longestName = 64 // beyond, names are near to none

// distance counts the letters to insert, delete, replace, or swap with their
// neighbour to make one name of the other.
func distance(a, b string) int {
	if len(a) > longestName || len(b) > longestName {
		return max(len(a), len(b))
	}
	var rows [3][longestName + 1]int // on the stack: a file may have a million names
	before, row, next := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}
