package rules

import (
	"maps"
	"strings"
	"testing"
)

func TestAnAlarmSaysWhyItsDeviceIsLost(t *testing.T) {
	for _, between := range []string{"tick", "restart", "reload"} {
		s := tell(t, "[device.d]\nevery = \"1m\"\n[rule.quiet]\nsilent = \"5m\"\n", `
			0s d x=1
			10s lost d keep-alive expired
			20s `+between+`
			1m tick`,
			"40s fired warning quiet/d")
		if got := s.events[0].Because; !strings.Contains(got, "lost since") || !strings.Contains(got, ": keep-alive expired") {
			t.Errorf("after a %s: because %q, want why it is lost", between, got)
		}
	}
}

// A device of which nothing is known any more is no longer lost, and not heard of
// either.
func TestUnknownPresenceIsNoContact(t *testing.T) {
	rules := "[device.d]\nevery = \"1m\"\n[rule.quiet]\nsilent = \"5m\"\n"
	tell(t, rules, `
		0s d x=1
		10s lost d
		20s unknown d
		20m tick`,
		"5m fired warning quiet/d")
	tell(t, rules, `
		0s d x=1
		10s lost d
		1m unknown d
		20m tick
		20m online d`,
		"40s fired warning quiet/d", "20m resolved warning quiet/d")
}

func TestDevicesAreCountedByPresence(t *testing.T) {
	s := newScene(t, "[device.declared]\n[rule.quiet]\nsilent = \"5m\"\n")
	for _, step := range []struct {
		story string
		want  map[Status]int
	}{
		{"0s tick", map[Status]int{StatusUnknown: 1}},
		{"0s a x=1", map[Status]int{StatusUnknown: 2}},
		{"1s online a", map[Status]int{StatusUnknown: 1, Online: 1}},
		{"2s lost b", map[Status]int{StatusUnknown: 1, Online: 1, Lost: 1}},
		{"3s lost b", map[Status]int{StatusUnknown: 1, Online: 1, Lost: 1}},
		{"4s restart", map[Status]int{StatusUnknown: 1, Online: 1, Lost: 1}},
		{"5s reload", map[Status]int{StatusUnknown: 1, Online: 1, Lost: 1}},
		{"6s b x=1", map[Status]int{StatusUnknown: 1, Online: 2}},
		{"7s sleeping b", map[Status]int{StatusUnknown: 1, Online: 1, Sleeping: 1}},
		{"8s offline a", map[Status]int{StatusUnknown: 1, Offline: 1, Sleeping: 1}},
	} {
		s.play(step.story)
		got := s.e.Presences()
		maps.DeleteFunc(got, func(_ Status, n int) bool { return n == 0 })
		if !maps.Equal(got, step.want) {
			t.Errorf("after %q: %v, want %v", step.story, got, step.want)
		}
	}
}

func TestADeviceThatIsMissedAlready(t *testing.T) {
	s := newScene(t, "[device.d]\nevery = \"1m\"\n[rule.quiet]\nsilent = \"15m\"\ndevices = [\"d\", \"slow\"]\n")
	for _, step := range []struct {
		story, device string
		want          bool
	}{
		{"0s d x=1", "d", false},
		{"0s slow x=1", "slow", false},
		{"2m tick", "d", false},
		{"4m tick", "d", true},       // it was to report four times
		{"4m tick", "slow", false},   // nobody knows when it was to report
		{"16m tick", "slow", true},   // an alarm says so
		{"16m tick", "never", false}, // nobody knows it
		{"17m d x=1", "d", false},
	} {
		s.play(step.story)
		if got := s.e.Missed(step.device, s.now); got != step.want {
			t.Errorf("after %q: missed %s %v, want %v", step.story, step.device, got, step.want)
		}
	}
}

// Who said goodbye and is then given up by its broker went away once.
func TestAGoodbyeThatTurnsIntoALossIsMissedSinceTheGoodbye(t *testing.T) {
	tell(t, `
	[rule.gone]
	silent = "10m"
	`, `
		0m d x=1
		1m offline d
		1m20s lost d keep-alive
		3m d x=1`,
		"1m30s fired warning gone/d", "3m resolved warning gone/d")
}
