package rules

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// linted plays readings, a line "device metric=value" for each, to the rules of a
// file, and returns what is suspected, as "path: fact (remedy)".
func linted(t *testing.T, file string, inputs func(say func(at time.Duration, device, metric string, value float64))) []string {
	t.Helper()
	f := readFile(t, file)
	p, list := Compile(f)
	if p == nil {
		t.Fatalf("file refused:\n%s", problems(list))
	}
	l := NewLinter(p)
	inputs(func(at time.Duration, device, metric string, value float64) {
		s := reading(start.Add(at), value)
		s.Device, s.Metric = device, metric
		l.Take(Input{Now: start.Add(at), Sample: s})
	})
	var got []string
	for _, p := range l.Problems() {
		if !p.Warning || p.Remedy == "" {
			t.Errorf("%s is no warning, or has no remedy", p.Fact)
		}
		got = append(got, strings.Join(p.Path, ".")+": "+p.Fact+" ("+p.Remedy+")")
	}
	return got
}

// suspect compares what is suspected by its parts; none for nothing.
func suspect(t *testing.T, got []string, parts ...string) {
	t.Helper()
	switch {
	case len(parts) == 0 && len(got) > 0:
		t.Errorf("suspected without reason: %s", strings.Join(got, "; "))
	case len(parts) > 0 && len(got) != 1:
		t.Errorf("want one suspicion, got %d: %s", len(got), strings.Join(got, "; "))
	}
	for _, part := range parts {
		if !strings.Contains(strings.Join(got, "; "), part) {
			t.Errorf("%q is not said: %s", part, strings.Join(got, "; "))
		}
	}
}

// noisy is a reading a minute for an hour that crosses -15 back and forth by a
// degree, and that is quiet at first.
func noisy(say func(time.Duration, string, string, float64)) {
	for i := range 60 {
		v := -20.0
		if i > 20 {
			v = -14.5
			if i%2 == 0 {
				v = -15.7
			}
		}
		say(time.Duration(i)*time.Minute, "freezer-1", "temperature", v)
		say(time.Duration(i)*time.Minute, "freezer-2", "temperature", -20)
	}
}

const bareLimit = "[rule.warm]\nmetric = \"temperature\"\nabove = \"-15 °C\"\n"

func TestLimitThatNoiseCrossesWantsAClear(t *testing.T) {
	got := linted(t, bareLimit, noisy)
	suspect(t, got, "rule.warm.above: ", "no clear", "freezer-1", "19 times", `clear = "-15.71 °C"`)
	// The clear that is proposed calms it.
	suspect(t, linted(t, bareLimit+"clear = \"-15.71 °C\"\n", noisy))
	for _, calm := range []string{"clear_for = \"5m\"", "for = \"5m\"", "latch = true", "[rule.warm.flap]\nchanges = 4\nwithin = \"30m\"\nhold = \"30m\""} {
		suspect(t, linted(t, bareLimit+calm+"\n", noisy))
	}
	suspect(t, linted(t, strings.Replace(bareLimit, "-15", "-10", 1), noisy))
	below := strings.Replace(bareLimit, "above", "below", 1)
	suspect(t, linted(t, below, noisy), "rule.warm.below: ", `clear = "-14.49 °C"`)
}

// What is rare, or far apart, or told to nobody, is no noise.
func TestLimitThatIsCrossedNowAndThenIsNotSuspect(t *testing.T) {
	crossing := func(times int, every time.Duration) func(say func(time.Duration, string, string, float64)) {
		return func(say func(time.Duration, string, string, float64)) {
			for i := range 2 * times {
				say(time.Duration(i)*every, "freezer-1", "temperature", -14.5-float64(i%2))
			}
		}
	}
	suspect(t, linted(t, bareLimit, crossing(6, time.Minute)), "5 times")
	suspect(t, linted(t, bareLimit, crossing(5, time.Minute)))
	suspect(t, linted(t, bareLimit, crossing(20, 11*time.Minute)))
	muted := "[maintenance.all]\nrules = [\"*\"]\ndevices = \"*\"\nfrom = 2026-11-01T00:00:00Z\nto = 2026-12-01T00:00:00Z\n" + bareLimit
	suspect(t, linted(t, muted, crossing(20, time.Minute)))
}

