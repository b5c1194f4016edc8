package rules

import (
	"slices"
	"strings"
	"testing"
	"time"
)

const quiet = `
[rule.quiet]
silent = "5m"
`

func TestADeclaredDeviceIsExpectedFromTheFirstSecond(t *testing.T) {
	rules := "[device.d]\nevery = \"1m\"\n" + quiet
	tell(t, rules, `
		0s tick
		10m d x=1`,
		"2m fired warning quiet/d", // twice its interval of grace
		"10m resolved warning quiet/d")
	tell(t, "[device.d]\n"+quiet, `
		0s tick
		10m d x=1`,
		"5m fired warning quiet/d", // nothing says how often it reports
		"10m resolved warning quiet/d")
	tell(t, rules, `
		0s tick
		1m d x=1
		5m59s d x=1
		10m d x=!nan
		20m tick`,
		"15m fired warning quiet/d") // what cannot be judged is contact
}

func TestAnIntervalIsLearned(t *testing.T) {
	rules := "[rule.quiet]\nsilent = \"auto\"\n"
	tell(t, rules, `
		0s..20m/2m d x=1
		1h tick
		1h d x=1`,
		"26m fired warning quiet/d", "1h resolved warning quiet/d")
	tell(t, rules, `
		0s..5m/10s d x=1
		1h tick`,
		"7m fired warning quiet/d") // never less than two minutes
	tell(t, rules, `
		0s..10m/95s d x=1
		1s..10m/95s d x=1
		2s..10m/95s d x=1
		6h tick`) // reports by exception
	tell(t, rules, `
		0s..20m/2m d x=1
		21m restart
		22m d x=1
		23m reload
		1h tick`,
		"28m fired warning quiet/d")
}

func TestWhatIsRepeatedOrOldTeachesNoInterval(t *testing.T) {
	tell(t, "[rule.quiet]\nsilent = \"auto\"\n", `
		0s..20m/2m d x=1
		20m d x=1 +dup
		20m1s d x=1 +dup
		20m2s d x=1 age=1h +historical
		20m3s d x=1 age=1h +historical
		20m4s d x=1 age=1h +historical
		1h tick`,
		"26m4s fired warning quiet/d") // they are contact all the same
}

func TestARetainedMessageIsNoContact(t *testing.T) {
	tell(t, "[device.d]\nevery = \"1m\"\n"+quiet, `
		0s d x=1
		3m d x=1 +retained
		20m d x=1 +retained
		21m d x=1`,
		"5m fired warning quiet/d", "21m resolved warning quiet/d")
}

func TestADeafSourceSilencesNobody(t *testing.T) {
	rules := "[device.d]\nevery = \"1m\"\n" + quiet
	tell(t, rules, `
		0s up plant
		0s d x=1
		1m down plant
		30m up plant
		31m tick
		31m59s d x=1
		1h tick`,
		"36m59s fired warning quiet/d")
	tell(t, rules, `
		0s up plant
		0s d x=1
		1m down plant
		30m up plant
		1h tick`,
		"34m fired warning quiet/d") // a minute and four of them heard
	tell(t, rules, `
		0s up plant
		0s d x=1
		6m down plant
		30m up plant
		30m30s d x=1
		31m tick`,
		"5m fired warning quiet/d", "30m30s resolved warning quiet/d")
	tell(t, rules, `
		0s up plant
		0s d x=1
		1m down plant
		2m restart
		3m reload
		30m tick
		30m up plant
		35m d x=1`,
		"34m fired warning quiet/d", "35m resolved warning quiet/d")
	tell(t, rules, `
		0s d x=1
		1m tick
		30m gap 29m
		31m30s tick
		31m40s d x=1
		40m tick`,
		"36m40s fired warning quiet/d")
}

