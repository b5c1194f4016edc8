package rules

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const warmRules = `
[defaults]
notify = ["ops"]
[device.fridge]
every = "1m"
[rule.hot]
metric = "temperature"
above  = 20
clear  = 18
[rule.wet]
metric = "humidity"
above  = 80
for    = "5m"
notify = ["pager"]
[rule.mean]
metric      = "power"
agg         = "avg"
over        = "10m"
min_samples = 3
above       = 5
[rule.gone]
silent = "15m"
devices = "fridge"
[rule.watched]
metric = "temperature"
above  = 30
shadow = true
`

// newStore is a scene on a store that was made at its start.
func newStore(t *testing.T, rules string, sync ...string) *scene {
	s := newScene(t, rules)
	s.run = newRun(t, s.e.program, Options{Born: start, Sync: func() []string { return sync }})
	return s
}

func TestWhatHoldsAtTheFirstReadingOfANewStoreMayBeOlder(t *testing.T) {
	s := newStore(t, warmRules)
	s.play(`
		0m fridge temperature=25
		0m oven temperature=5 humidity=90
		1m oven temperature=25
		1m..4m/1m oven humidity=90
		2m oven temperature=10
		3m oven temperature=25
		5m oven humidity=90
		0m..2m/1m mill power=9
		0m..4m/1m lathe power=2
		5m..7m/1m lathe power=90
	`)
	s.expect(
		"0s fired warning hot/fridge first-seen",
		"1m fired warning hot/oven", // it was seen cool
		"2m resolved warning hot/oven",
		"2m fired warning mean/mill first-seen",
		"3m stale warning hot/fridge first-seen",
		"3m fired warning hot/oven",
		"5m fired warning wet/oven first-seen to=pager",
		"5m fired warning mean/lathe",
	)
	s.play("7m10s fridge temperature=10\n7m20s fridge temperature=25")
	s.expect("7m10s resolved warning hot/fridge first-seen", "7m20s fired warning hot/fridge")
}

func TestWarmingOfAnAlarmEndsWithItsPatience(t *testing.T) {
	s := newStore(t, warmRules+"[rule.slow]\nmetric = \"level\"\nabove = 1\nstale_after = \"2h\"")
	s.play("4m fridge temperature=25\n9m oven temperature=25\n11m mill temperature=25\n100m tank level=2\n121m pond level=2")
	s.expect("4m fired warning hot/fridge", // three intervals are over
		"7m stale warning hot/fridge", "9m fired warning hot/oven first-seen", "11m fired warning hot/mill",
		"19m fired warning gone/fridge",
		"1h40m fired warning slow/tank first-seen", "2h1m fired warning slow/pond")
}

func TestDeviceThatWasNeverHeardOnANewStoreMayHaveBeenSilentBefore(t *testing.T) {
	s := newStore(t, warmRules)
	s.play("0m tick\n20m fridge temperature=10\n50m tick")
	s.expect("2m fired warning gone/fridge first-seen", "20m resolved warning gone/fridge first-seen",
		"35m fired warning gone/fridge")
}

func TestNothingIsMarkedOnAStoreThatHasLostNothing(t *testing.T) {
	s := newScene(t, warmRules)
	s.play("0m fridge temperature=25\n20m tick")
	s.expect("0s fired warning hot/fridge", "3m stale warning hot/fridge", "15m fired warning gone/fridge")
	if s.e.Warming() {
		t.Error("the engine warms up")
	}
}