func TestClearIsProposedFromTheLimitOfTheDevice(t *testing.T) {
	got := linted(t, strings.Replace(bareLimit, "-15", "0", 1)+"[rule.warm.override.freezer-1]\nabove = \"-15 °C\"\n", noisy)
	suspect(t, got, "a clear that is 0.71 °C back from the limit")
}

func TestRuleWhoseDevicesOrMetricWereNeverHeardOfIsSuspect(t *testing.T) {
	f := func(file string, parts ...string) {
		t.Helper()
		suspect(t, linted(t, file, func(say func(time.Duration, string, string, float64)) {
			for i := range 20 {
				say(time.Duration(i)*time.Minute, "freezer-1", "temperature", -20)
				say(time.Duration(i)*time.Minute, "freezer-2", "temperature", -20)
			}
		}), parts...)
	}
	f("[rule.a]\nmetric = \"temprature\"\nabove = 0\n", "rule.a.metric: none of the 2 devices", `has sent "temprature"`, `did you mean "temperature"?`)
	f("[rule.a]\ndevices = \"freezer-1\"\nmetric = \"door\"\nis = 1\n", "the one device", "check what your devices call it")
	f("[rule.a]\nwhen = \"temprature > 5\"\n", "rule.a.when: ", `did you mean "temperature"?`)
	f("[rule.a]\ndevices = \"frezer-1\"\nmetric = \"temperature\"\nabove = 0\n", "rule.a.devices: matches none of the 2 devices", `did you mean "freezer-1"?`)
	f("[rule.a]\ndevices = \"pump-*\"\nmetric = \"temperature\"\nabove = 0\n", "rule.a.devices: matches none")
	f("[rule.a]\nacross = \"label:room\"\nreduce = \"avg\"\nmetric = \"temperature\"\nabove = 0\n", "rule.a.devices: matches none")

	f("[rule.a]\nmetric = \"temperature\"\nabove = 0\n")
	f("[rule.a]\nwhen = \"temperature > 5 and not (mains ?? false)\"\n")
	f("[rule.a]\nmetric = \"temprature\"\nabove = 0\nenabled = false\n")
	f("[rule.a]\nmetric = \"temperature\"\nabove = 0\nunless = \"mains > 0\"\n")
	f("[rule.a]\ndevices = \"pump-1\"\nsilent = \"5m\"\n") // its silence is what the rule is about
	f("[metric.button]\ntype = \"text\"\nkind = \"event\"\n[rule.a]\nmetric = \"button\"\nis = \"pressed\"\nrepeats = { count = 2, within = \"1m\" }\n")
}

func TestLabelsOfReadingsCountAsTheDevices(t *testing.T) {
	f := readFile(t, "[rule.a]\ndevices = \"label:site=lyon\"\nmetric = \"temperature\"\nabove = 0\n")
	p, _ := Compile(f)
	for site, want := range map[string]int{"lyon": 0, "paris": 1} {
		l := NewLinter(p)
		s := reading(start, -20.0)
		s.Labels = map[string]string{"site": site}
		l.Take(Input{Now: start, Sample: s})
		if got := l.Problems(); len(got) != want {
			t.Errorf("%s: %d suspicions", site, len(got))
		}
	}
}

