package rules

import (
	"encoding/json"
	"testing"
)

const hot = `
[metric.temperature]
unit = "°C"
[device.d]
every = "1m"
`

// Two rows of the table that only people, or a longer story, bring about are in
// TestEveryRowOfTheMachine's place here: 11 to 20.
func TestALatchedAlarmStaysUntilSomebodyHasSeenIt(t *testing.T) {
	rules := hot + `
[rule.hot]
metric = "temperature"
above = 10
latch = true
stale_after = "1d"
`
	tell(t, rules, `
		0s d temperature=11
		1m d temperature=9
		2m ack hot/d
		3m d temperature=8`,
		"0s fired warning hot/d",
		"1m returned warning hot/d",
		"2m acked warning hot/d",
		"2m resolved warning hot/d reason=acked")
	tell(t, rules, `
		0s d temperature=11
		1m ack hot/d
		2m d temperature=9`,
		"0s fired warning hot/d",
		"1m acked warning hot/d",
		"2m resolved warning hot/d reason=acked")
	tell(t, rules, `
		0s d temperature=11
		1m reset hot/d
		2m d temperature=9
		3m reset hot/d
		4m reset hot/d`,
		"0s fired warning hot/d",
		"1m refused hot/d: is not latched, or its condition has not cleared",
		"2m returned warning hot/d",
		"3m resolved warning hot/d reason=reset",
		"4m refused hot/d: is not firing")
	tell(t, rules, `
		0s d temperature=11
		1m d temperature=9
		2m d temperature=12
		3m ack hot/d
		4m d temperature=9`,
		"0s fired warning hot/d",
		"1m returned warning hot/d",
		"2m reminder warning hot/d reason=relapsed",
		"3m acked warning hot/d",
		"4m resolved warning hot/d reason=acked")
	tell(t, rules, `
		0s d temperature=11
		1m ack hot/d
		2m unack hot/d
		3m d temperature=9
		4m restart
		5m d temperature=9
		6m reset hot/d
		7m d temperature=11`,
		"0s fired warning hot/d",
		"1m acked warning hot/d",
		"2m unacked warning hot/d",
		"3m returned warning hot/d",
		"6m resolved warning hot/d reason=reset",
		"7m fired warning hot/d")
}

func TestCooldownAllowsOneEpisode(t *testing.T) {
	tell(t, hot+`
[rule.hot]
metric = "temperature"
above = 10
cooldown = "15m"
`, `
		0s d temperature=11
		1m d temperature=9
		2m..14m/1m d temperature=11
		15m d temperature=11
		16m d temperature=9
		31m d temperature=11`,
		"0s fired warning hot/d",
		"1m resolved warning hot/d",
		"15m fired warning hot/d",
		"16m resolved warning hot/d",
		"31m fired warning hot/d")
	// Nothing has to come when it is over: what holds then, fires then.
	tell(t, hot+`
[rule.hot]
metric = "temperature"
above = 10
cooldown = "15m"
stale_after = "1h"
`, `
		0s d temperature=11
		1m d temperature=9
		2m d temperature=11
		30m tick`,
		"0s fired warning hot/d",
		"1m resolved warning hot/d",
		"15m fired warning hot/d")
}

func TestRemindersFollowTheirListUntilSomebodyAcknowledges(t *testing.T) {
	rules := hot + `
[rule.hot]
metric = "temperature"
above = 10
renotify = ["5m", "15m", "1h"]
stale_after = "2d"
`
	tell(t, rules, `
		0s d temperature=11
		3h tick
		3h ack hot/d
		9h tick
		9h unack hot/d
		10h tick`,
		"0s fired warning hot/d",
		"5m reminder warning hot/d n=1",
		"20m reminder warning hot/d n=2",
		"1h20m reminder warning hot/d n=3",
		"2h20m reminder warning hot/d n=4",
		"3h acked warning hot/d",
		"9h unacked warning hot/d",
		"10h reminder warning hot/d n=5")
	tell(t, rules, `
		0s d temperature=11
		6h gap 6h
		6h tick
		6h14m tick
		6h16m tick`,
		"0s fired warning hot/d",
		"6h reminder warning hot/d n=1", // one, not as many as were missed
		"6h15m reminder warning hot/d n=2")
}

