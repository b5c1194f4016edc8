package rules

import "testing"

// A rule that labels disable for a device, and enable again, has one alarm of it,
// whatever was reloaded meanwhile.
func TestARuleThatIsEnabledAgainHasOneAlarm(t *testing.T) {
	for _, between := range []string{"", "5m reload\n", "5m restart\n"} {
		tell(t, `
[metric.level]
[metric.door]
type = "text"
[rule.full]
when = "level > 2 and door == 'open'"
[rule.full.override."label:room=s"]
enabled = false
`, "0s c label:room=r level=-5\n2m c label:room=s door=open\n"+between+"11m c label:room=r level=3.5", "11m fired warning full/c")
	}
}
