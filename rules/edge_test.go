package rules

import "testing"

// A window as long as some readings are apart: what leaves it leaves together with
// what comes then, and nothing ends and begins at one moment, whoever looks in
// between.
func TestAReadingThatComesAsAnotherLeavesIsJudgedWithIt(t *testing.T) {
	for _, tick := range []string{"", "1m..29m/1m tick\n", "1m..29m/7s tick\n", "3m30s restart\n5m restart\n", "5m reload\n"} {
		tell(t, "[rule.warm]\nmetric = \"x\"\nagg = \"avg\"\nover = \"2m\"\nabove = 2\n", tick+`
			0s..4m/1m d x=3
			5m d x=0
			6m..30m/1m d x=9`,
			"0s fired warning warm/d", "5m resolved warning warm/d", "6m fired warning warm/d")
		tell(t, "[rule.few]\nmetric = \"x\"\nagg = \"count\"\nover = \"3m\"\nbelow = 3\n", tick+`
			0s..30m/1m d x=1
			40m tick`, "31m fired warning few/d")
		tell(t, "[rule.gone]\nsilent = \"5m\"\n", tick+`
			0s d x=1
			5m d x=1
			9m d x=1
			20m tick`, "14m fired warning gone/d")
	}
}
