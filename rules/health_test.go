package rules

import (
	"strings"
	"testing"
)

// fare is how the only rule of a scene fares.
func (s *scene) fare() Health {
	s.t.Helper()
	list := s.e.Health()
	if len(list) != 1 {
		s.t.Fatalf("%d rules fare", len(list))
	}
	return list[0]
}

const warmFor10m = `[rule.warm]
metric = "temperature"
above  = "10 °C"
for    = "10m"
`

func TestNearestReadingIsTheOneThatIsLeastShortOfItsOwnLimit(t *testing.T) {
	s := newScene(t, `[rule.warm]
metric = "temperature"
above  = "10 °C"
[rule.warm.override.b]
above = "30 °C"
`)
	s.play("0m a temperature=4\n1m b temperature=20\n2m a temperature=8.5\n3m a temperature=NaN!range\n4m a temperature=3")
	x := s.fare()
	if x.State != "silent" || x.Alarms != 2 || x.Nearest == nil || x.Nearest.Text != "8.5 °C of a; fires above 10 °C, 1.5 °C short of it" {
		t.Errorf("%+v %+v", x, x.Nearest)
	}
	s.play("5m b temperature=31")
	if x = s.fare(); x.State != "firing" || x.Fired != 1 || x.Nearest.Text != "31 °C of b; fires above 30 °C, 1 °C beyond it" {
		t.Errorf("%+v %+v", x, x.Nearest)
	}
}

// One law for every way to compare: a value is short of firing by more than
// nothing only if it does not fire, and beyond only if it does.
func TestShortAgreesWithFires(t *testing.T) {
	for op := above; op.isLimit(); op++ {
		c := condition{op: op, lo: -2, hi: 3}
		for v := -6.0; v <= 6; v += 0.25 {
			short, fires := c.short(v), c.fires(value{num: v}) == yes
			if short > 0 && fires || short < 0 && !fires {
				t.Errorf("%s: %v is %v short and fires: %v", keys[op], v, short, fires)
			}
		}
	}
}

func TestValueAtTheLimitIsBeyondItWhereItFires(t *testing.T) {
	for key, want := range map[string]string{"at_least": "0 beyond it", "above": "0 short of it"} {
		s := newScene(t, "[rule.warm]\nmetric = \"temperature\"\n"+key+" = 10\n")
		s.play("0m a temperature=10\n1m a temperature=9")
		if x := s.fare(); x.Nearest == nil || !strings.Contains(x.Nearest.Text, want) {
			t.Errorf("%s: %+v", key, x.Nearest)
		}
	}
}

func TestRuleWithoutALimitHasNoNearestReading(t *testing.T) {
	s := newScene(t, "[rule.open]\nmetric = \"door\"\nis = \"open\"\n")
	s.play("0m a door=shut\n1m a door=ajar")
	if x := s.fare(); x.Nearest != nil || x.State != "silent" || x.Since != start {
		t.Errorf("%+v", x)
	}
}

func TestNearestIsOfWhatIsMeasured(t *testing.T) {
	s := newScene(t, `[rule.busy]
metric = "load"
agg    = "avg"
over   = "10m"
above  = 50
`)
	s.play("0m a load=10\n1m a load=90\n2m a load=20")
	x := s.fare()
	if x.Nearest == nil || x.Nearest.Value != 50 || !strings.Contains(x.Nearest.Text, "0 short of it") {
		t.Errorf("%+v", x.Nearest)
	}
}

func TestNearMissIsTheLongestPartOfForThatCameToNothing(t *testing.T) {
	s := newScene(t, warmFor10m)
	s.play("0m..4m/1m a temperature=11\n5m a temperature=9\n6m..15m/1m b temperature=12\n15m30s b temperature=9\n16m..17m/1m a temperature=11")
	x := s.fare()
	if x.State != "pending" || x.Fired != 0 || x.NearMiss == nil || x.NearMiss.Text != "b held for 9m 30s of 10m (95%)" {
		t.Errorf("%+v %+v", x, x.NearMiss)
	}
	// Where it waits for samples too, both count.
	s = newScene(t, strings.Replace(warmFor10m, "10m", "1m", 1)+"samples = 4\n")
	s.play("0m..2m/1m a temperature=11\n3m a temperature=9")
	if x := s.fare(); x.NearMiss == nil || x.NearMiss.Share != 0.75 {
		t.Errorf("%+v", x.NearMiss)
	}
	// What fires did not miss.
	s = newScene(t, warmFor10m)
	s.play("0m..12m/1m a temperature=11\n13m a temperature=9")
	if x := s.fare(); x.Fired != 1 || x.NearMiss != nil || x.State != "quiet" {
		t.Errorf("%+v %+v", x, x.NearMiss)
	}
}

