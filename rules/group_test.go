package rules

import (
	"fmt"
	"strings"
	"testing"
)

const room = `
[device.a]
every = "1m"
labels = { room = "r" }
[device.b]
every = "1m"
labels = { room = "r" }
[device.c]
every = "1m"
labels = { room = "r" }
[rule.warm]
across = "label:room"
metric = "temperature"
above = 10
`

func TestEveryWayToReduceAGroup(t *testing.T) {
	for reduce, limit := range map[string]float64{"avg": 6, "median": 4, "min": 1, "max": 13, "sum": 18, "count": 3, "spread": 12} {
		for over, fires := range map[float64]bool{limit - 0.5: true, limit: false} {
			s := newScene(t, "[rule.warm]\nacross = \"label:room\"\nmetric = \"temperature\"\nreduce = \""+reduce+"\"\n"+fmt.Sprintf("above = %v\n", over))
			s.play("0s a temperature=1 label:room=r\n0s b temperature=4 label:room=r\n0s c temperature=13 label:room=r")
			if got := phaseOf(stateOf(s, "warm", "r")) == "firing"; got != fires {
				t.Errorf("%s of 1, 4 and 13 above %v: fires %v", reduce, over, got)
			}
		}
	}
}

func stateOf(s *scene, rule, device string) State {
	for st := range s.e.States() {
		if st.Rule == rule && st.Device == device {
			return st
		}
	}
	return State{}
}

func TestAGroupsAlarmIsOneForEachValue(t *testing.T) {
	tell(t, room, `
		0s a temperature=20
		0s b temperature=20
		1m c temperature=20
		1m x temperature=30 label:room=other
		2m a temperature=1
		2m b temperature=1
		2m c temperature=1`,
		"0s fired warning warm/r",
		"1m fired warning warm/other",
		"2m resolved warning warm/r")
}

func TestAQuorumIsOfTheExpectedMembers(t *testing.T) {
	tell(t, room+"quorum = \"60%\"\nfresh = \"3m\"\nno_data = \"hold\"\n", `
		0s a temperature=20
		1m b temperature=20
		2m..9m/1m a temperature=20
		5m tick
		9m b temperature=1
		9m c temperature=1`,
		"1m fired warning warm/r",
		"9m resolved warning warm/r")
	tell(t, room+"quorum = 3\n", `
		0s a temperature=20
		0s b temperature=20
		1m c temperature=20`,
		"1m fired warning warm/r")
}

func TestAMemberThatIsNotFreshDoesNotCount(t *testing.T) {
	tell(t, room+"reduce = \"max\"\nfresh = \"3m\"\n", `
		0s a temperature=20
		0s..8m/1m b temperature=1`,
		"0s fired warning warm/r",
		"3m resolved warning warm/r")
}

func TestMembersComeAndGoWithTheirLabels(t *testing.T) {
	rules := "[rule.warm]\nacross = \"label:room\"\nmetric = \"temperature\"\nabove = 10\nreduce = \"max\"\n"
	tell(t, rules, `
		0s a temperature=1 label:room=r
		1m b temperature=20 label:room=r
		2m b temperature=20 label:room=s
		3m b temperature=1 label:room=s`,
		"1m fired warning warm/r",
		"2m resolved warning warm/r",
		"2m fired warning warm/s",
		"3m resolved warning warm/s")
	// The last member leaves: nobody is left who could end it.
	tell(t, rules, `
		0s a temperature=20 label:room=r
		1m a temperature=20 label:room=s
		1h tick`,
		"0s fired warning warm/r",
		"1m cancelled warning warm/r reason=no_members",
		"1m fired warning warm/s")
}

func TestAWindowIsOfEachMember(t *testing.T) {
	tell(t, room+"agg = \"avg\"\nover = \"5m\"\nreduce = \"max\"\n", `
		0s a temperature=8
		0s b temperature=1
		1m a temperature=14
		2m b temperature=1
		3m a temperature=1
		4m b temperature=1`,
		"1m fired warning warm/r",
		"3m resolved warning warm/r")
}

func TestAlarmsOfAGroupAreCounted(t *testing.T) {
	rules := `
[device.a]
every = "1m"
labels = { site = "s" }
[device.b]
every = "1m"
labels = { site = "s" }
[rule.hot]
metric = "temperature"
above = 10
stale_after = "1d"
[rule.many]
across = "label:site"
`
	tell(t, rules+`when = "share_firing(hot) >= 50%"`, `
		0s a temperature=1
		1m a temperature=20
		2m b temperature=20
		3m a temperature=1
		4m b temperature=1
		5m restart
		6m a temperature=20`,
		"1m fired warning hot/a", "1m fired warning many/s",
		"2m fired warning hot/b",
		"3m resolved warning hot/a",
		"4m resolved warning hot/b", "4m resolved warning many/s",
		"6m fired warning hot/a", "6m fired warning many/s")
	tell(t, rules+`when = "count_firing(hot) >= 2"`, `
		1m a temperature=20
		2m b temperature=20
		3m a temperature=1`,
		"1m fired warning hot/a",
		"2m fired warning hot/b", "2m fired warning many/s",
		"3m resolved warning hot/a", "3m resolved warning many/s")
}

func TestAGroupGoesOnAfterARestart(t *testing.T) {
	tell(t, room+"reduce = \"min\"\nfor = \"5m\"\n", `
		0s a temperature=20
		0s b temperature=20
		1m restart
		2m reload
		2m..6m/1m a temperature=20
		2m..6m/1m b temperature=20
		7m restart
		8m b temperature=1`,
		"5m fired warning warm/r", "8m resolved warning warm/r")
}

// What was stored of a group is no device's: nobody is told that a room is silent.
func TestAGroupIsNoDeviceWhenItsRuleLooksAtDevicesOnly(t *testing.T) {
	for _, how := range []string{"reload", "restart"} {
		for _, value := range []string{"20", "1"} { // it fires, and has fired
			s := newScene(t, `
[rule.quiet]
devices = "*"
silent = "15m"
[rule.warm]
across = "label:room"
metric = "temperature"
above = 10
reduce = "max"
`)
			s.play("0s a temperature=20 label:room=r\n1m a temperature=" + value + " label:room=r")
			s.change(func(f *File) { f.Rule["warm"].Across, f.Rule["warm"].Reduce = "", "" })
			if how == "reload" {
				s.play("1m reload")
			} else {
				p, _ := Compile(s.file)
				s.orphaned(p, 2)
			}
			s.play("3m..60m/1m a temperature=1 label:room=r")
			ended := 0
			for i := range s.events {
				switch got := brief(&s.events[i]); {
				case strings.Contains(got, "quiet"):
					t.Errorf("%s with %s: %s", how, value, got)
				case strings.HasSuffix(got, "cancelled warning warm/r reason=rule_changed"), strings.HasSuffix(got, "resolved warning warm/r"):
					ended++
				}
			}
			if ended != 1 {
				t.Errorf("%s with %s: the room's alarm has ended %d times in %q", how, value, ended, s.bytes)
			}
			if _, ok := s.e.Report("r"); ok {
				t.Errorf("%s with %s: the room is listed among devices", how, value)
			}
		}
	}
}