// Of a device that was never heard nobody knows the source. While none hears, its
// silence says nothing; while one does, it may be that one's.
func TestADeviceThatWasNeverHeardIsNotMissedWhileNobodyListens(t *testing.T) {
	rules := "[device.d]\nevery = \"1m\"\n" + quiet
	tell(t, rules, `
		0s up plant
		1m down plant
		30m up plant
		31m tick
		40m tick`,
		"32m fired warning quiet/d") // it has its two minutes anew
	tell(t, rules, `
		0s down plant
		10m tick
		10m restart
		20m up plant
		40m tick`,
		"22m fired warning quiet/d")
	tell(t, rules, `
		0s up plant
		0s up office
		1m down plant
		2m down office
		20m restart
		30m up plant
		40m tick`,
		"32m fired warning quiet/d")
	tell(t, rules, `
		0s up plant
		0s up office
		1m down plant
		40m tick`,
		"2m fired warning quiet/d")
	tell(t, rules, `
		0s up plant
		3m down plant
		30m up plant
		31m d x=1`,
		"2m fired warning quiet/d", "31m resolved warning quiet/d") // what is missed is missed
}

func TestPresenceBeatsTimers(t *testing.T) {
	rules := "[device.d]\nevery = \"1m\"\n[rule.quiet]\nsilent = \"5m\"\nunless = [\"sleeping\"]\n"
	tell(t, rules, `
		0s d x=1
		10s lost d
		30s online d
		1m lost d
		2m d x=1
		3m offline d
		4m online d`,
		"1m30s fired warning quiet/d", "2m resolved warning quiet/d",
		"3m30s fired warning quiet/d", "4m resolved warning quiet/d")
	tell(t, rules, `
		0s d x=1
		1m sleeping d
		2h tick
		2h online d
		2h4m tick
		3h tick`,
		"2h5m fired warning quiet/d")
}

func TestForOfASilenceRuleIsTheGraceOfALostDevice(t *testing.T) {
	tell(t, "[device.d]\nevery = \"1m\"\n[rule.quiet]\nsilent = \"5m\"\nfor = \"2m\"\n", `
		0s d x=1
		10s lost d
		1m online d
		1m30s lost d
		10m online d
		30m tick`,
		"3m30s fired warning quiet/d", "10m resolved warning quiet/d", "17m fired warning quiet/d")
}

const gateways = `
[device.net]
every = "1m"
[device.gw]
every = "1m"
via = "net"
[device.a]
every = "1m"
via = "gw"
[device.b]
every = "1m"
via = "gw"
[rule.quiet]
silent = "5m"
explain_by = "via"
`

func TestAParentsSilenceExplainsItsChildren(t *testing.T) {
	// Children fall silent first: their gateway is overdue then, and nobody is told
	// of them before it is known what became of it.
	tell(t, gateways, `
		0s net x=1
		0s gw x=1
		0s a x=1
		30s b x=1
		1m gw x=1
		1m..50m/1m net x=1
		41m gw x=1
		41m30s a x=1
		50m gw x=1`,
		"6m fired warning quiet/gw explains=a,b",
		"41m resolved warning quiet/gw",
		"5m fired warning quiet/a muted=explained_by_gw to=",
		"41m30s resolved warning quiet/a muted=explained_by_gw to=",
		"43m fired warning quiet/b delayed=37m30s", // it had the time to report
		"46m fired warning quiet/gw explains=a,b",
		"50m resolved warning quiet/gw")
	// It was the child alone.
	tell(t, gateways, `
		0s..4m/1m gw x=1
		0s..4m/1m net x=1
		0s a x=1
		0s..20m/1m b x=1
		5m..20m/1m gw x=1
		5m..20m/1m net x=1`,
		"5m fired warning quiet/a")
	tell(t, gateways, `
		0s a x=1
		0s..2m/1m b x=1
		0s..2m/1m gw x=1
		0s..9m/1m net x=1
		6m30s gw x=1
		6m30s b x=1`,
		"6m30s fired warning quiet/a delayed=1m30s")
}

