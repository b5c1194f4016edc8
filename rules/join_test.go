package rules

import (
	"strings"
	"testing"
)

// hotFor has a return threshold and a delay; a reading speaks for a day.
const hotFor = hot + `
[rule.hot]
metric = "temperature"
above = 10
clear = 8
for = "10m"
stale_after = "1d"
`

// brief3m has readings speak for three minutes only.
func brief3m(rules string) string { return strings.ReplaceAll(rules, `"1d"`, `"3m"`) }

// What began in the past and is open now began then: its time has run.
func TestAnAlarmThatIsPendingBeganInThePast(t *testing.T) {
	for _, late := range []string{
		"31m batch d temperature -11m=11 -6m=12\n",
		"31m batch d temperature -6m=12\n31m10s batch d temperature -11m10s=11\n",
		"31m batch d temperature -11m=11\n31m10s batch d temperature -6m=12\n",
		"31m d temperature=12 age=6m +historical\n31m5s d temperature=11 age=11m5s +historical\n31m10s d temperature=11\n",
	} {
		s := newScene(t, hotFor)
		s.play("0s d temperature=1\n30m d temperature=11\n" + late + "31m20s tick\n32m d temperature=11\n33m d temperature=1\n34m d temperature=1")
		if n := len(s.told); n != 2 || s.told[1] != "33m resolved warning hot/d" {
			t.Errorf("told %q", s.told)
			continue
		}
		if fired := s.events[0]; written(fired.Alarm.StartedAt.Sub(start)) != "20m" {
			t.Errorf("%s: started at %v", late, fired.Alarm.StartedAt.Sub(start))
		}
	}
}

// Only what is left of the time is waited for.
func TestAnAlarmThatIsPendingWaitsForWhatIsLeft(t *testing.T) {
	tell(t, hotFor, `
		0s d temperature=1
		30m d temperature=11
		31m batch d temperature -8m=1 -4m=11
		40m tick`,
		"37m fired warning hot/d")
}

// An episode that people know of keeps its name, whatever comes to be known of its
// beginning; its peak is what it was.
func TestAnAlarmThatWasToldKeepsItsEpisode(t *testing.T) {
	s := tell(t, hotOnly, `
		0s d temperature=1
		30m d temperature=11
		31m batch d temperature -11m=11 -6m=19
		32m d temperature=1`,
		"30m fired warning hot/d", "32m resolved warning hot/d")
	fired, resolved := s.events[0], s.events[1]
	if fired.Alarm.Episode != resolved.Alarm.Episode || !fired.Alarm.StartedAt.Equal(resolved.Alarm.StartedAt) {
		t.Errorf("told %+v, then %+v", fired.Alarm, resolved.Alarm)
	}
	if resolved.Peak == nil || resolved.Peak.Value != 19.0 {
		t.Errorf("peak %v", resolved.Peak)
	}
}

// Between the limit and the return threshold an alarm is on if it was: the past says
// that.
func TestAnAlarmBetweenItsThresholdsIsOnIfItWas(t *testing.T) {
	rules := hotOnly + "clear = 8\n"
	s := tell(t, rules, `
		0s d temperature=1
		30m d temperature=9
		31m d temperature=9
		32m batch d temperature -20m=11 -10m=9
		33m d temperature=9
		34m d temperature=1`,
		"32m fired warning hot/d", "34m resolved warning hot/d")
	if began := s.events[0].Alarm.StartedAt; written(began.Sub(start)) != "12m" {
		t.Errorf("began %v", began)
	}
	tell(t, rules, `
		0s d temperature=11
		30m d temperature=9
		31m batch d temperature -20m=1
		32m d temperature=9`,
		"0s fired warning hot/d", "31m resolved warning hot/d")
}

// A latched alarm of the past has to be seen by somebody.
func TestALatchedAlarmOfThePastFires(t *testing.T) {
	tell(t, hotOnly+"latch = true\n", `
		0s d temperature=1
		30m d temperature=1
		31m batch d temperature -20m=11 -10m=9
		32m d temperature=1
		33m batch d temperature -15m=12
		34m ack hot/d
		35m batch d temperature -14m=12
		36m d temperature=1`,
		"31m fired warning hot/d", "31m returned warning hot/d",
		"34m acked warning hot/d", "34m resolved warning hot/d reason=acked")
}

// What was on when readings ceased to come is no new episode of the past.
func TestAnEpisodeFromBeforeTheHoleIsNotToldAgain(t *testing.T) {
	tell(t, hotOnly, `
		0s d temperature=11
		30m d temperature=1
		40m d temperature=12
		41m d temperature=1
		42m batch d temperature -37m=12 -32m=11 -22m=9`,
		"0s fired warning hot/d", "30m resolved warning hot/d",
		"40m fired warning hot/d", "41m resolved warning hot/d")
}

// One that was only on its way when they ceased was told of by nobody.
func TestAnEpisodeOnItsWayBeforeTheHoleGoesOnInIt(t *testing.T) {
	tell(t, brief3m(hotFor), `
		0s d temperature=11
		30m d temperature=1
		31m batch d temperature -29m=12 -27m=12 -25m=12 -23m=12 -21m=12 -19m=11 -10m=2
		32m d temperature=1`,
		"31m occurred warning hot/d reason=cleared from=0s to=21m")
}

// An outage of ours is a hole as well. What the device has kept speaks for it.
func TestReadingsFromAnOutageOfOursSpeakForIt(t *testing.T) {
	tell(t, hotFor, `
		0s d temperature=11
		30m gap 29m
		30m1s d temperature=11
		30m2s tick
		31m batch d temperature -26m=12 -19m=11 -10m=12
		32m d temperature=1`,
		"31m fired warning hot/d", "32m resolved warning hot/d")
	tell(t, hotFor, `
		0s d temperature=11
		30m gap 29m
		30m1s d temperature=11
		31m batch d temperature -26m=12 -19m=1 -10m=2
		41m tick`,
		"31m occurred warning hot/d reason=cleared from=0s to=12m",
		"40m1s fired warning hot/d")
}

// Two holes with a few readings between them are one story.
func TestAnEpisodeReachesOverSeveralHoles(t *testing.T) {
	for _, late := range []string{
		"61m batch d temperature -50m=11 -40m=12\n62m batch d temperature -20m=11 -10m=12",
		"61m batch d temperature -20m=11 -10m=12\n62m batch d temperature -50m=11 -40m=12\n",
		"61m batch d temperature -50m=11 -40m=12 -20m=11 -10m=12\n62m d temperature=9",
	} {
		s := newScene(t, hotOnly+"clear = 8\n")
		s.play("0s d temperature=1\n30m d temperature=9\n60m d temperature=9\n" + late + "\n63m d temperature=1")
		if len(s.told) != 2 || s.told[1] != "1h3m resolved warning hot/d" {
			t.Errorf("told %q", s.told)
		}
	}
}

// A restart between what came and what is still to come makes no other story.
func TestHolesAreRemembered(t *testing.T) {
	for _, between := range []string{"tick", "restart", "reload"} {
		s := newScene(t, brief3m(hotFor))
		s.play(`
			0s d temperature=11
			30m d temperature=9
			31m d temperature=9
			31m10s ` + between + `
			32m batch d temperature -30m=12 -28m=12 -26m=12
			32m10s ` + between + `
			33m batch d temperature -25m=12 -23m=12 -21m=11
			33m10s ` + between + `
			33m30s d temperature=1`)
		s.expect("33m fired warning hot/d", "33m30s resolved warning hot/d")
		if began := s.events[0].Alarm.StartedAt; !began.Equal(start) {
			t.Errorf("began %v", began)
		}
	}
}