func TestRuleThatLooksAtNothingIsUnmatchedAndOneThatKnowsNothingUnjudged(t *testing.T) {
	s := newScene(t, "[rule.warm]\nmetric = \"temprature\"\nabove = 10\n")
	s.play("0m a temperature=20")
	if x := s.fare(); x.State != "unmatched" || x.Alarms != 0 {
		t.Errorf("%+v", x)
	}
	s = newScene(t, "[rule.busy]\nmetric = \"load\"\nagg = \"avg\"\nover = \"10m\"\nmin_samples = 5\nabove = 50\n")
	s.play("0m a load=90\n1m a load=90")
	if x := s.fare(); x.State != "unjudged" || x.Alarms != 1 {
		t.Errorf("%+v", x)
	}
	s = newScene(t, "[rule.warm]\nmetric = \"temperature\"\nabove = 10\nenabled = false\n")
	s.play("0m a temperature=20")
	if x := s.fare(); x.State != "disabled" {
		t.Errorf("%+v", x)
	}
}

func TestHealthSurvivesAReloadAndForgetsWhatAChangeMadeMeaningless(t *testing.T) {
	s := newScene(t, warmFor10m)
	s.play("0m..12m/1m a temperature=11\n13m a temperature=9\n14m..16m/1m a temperature=11\n17m a temperature=9")
	was := s.fare()
	s.play("18m reload")
	if x := s.fare(); x.Fired != 1 || x.NearMiss == nil || x.Nearest == nil || x.Since != was.Since || len(x.Traces) != 2 {
		t.Errorf("after a reload of the same: %+v", x)
	}
	p, _ := Compile(readFile(t, strings.Replace(warmFor10m, `"10 °C"`, `"20 °C"`, 1)))
	s.e.Reload(p, s.now, nil, &s.out)
	if x := s.fare(); x.Fired != 1 || x.NearMiss != nil || x.Nearest != nil || len(x.Traces) != 2 {
		t.Errorf("after its limit changed: %+v", x)
	}
}

func TestMutedAlarmsAreCountedApart(t *testing.T) {
	s := newScene(t, "[rule.warm]\nmetric = \"temperature\"\nabove = 10\n")
	s.play("0m a temperature=9\n1m shelve warm/a 1h\n2m a temperature=11\n3m a temperature=9")
	x := s.fare()
	if x.Fired != 0 || x.Muted != 1 || x.State != "quiet" {
		t.Errorf("%+v", x)
	}
}

func TestWhatARuleCannotLookAtIsAnError(t *testing.T) {
	s := newScene(t, `[device.a]
attr = { limit = "20 °C" }
[device.b]
type = "freezer"
[metric.temperature]
unit = "°C"
[rule.warm]
devices = "*"
metric  = "temperature"
above   = "@limit"
`)
	s.play("0m a temperature=9\n1m b temperature=9")
	x := s.fare()
	if x.Alarms != 1 || x.Errors != 1 || len(x.Traces) != 1 || x.Traces[0].Key != "warm/b" || !strings.Contains(x.Traces[0].Text, "no attribute limit") {
		t.Errorf("%+v", x)
	}
	s.play("2m c temperature=9")
	if x := s.fare(); x.Errors != 2 || x.Traces[0].Key != "warm/c" {
		t.Errorf("another without one: %+v", x)
	}
}

func TestDeviceBeyondTheCapIsAnError(t *testing.T) {
	for _, rule := range []string{"metric = \"temperature\"\nabove = 10\n", "when = \"temperature > 10\"\n"} {
		s := newScene(t, "[rule.warm]\n"+rule)
		s.e.options.MaxInstances = 1
		s.play("0m a temperature=9\n1m b temperature=9")
		x := s.fare()
		if x.Alarms != 1 || x.Errors != 1 || len(x.Traces) != 1 || !strings.Contains(x.Traces[0].Text, "no more") {
			t.Errorf("%s: %+v", rule, x)
		}
	}
}

// Enabled = false for a device is what somebody wanted.
func TestDeviceThatARuleLeavesOutIsNoError(t *testing.T) {
	s := newScene(t, "[rule.warm]\nmetric = \"temperature\"\nabove = 10\n[rule.warm.override.a]\nenabled = false\n")
	s.play("0m a temperature=9\n1m b temperature=9")
	if x := s.fare(); x.Alarms != 1 || x.Errors != 0 {
		t.Errorf("%+v", x)
	}
}

// Nothing is allocated for a reading that fires nothing.
func TestHealthCostsNoAllocation(t *testing.T) {
	s := newScene(t, warmFor10m)
	s.play("0m a temperature=4")
	a, v := s.e.devices["a"].channels[0].alarms[0], 4.0
	h := &s.e.counts[0].health
	if n := testing.AllocsPerRun(100, func() { v += 0.01; h.saw(a, value{num: v}) }); n != 0 {
		t.Errorf("%v allocations for a reading", n)
	}
}