func TestEscalationStopsAtAnAcknowledgement(t *testing.T) {
	rules := hot + `
[rule.hot]
metric = "temperature"
above = 10
stale_after = "2d"
[rule.hot.escalate.unacked]
after = "30m"
unless = "acked"
severity = "critical"
notify = ["oncall"]
[rule.hot.escalate.long]
after = "2h"
unless = "never"
notify = ["boss"]
`
	tell(t, rules, `
		0s d temperature=11
		3h tick
		3h d temperature=9`,
		"0s fired warning hot/d",
		"30m escalated critical hot/d reason=unacked to=oncall,ops",
		"2h escalated critical hot/d reason=long to=boss,oncall,ops",
		"3h resolved critical hot/d to=boss,oncall,ops")
	tell(t, rules, `
		0s d temperature=11
		10m ack hot/d
		3h d temperature=9`,
		"0s fired warning hot/d",
		"10m acked warning hot/d",
		"2h escalated warning hot/d reason=long to=boss,ops",
		"3h resolved warning hot/d to=boss,ops")
	tell(t, rules, `
		0s d temperature=11
		31m ack hot/d
		31m restart
		40m unack hot/d
		3h d temperature=9`,
		"0s fired warning hot/d",
		"30m escalated critical hot/d reason=unacked to=oncall,ops",
		"31m acked critical hot/d to=oncall,ops",
		"40m unacked critical hot/d to=oncall,ops",
		"2h escalated critical hot/d reason=long to=boss,oncall,ops",
		"3h resolved critical hot/d to=boss,oncall,ops")
}

func TestAFlappingAlarmIsToldOnceAndHeld(t *testing.T) {
	rules := hot + `
[rule.hot]
metric = "temperature"
above = 10
[rule.hot.flap]
changes = 4
within = "10m"
hold = "5m"
`
	tell(t, rules, `
		0s d temperature=11
		1m d temperature=9
		2m d temperature=11
		3m d temperature=9
		4m d temperature=11
		5m d temperature=9
		6m..12m/1m d temperature=9`,
		"0s fired warning hot/d",
		"1m resolved warning hot/d",
		"2m fired warning hot/d",
		"3m flapping warning hot/d",
		"10m flap_ended warning hot/d",
		"10m resolved warning hot/d")
	tell(t, rules, `
		0s d temperature=11
		1m d temperature=9
		2m d temperature=11
		3m d temperature=9
		4m..12m/1m d temperature=11
		13m d temperature=9`,
		"0s fired warning hot/d",
		"1m resolved warning hot/d",
		"2m fired warning hot/d",
		"3m flapping warning hot/d",
		"9m flap_ended warning hot/d",
		"13m resolved warning hot/d")
}

func TestClearSamplesCountInARow(t *testing.T) {
	tell(t, hot+`
[rule.hot]
metric = "temperature"
above = 10
clear = 8
clear_samples = 2
`, `
		0s d temperature=11
		1m d temperature=7
		2m d temperature=9
		3m d temperature=7
		4m d temperature=7`,
		"0s fired warning hot/d", "4m resolved warning hot/d")
}

func TestAShareOfTheTimeIsEnough(t *testing.T) {
	rules := hot + `
[rule.hot]
metric = "temperature"
above = 10
for = "10m"
for_share = "80%"
`
	tell(t, rules, `
		0s..4m/1m d temperature=11
		5m d temperature=9
		6m..20m/1m d temperature=11
		21m d temperature=9`,
		"10m fired warning hot/d", "21m resolved warning hot/d")
	tell(t, rules, `
		0s..2m/1m d temperature=11
		3m..5m/1m d temperature=9
		6m..10m/1m d temperature=11
		11m..30m/1m d temperature=9`)
}

func TestRepeatsCountHowOftenItCameTrue(t *testing.T) {
	rules := hot + `
[rule.hot]
metric = "temperature"
above = 10
repeats = { count = 2, within = "5m" }
`
	tell(t, rules, `
		0s..3m/1m d temperature=11
		4m d temperature=9
		5m..9m/1m d temperature=9
		10m d temperature=11
		11m d temperature=9
		12m d temperature=11
		13m d temperature=9
		14m..20m/1m d temperature=9`,
		"12m fired warning hot/d", "15m resolved warning hot/d")
}

func TestMomentaryReadingsAreEventsEachTime(t *testing.T) {
	tell(t, `
[metric.button]
kind = "event"
type = "text"
[rule.pressed]
metric = "button"
is = "double"
repeats = { count = 2, within = "1m" }
no_data = "fire"
stale_after = "5m"
`, `
		0s d button=double
		30s d button=double
		10m tick
		20m d button=single
		20m1s d button=double
		20m2s d button=double`,
		"30s fired warning pressed/d",
		"1m resolved warning pressed/d",
		"20m2s fired warning pressed/d")
}