func TestSyncTellsEachEndpointItsAlarmsOnceWarm(t *testing.T) {
	s := newStore(t, warmRules+"[maintenance.oven]\ndevices = \"oven\"\nfrom = "+start.Format(time.RFC3339)+"\nto = "+start.Add(time.Hour).Format(time.RFC3339),
		"pager", "ops", "crm", "ops")
	s.play("0m fridge temperature=25\n1m oven temperature=35\n5m fridge humidity=95\n8m..20m/1m fridge humidity=95\n9m mill temperature=25\n9m30s mill temperature=5\n8m den humidity=95")
	s.expect("0s fired warning hot/fridge first-seen", "3m stale warning hot/fridge first-seen",
		"9m fired warning hot/mill first-seen", "9m30s resolved warning hot/mill first-seen",
		"10m sync 1/1 to=crm",
		"10m sync 1/1 firing:warning:hot/fridge firing:warning:hot/oven",
		"10m sync 1/1 pending:warning:wet/den pending:warning:wet/fridge to=pager", "10m fired warning wet/fridge to=pager",
		"13m fired warning wet/den first-seen to=pager")
	if s.e.Warming() {
		t.Error("the engine still warms up")
	}
	s.play("21m restart\n22m reload\n25h tick")
	for _, line := range s.told {
		if strings.Contains(line, " sync") {
			t.Errorf("told again: %s", line)
		}
	}
	for _, ev := range s.events {
		if ev.Sync == nil {
			continue
		}
		for _, a := range ev.Sync.Alarms {
			if fired := a.Episode != ""; fired != (a.State == "firing") || a.StartedAt.IsZero() {
				t.Errorf("%s is listed with episode %q since %v", a.Key, a.Episode, a.StartedAt)
			}
		}
	}
}

func TestSyncListsWhatWasToldByARuleThatIsAShadowNow(t *testing.T) {
	s := newStore(t, warmRules, "ops")
	s.play("0m fridge temperature=25")
	on := true
	s.change(func(f *File) { f.Rule["hot"].Shadow = &on }).play("1m reload\n2m oven temperature=25\n11m fridge temperature=25")
	s.expect("0s fired warning hot/fridge first-seen", "2m fired warning hot/oven first-seen to=",
		"3m stale warning hot/fridge first-seen", "10m sync 1/1 firing:warning:hot/fridge")
}

func TestWarmingGoesOnOverRestartReloadAndCrash(t *testing.T) {
	story := []string{
		"0m fridge temperature=5 humidity=90", "0m lathe power=2", "1m mill power=9", "1m lathe power=2", "2m mill power=9", "2m oven temperature=5",
		"2m lathe power=2", "3m mill power=9", "3m lathe power=90",
		"4m oven temperature=25", "4m fridge temperature=25 humidity=90", "5m den temperature=25", "6m fridge humidity=90", "11m tick",
	}
	want := newStore(t, warmRules, "ops")
	want.play(strings.Join(story, "\n"))
	for _, how := range []string{"restart", "reload", "crash"} {
		for i := range story {
			s := newStore(t, warmRules, "ops")
			s.play(strings.Join(story[:i], "\n"))
			if how == "crash" {
				s.crash(t)
			} else if i > 0 {
				s.play(strings.Fields(story[i-1])[0] + " " + how)
			}
			s.play(strings.Join(story[i:], "\n"))
			if !slices.Equal(s.told, want.told) {
				t.Errorf("%s before %q: told\n  %s\nwant\n  %s", how, story[i], strings.Join(s.told, "\n  "), strings.Join(want.told, "\n  "))
			}
		}
	}
}

// crash replaces the engine by one that knows only what was stored.
func (s *scene) crash(t *testing.T) {
	t.Helper()
	e := NewEngine(s.e.program, s.e.options)
	for record := range s.e.Memory() {
		if err := e.Recall(record); err != nil {
			t.Fatal(err)
		}
	}
	for key, text := range s.stored {
		var st State
		if key == "" {
			continue
		}
		if err := json.Unmarshal(text, &st); err != nil {
			t.Fatal(err)
		}
		st.Key = key
		e.Restore(st)
	}
	s.e = e
}

func TestSyncAfterACrashIsTheSameEvent(t *testing.T) {
	s := newStore(t, warmRules, "ops")
	s.play("0m fridge temperature=25\n11m tick")
	again := newStore(t, warmRules, "ops")
	again.play("9m fridge temperature=25")
	again.e.Rehearse(Input{Now: start.Add(11 * time.Minute)})
	again.e.Rehearse(Input{Now: start.Add(12 * time.Minute)})
	again.play("13m tick")
	id := func(s *scene) string { return s.events[len(s.events)-1].ID }
	if s.told[len(s.told)-1] != "10m sync 1/1 firing:warning:hot/fridge" || id(s) != id(again) || again.e.Warming() {
		t.Errorf("told %q as %s, and after a crash %q as %s", s.told, id(s), again.told, id(again))
	}
	late := newStore(t, warmRules, "ops")
	late.play("25h fridge temperature=5")
	late.expect() // a day later nobody needs it
}

