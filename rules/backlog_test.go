package rules

import "testing"

// Readings of the past that come one by one are judged together, when the present
// goes on: not with the messages of others, and not without those that came
// before a restart or a reload.
func TestReadingsOfThePastWaitForEachOther(t *testing.T) {
	for _, between := range []string{"30m2s batch other temperature -10s=1 0s=1", "30m2s restart", "30m2s reload"} {
		tell(t, hotOnly, `
			0s batch other temperature -10s=1 0s=1
			0s d temperature=1
			30m d temperature=1
			30m1s d label:room=a temperature=11 age=20m1s +historical
			`+between+`
			30m3s d temperature=1 age=10m3s +historical
			31m d temperature=1
			32m d temperature=1`,
			"31m occurred warning hot/d reason=cleared from=10m to=20m")
	}
}