func TestACounterGoesOnWhenItBeginsAgain(t *testing.T) {
	tell(t, `
[metric.pulses]
kind = "counter"
[rule.idle]
metric = "pulses"
delta_below = 5
over = "3m"
`, `
		0s d pulses=1000
		1m d pulses=1010
		2m d pulses=1020
		3m d pulses=2
		4m d pulses=12
		5m d pulses=22
		6m d pulses=23
		7m d pulses=24
		8m d pulses=25`,
		"7m fired warning idle/d")
}

func TestAChangeIsAnAlarmForAWhile(t *testing.T) {
	rules := func(ask string) string {
		return "[metric.mode]\ntype = \"text\"\n[device.d]\nevery = \"1m\"\n[rule.r]\n" + ask + "\nhold = \"5m\"\n"
	}
	tell(t, rules("metric = \"mode\"\nchanged = true"), `
		0s d mode=a
		1m d mode=a
		2m d mode=b
		4m d mode=a
		5m..10m/1m d mode=a`,
		"2m fired warning r/d", "9m resolved warning r/d")
	tell(t, rules("metric = \"mode\"\nfrom = \"a\"\nto = \"b\""), `
		0s d mode=b
		1m d mode=a
		2m d mode=c
		3m d mode=b
		4m d mode=a
		5m..12m/1m d mode=b`,
		"5m fired warning r/d", "10m resolved warning r/d")
	tell(t, rules("metric = \"level\"\nincreased_by = 3"), `
		0s d level=0
		1m d level=2
		2m d level=4
		3m d level=7
		4m..12m/1m d level=7`,
		"3m fired warning r/d", "8m resolved warning r/d")
	tell(t, rules("metric = \"level\"\ndecreased_by = 3"), `
		0s d level=9
		1m d level=5
		1m30s restart
		2m..12m/1m d level=5`,
		"1m fired warning r/d", "6m resolved warning r/d")
}

func TestWhatNoDataMeansIsTheRulesToSay(t *testing.T) {
	rules := func(word string) string {
		return hot + "[rule.hot]\nmetric = \"temperature\"\nabove = 10\nno_data = \"" + word + "\"\n"
	}
	tell(t, rules("hold"), `
		0s d temperature=11
		10m tick
		11m d temperature=11
		30m tick
		31m d temperature=9
		60m tick`,
		"0s fired warning hot/d",
		"3m stale warning hot/d",
		"31m resolved warning hot/d")
	tell(t, rules("resolve"), `
		0s d temperature=11
		10m tick
		11m d temperature=11
		12m d temperature=9`,
		"0s fired warning hot/d",
		"3m resolved warning hot/d reason=no_data",
		"11m fired warning hot/d",
		"12m resolved warning hot/d")
	tell(t, rules("fire"), `
		0s d temperature=5
		10m tick
		11m d temperature=5
		12m d temperature=5
		20m tick`,
		"3m fired warning hot/d reason=no_data",
		"11m resolved warning hot/d",
		"15m fired warning hot/d reason=no_data")
}

func TestAPendingAlarmStandsStillWhileNothingIsKnown(t *testing.T) {
	tell(t, hot+`
[rule.hot]
metric = "temperature"
above = 10
for = "10m"
`, `
		0s..2m/1m d temperature=11
		# stale from 5m on: two minutes more were known to hold, as it were
		30m d temperature=11
		31m..40m/1m d temperature=11`,
		"35m fired warning hot/d")
}

func TestADisabledRuleEndsItsAlarms(t *testing.T) {
	s := tell(t, hot+`
[rule.hot]
metric = "temperature"
above = 10
`, `
		0s d temperature=11`, "0s fired warning hot/d")
	off := false
	s.change(func(f *File) { f.Rule["hot"].Enabled = &off }).play("1m reload\n2m d temperature=11\n3m restart\n4m d temperature=12")
	s.expect("1m cancelled warning hot/d reason=rule_disabled")
}

func TestAnOverrideThatDisablesEndsItsAlarms(t *testing.T) {
	s := tell(t, hot+`
[rule.hot]
metric = "temperature"
above = 10
`, "0s d temperature=11\n0s e temperature=11", "0s fired warning hot/d", "0s fired warning hot/e")
	off := false
	s.change(func(f *File) {
		f.Rule["hot"].Override = map[string]*OverrideDef{"d": {Behaviour: Behaviour{Enabled: &off}}}
	}).play("1m reload\n2m d temperature=12\n3m e temperature=9")
	s.expect("1m cancelled warning hot/d reason=rule_disabled", "3m resolved warning hot/e")
}