func TestMemoryOfALostStoreDoesNotHideWhatIsUnderWay(t *testing.T) {
	s := newStore(t, warmRules, "ops")
	s.play("0m fridge temperature=5 humidity=10\n1m..3m/1m mill power=9\n30m fridge temperature=5\n30m mill power=9")
	s.told = nil
	e := NewEngine(s.e.program, Options{Born: start.Add(31 * time.Minute), Sync: s.e.options.Sync})
	for record := range s.e.Memory() {
		if err := e.Recall(record); err != nil {
			t.Fatal(err)
		}
	}
	s.e = e
	s.play("32m fridge temperature=25\n32m mill power=9\n42m tick")
	s.expect("32m fired warning hot/fridge first-seen", "35m stale warning hot/fridge first-seen", "41m sync 1/1 firing:warning:hot/fridge")
}

func TestLongSyncIsSplit(t *testing.T) {
	s := newStore(t, "[defaults]\nstale_after = \"20s\"\n[rule.hot]\nmetric = \"temperature\"\nabove = 20", "ops")
	for i := range 450 {
		s.play(fmt.Sprintf("0m d%03d temperature=25", i))
	}
	s.play("0m " + strings.Repeat("x", maxSyncBytes) + " temperature=25\n0m y temperature=25\n21s tick")
	var sizes, keys []string
	for _, ev := range s.events {
		if ev.Sync != nil {
			sizes = append(sizes, fmt.Sprintf("%d/%d:%d", ev.Sync.Part, ev.Sync.Parts, len(ev.Sync.Alarms)))
			for _, a := range ev.Sync.Alarms {
				keys = append(keys, a.Key)
			}
		}
	}
	if want := []string{"1/5:200", "2/5:200", "3/5:50", "4/5:1", "5/5:1"}; !slices.Equal(sizes, want) {
		t.Errorf("parts %q, want %q", sizes, want)
	}
	if slices.Sort(keys); len(slices.Compact(keys)) != 452 {
		t.Errorf("%d alarms are listed, want 452", len(keys))
	}
}

func TestExplainSaysThatAnAlarmIsNotKnownFromBefore(t *testing.T) {
	s := newStore(t, warmRules)
	s.play("0m fridge humidity=5\n0m lathe power=3")
	until := map[string]time.Time{}
	for _, d := range []string{"fridge", "lathe"} {
		for _, x := range s.e.Explain(d, "", s.now) {
			until[x.Key] = x.Warming
		}
	}
	want := map[string]time.Time{"wet/fridge": {}, "gone/fridge": {}, "mean/lathe": start.Add(10 * time.Minute)}
	for key, at := range want {
		if got, ok := until[key]; !ok || !got.Equal(at) {
			t.Errorf("%s warms until %v, want %v", key, got, at)
		}
	}
}

// A process that stopped before it had written anything down leaves the store's
// birth and its last sign of life; our clock may have been set back since.
func TestWarmingBeginsWhateverIsLeftOfTheTimeBefore(t *testing.T) {
	for away, want := range map[time.Duration]string{0: "10m", time.Minute: "9m", -time.Hour: "10m"} {
		s := newScene(t, warmRules)
		born := start.Add(-away)
		s.run = newRun(t, s.e.program, Options{Born: born, Sync: func() []string { return []string{"ops"} }})
		s.e.Resume(born, start)
		s.play("0m fridge temperature=25\n11m tick")
		if want += " sync 1/1 firing:warning:hot/fridge"; s.told[len(s.told)-1] != want || s.e.Warming() {
			t.Errorf("born %v before: told %q, want %q at the end", away, s.told, want)
		}
	}
}
