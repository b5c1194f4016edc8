package ruletest

import (
	"slices"
	"testing"

	"tocsin/rules"
)

func covered(t testing.TB, f *rules.File) (Coverage, map[string]KeyCoverage) {
	t.Helper()
	p := compile(t, f)
	c := Cover(f, p, RunAll(f, p))
	keys := map[string]KeyCoverage{}
	for _, k := range c.Keys {
		if _, twice := keys[k.Key]; twice {
			t.Errorf("key %s is there twice", k.Key)
		}
		keys[k.Key] = k
	}
	return c, keys
}

func TestCoverageHasEveryKeyOfARule(t *testing.T) {
	_, keys := covered(t, cold(t))
	for _, key := range []string{
		"devices", "metric", "above", "outside", "clear", "when", "changed", "rate_above", "agg", "silent",
		"deviates.method", "deviates.min_history", "flat.for", "invalid.count", "repeats.within", "across", "quorum",
		"for", "for_share", "cooldown", "unless", "shadow", "severity", "level.*.above", "level.*.for", "level.*.repeats.count",
		"override.*.for", "override.*.schedule", "override.*.level.*.above", "escalate.*.after", "flap.changes", "renamed_from",
	} {
		if _, ok := keys[key]; !ok {
			t.Errorf("key %s is missing", key)
		}
	}
}

func TestCoverageNamesWhatNoTestReaches(t *testing.T) {
	f := cold(t)
	f.Rule["untested"] = &rules.RuleDef{Metric: "temperature"}
	f.Rule["untested"].Below = q(t, "-30")
	f.Test = map[string]*rules.TestDef{"peak": peak(t), "wrong": peak(t)}
	f.Test["peak"].Device = "freezer-03"
	f.Test["wrong"].Device = "freezer-03"
	f.Test["wrong"].Expect = nil
	c, keys := covered(t, f)
	if got := c.Untested(); !slices.Equal(got, []string{"untested"}) {
		t.Errorf("untested are %v", got)
	}
	r := c.Rules[0]
	if !slices.Equal(r.Tests, []string{"peak"}) || len(r.Levels) != 2 || len(r.Levels[0].Tests) != 1 || len(r.Levels[1].Tests) != 0 {
		t.Errorf("freezer-warm is covered as %+v; want by peak alone, and critical not at all", r)
	}
	for key, want := range map[string]bool{"above": true, "for": true, "level.*.above": false, "below": false} {
		if k := keys[key]; (len(k.Tests) > 0) != want || len(k.Rules) == 0 {
			t.Errorf("%s is used by %v and exercised by %v, want exercised %t", key, k.Rules, k.Tests, want)
		}
	}
	if k := keys["latch"]; len(k.Rules)+len(k.Tests) != 0 {
		t.Errorf("a key that nobody uses is %+v", k)
	}

	f.Test["hot"] = &rules.TestDef{
		Device: "freezer-03", Values: rules.Values{"temperature": "-20 -5x5"},
		Expect: []rules.TestExpect{{At: at(t, "3m"), Event: "fired", Severity: rules.Critical}},
	}
	if _, keys = covered(t, f); !slices.Equal(keys["level.*.above"].Tests, []string{"hot"}) {
		t.Errorf("level.*.above is exercised by %v, want by the test without a rule", keys["level.*.above"].Tests)
	}
}

func TestScopesOfOverridesSelectAsInRules(t *testing.T) {
	f := &rules.File{Group: map[string]*rules.GroupDef{
		"freezers": {Match: map[string]string{"type": "freezer", "id": "freezer-*", "site": "lyon"}},
	}}
	def := &rules.DeviceDef{Type: "freezer", Labels: map[string]string{"site": "lyon"}}
	for scope, want := range map[string]bool{
		"freezer-03": true, "freezer-0?": true, "*": true, "freezer-04": false,
		"type:freezer": true, "type:pump": false, "label:site=lyon": true, "label:site=paris": false, "label:room=": false,
		"group:freezers": true, "group:pumps": false,
	} {
		if got := selects(f, scope, "freezer-03", def); got != want {
			t.Errorf("%s selects: %t, want %t", scope, got, want)
		}
	}
	if selects(f, "group:freezers", "chest-1", def) {
		t.Error("a group selects a device that one of its parts does not match")
	}
}