func TestForShorterThanTheIntervalThatWasLearntIsSuspect(t *testing.T) {
	every := func(interval time.Duration) func(say func(time.Duration, string, string, float64)) {
		return func(say func(time.Duration, string, string, float64)) {
			for i := range 20 {
				say(time.Duration(i)*interval, "a", "temperature", -20)
				say(time.Duration(i)*interval+time.Second, "b", "temperature", -20)
			}
		}
	}
	const waits = "[rule.warm]\nmetric = \"temperature\"\nabove = 10\nfor = \"2m\"\n"
	suspect(t, linted(t, waits, every(5*time.Minute)), "rule.warm.for: for (2m) is shorter than the 5m", "a and one other device")
	suspect(t, linted(t, waits, every(time.Minute)))
	suspect(t, linted(t, waits+"samples = 3\n", every(5*time.Minute)))
	suspect(t, linted(t, "[rule.warm]\nmetric = \"temperature\"\nabove = 10\n", every(5*time.Minute)))
	suspect(t, linted(t, "[defaults]\nfor = \"2m\"\n[rule.warm]\nmetric = \"temperature\"\nabove = 10\n", every(5*time.Minute)), "defaults.for: ")
	level := "[rule.warm]\nmetric = \"temperature\"\nabove = 10\nfor = \"20m\"\n[rule.warm.level.critical]\nabove = 20\nfor = \"2m\"\n"
	suspect(t, linted(t, level, every(5*time.Minute)), "rule.warm.level.critical.for: ")
}

func TestAutoSilenceOfADeviceThatReportsChangesIsSuspect(t *testing.T) {
	const auto = "[rule.quiet]\nsilent = \"auto\"\n"
	byException := func(say func(time.Duration, string, string, float64)) {
		at := time.Duration(0)
		for i := range 20 {
			at += 5 * time.Second
			if i%4 == 0 {
				at += 2 * time.Hour
			}
			say(at, "door-1", "door", float64(i%2))
		}
	}
	suspect(t, linted(t, auto, byException), "rule.quiet.silent: auto finds no interval for door-1")
	suspect(t, linted(t, "[rule.quiet]\nsilent = \"26h\"\n", byException))
	suspect(t, linted(t, "[device.door-1]\nevery = \"1h\"\n"+auto, byException))
	suspect(t, linted(t, auto, func(say func(time.Duration, string, string, float64)) {
		for i := range 20 {
			say(time.Duration(i)*time.Minute, "door-1", "door", 0)
		}
	}))
}

func TestWithoutReadingsNothingIsSuspected(t *testing.T) {
	suspect(t, linted(t, bareLimit, func(func(time.Duration, string, string, float64)) {}))
}

func BenchmarkLinter(b *testing.B) {
	f := readFile(b, bareLimit+"for = \"10m\"\n[rule.quiet]\nsilent = \"auto\"\n")
	p, _ := Compile(f)
	l := NewLinter(p)
	names := make([]string, 100)
	for i := range names {
		names[i] = fmt.Sprint("freezer-", i)
	}
	i := 0
	for b.Loop() {
		s := reading(start.Add(time.Duration(i)*time.Second), -20.0)
		s.Device = names[i%100]
		l.Take(Input{Now: s.At, Sample: s})
		i++
	}
}

// A window that the readings of a device never fill is never known.
func TestWindowThatHoldsTooFewReadingsIsSuspect(t *testing.T) {
	const window = "[rule.warm]\nmetric = \"temperature\"\nagg = \"avg\"\nover = \"10m\"\nmin_samples = 5\nabove = 50\n"
	each := func(every time.Duration) func(say func(time.Duration, string, string, float64)) {
		return func(say func(time.Duration, string, string, float64)) {
			for i := range 40 {
				say(time.Duration(i)*every, "freezer-1", "temperature", 20)
			}
		}
	}
	suspect(t, linted(t, window, each(5*time.Minute)), "rule.warm.min_samples: ", "a window of 10m", "5 readings", "freezer-1 reports each 5m", "longer over")
	suspect(t, linted(t, window, each(2*time.Minute)))
	suspect(t, linted(t, strings.Replace(window, "= 5", "= 3", 1), each(5*time.Minute)))
}