func TestAParentsParentExplainsToo(t *testing.T) {
	tell(t, gateways, `
		0s net x=1
		0s gw x=1
		10s a x=1
		10s b x=1
		20m net x=1
		20m10s gw x=1
		20m20s a x=1
		20m20s b x=1
		24m tick`,
		"5m fired warning quiet/net explains=gw",
		"20m resolved warning quiet/net",
		"5m fired warning quiet/gw muted=explained_by_net explains=a,b to=",
		"20m10s resolved warning quiet/gw muted=explained_by_net to=",
		"5m10s fired warning quiet/a muted=explained_by_gw to=",
		"20m20s resolved warning quiet/a muted=explained_by_gw to=",
		"5m10s fired warning quiet/b muted=explained_by_gw to=",
		"20m20s resolved warning quiet/b muted=explained_by_gw to=")
}

// A value that nobody reports any more is not one that stands still.
func TestADeviceThatIsSilentIsNotFlat(t *testing.T) {
	const rules = hot + "[rule.flat]\nmetric = \"temperature\"\nflat = { for = \"20m\", within = 0.5 }\n"
	tell(t, rules, "0s..5m/1m d temperature=4\n2h tick")
	tell(t, rules, "0s..25m/1m d temperature=4\n26m d temperature=8", "20m fired warning flat/d", "26m resolved warning flat/d")
}

func TestALostDeviceOfWhichNothingIsKnownEndsItsAlarmWithAReading(t *testing.T) {
	tell(t, "[rule.quiet]\nsilent = \"auto\"\n", `
		0s tick
		1m lost d
		5m d x=1
		1h tick`,
		"1m30s fired warning quiet/d", "5m resolved warning quiet/d")
}

func TestAReadingInTheSameInstantIsNewsOfADeviceThatWasLost(t *testing.T) {
	tell(t, "[device.d]\nevery = \"1m\"\n"+quiet, `
		0s d x=1
		0s lost d
		0s d x=1
		4m d x=1`)
}

// A source whose session is renewed every hour is one that hears its devices.
func TestShortAbsencesDoNotPostponeASilence(t *testing.T) {
	tell(t, "[rule.quiet]\nsilent = \"6h\"\n", `
		0s up plant
		0s d x=1
		1h..8h/1h down plant
		1h2s..8h/1h up plant
		12h tick`,
		"6h0m12s fired warning quiet/d")
}

func TestPresenceSaidAgainIsContact(t *testing.T) {
	const rules = "[device.d]\nevery = \"1m\"\n[rule.quiet]\nsilent = \"5m\"\n"
	tell(t, rules+"for = \"2m\"\n", "0s online d\n6m online d\n8m tick\n9m online d\n20m tick", "16m fired warning quiet/d")
	tell(t, rules, "0s online d\n6m online d\n8m tick", "5m fired warning quiet/d", "6m resolved warning quiet/d")
}

// Who is woken learns whether a device was lost or never was there, and since when;
// "silent for 5m" would say neither.
func TestSilenceSaysSinceWhenNothingWasHeard(t *testing.T) {
	s := newScene(t, "[device.d]\nevery = \"1m\"\n"+quiet+"level.critical = { silent = \"20m\" }\n")
	s.play("0s other x=1\n90s tick")
	x := s.e.Explain("d", "", start.Add(90*time.Second))[0]
	if want := "never heard of, in 1m 30s of listening since 14:00:00; it reports every 1m"; x.Measured != want {
		t.Errorf("measured %q, want %q", x.Measured, want)
	}
	if want := "silent for 5m: at 2026-11-06T14:02:00Z unless it is heard of before"; x.Levels[0].Fires != want {
		t.Errorf("fires %q, want %q", x.Levels[0].Fires, want)
	}
	s.play("30m tick\n31m d x=1\n40m tick")
	var told []string
	for _, ev := range s.events {
		if ev.Alarm.Key == "quiet/d" {
			told = append(told, ev.Title+" | "+ev.Because)
		}
	}
	want := []string{
		"d: never heard of | never heard of, in 2m 0s of listening since 14:00:00; it reports every 1m",
		"d: never heard of | never heard of, in 20m 0s of listening since 14:00:00; it reports every 1m",
		"d: silent for 5m | heard again at 14:31:00; in alarm for 29m 0s",
		"d: silent for 5m | last heard of at 14:31:00, 5m 0s before; it reports every 1m",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
}