func TestAShadowRuleIsRecordedAndToldNobody(t *testing.T) {
	tell(t, hot+`
[rule.hot]
metric = "temperature"
above = 10
shadow = true
`, `
		0s d temperature=11
		1m d temperature=9`,
		"0s fired warning hot/d to=", "1m resolved warning hot/d to=")
}

// Whoever was told of an episode waits for its end, and nobody joins them.
func TestARuleThatBecomesAShadowTellsItsEpisodeToTheEnd(t *testing.T) {
	s := tell(t, hot+`
[rule.hot]
metric = "temperature"
above = 10
[rule.hot.escalate.unacked]
after = "30m"
severity = "critical"
notify = ["oncall"]
`, "0s d temperature=11", "0s fired warning hot/d")
	on := true
	s.change(func(f *File) { f.Rule["hot"].Shadow = &on }).play("1m reload\n1m restart\n30m d temperature=12\n40m d temperature=9\n41m d temperature=11\n42m d temperature=9")
	s.expect("3m stale warning hot/d", "30m escalated critical hot/d reason=unacked", "40m resolved critical hot/d",
		"41m fired warning hot/d to=", "42m resolved warning hot/d to=")
}

func TestMutedByItsShadowIsWhatNobodyWasTold(t *testing.T) {
	s := tell(t, hot+"[rule.hot]\nmetric = \"temperature\"\nabove = 10\n", "0s d temperature=11", "0s fired warning hot/d")
	on := true
	s.change(func(f *File) { f.Rule["hot"].Shadow = &on }).play("1m reload\n1m e temperature=11")
	for device, want := range map[string]string{"d": "", "e": shadowMute} {
		if _, _, muted := s.e.Glance("hot/" + device); muted != want {
			t.Errorf("hot/%s is listed as muted %q, want %q", device, muted, want)
		}
		if x := s.e.Explain(device, "", s.now)[0]; x.Muted != want {
			t.Errorf("hot/%s is explained as muted %q, want %q", device, x.Muted, want)
		}
	}
}

func TestForwardTellsEachReadingThatMatches(t *testing.T) {
	tell(t, hot+`
[rule.hot]
metric = "temperature"
above = 10
forward = true
`, `
		0s d temperature=11
		1m d temperature=9
		2m d temperature=12
		2m d temperature=12
		3m d temperature=13 +retained clock=arrival`,
		"0s reading.matched d", "2m reading.matched d")
}

func TestARenamedRuleKeepsItsEpisode(t *testing.T) {
	s := tell(t, hot+`
[rule.hot]
metric = "temperature"
above = 10
`, "0s d temperature=11", "0s fired warning hot/d")
	episode := s.events[0].Alarm.Episode
	s.change(func(f *File) {
		f.Rule["warm"] = f.Rule["hot"]
		f.Rule["warm"].RenamedFrom = "hot"
		delete(f.Rule, "hot")
	}).play("1m reload\n1m restart\n2m d temperature=9\n3m d temperature=11")
	s.expect("2m resolved warning hot/d", "3m fired warning warm/d")
	if got := s.events[1]; got.Alarm.Episode != episode || got.Alarm.Seq != 2 || got.Alarm.Key != "hot/d" {
		t.Errorf("episode %s of hot/d ended as %s of %s, number %d", episode, got.Alarm.Episode, got.Alarm.Key, got.Alarm.Seq)
	}
	// What was stored under the former id does not come back, in whatever order.
	for _, order := range [][]string{{"hot/d", "warm/d"}, {"warm/d", "hot/d"}} {
		e := NewEngine(s.e.program, Options{})
		for _, key := range order {
			var st State
			if err := json.Unmarshal(s.stored[key], &st); err != nil {
				t.Fatal(err)
			}
			e.Restore(st)
		}
		var out Output
		s.now = minutes(4)
		e.Step(Input{Now: s.now, Sample: &s.readings("d", []string{"temperature=9"})[0]}, &out)
		told := 0
		for _, tr := range out.Transitions {
			told += len(tr.Events)
		}
		if last := out.Transitions[len(out.Transitions)-1]; told != 1 || last.Events[0].Alarm.Key != "warm/d" {
			t.Errorf("%v: %d events", order, told)
		}
	}
	// Nor is anybody told of its end when the file forgets the former id.
	s.change(func(f *File) { f.Rule["warm"].RenamedFrom = "" })
	p, _ := Compile(s.file)
	s.orphaned(p, 5)
	s.play("6m d temperature=9")
	s.expect("6m resolved warning warm/d")
}
