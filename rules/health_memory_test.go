package rules

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// health is how the rules fare, for a comparison: all but what a rule cannot look
// at, which is found out again by whoever begins anew.
func (r *run) health() []string {
	r.t.Helper()
	var list []string
	for _, x := range r.e.Health() {
		x.Errors = 0
		x.Traces = slices.DeleteFunc(x.Traces, func(t Trace) bool { return t.Outcome == outcomeNames[errored] })
		text, err := json.Marshal(x)
		if err != nil {
			r.t.Fatal(err)
		}
		list = append(list, string(text))
	}
	return list
}

const fares = `[defaults]
notify = ["ops"]
[metric.temperature]
unit = "°C"
[device.d]
type = "oven"
[rule.warm]
metric  = "temperature"
above   = 10
for     = "10m"
[rule.warm.override.b]
above = 30
[rule.hot]
devices = "type:oven"
metric  = "temperature"
above   = "@limit"
[rule.door]
metric = "door"
is     = "open"
`

func TestHealthSurvivesARestartToTheByte(t *testing.T) {
	s := newScene(t, fares)
	s.play(`
		0m..12m/1m a temperature=11
		13m a temperature=9
		14m b temperature=33
		14m d temperature=1
		14m..18m/1m c temperature=12
		19m c temperature=10 door=ajar
		20m shelve door/c 1h
		21m c door=open
		22m a temperature=NaN!range`)
	was := s.e.Health()
	i := slices.IndexFunc(was, func(x Health) bool { return x.Rule == "warm" })
	if w := was[i]; w.Fired != 1 || w.NearMiss == nil || w.Nearest == nil || !strings.HasPrefix(w.Nearest.Text, "33 °C of b; fires above 30 °C, 3 °C beyond") || len(w.Traces) != 2 {
		t.Errorf("before: %+v %+v", w, w.Nearest)
	}
	before := s.health()
	for range 2 {
		s.revive(s.e.program)
		if got := s.health(); !slices.Equal(got, before) {
			t.Errorf("after a restart:\n%s\nbefore:\n%s", strings.Join(got, "\n"), strings.Join(before, "\n"))
		}
	}
	for i, x := range s.e.Health() {
		if x.Errors != was[i].Errors || (x.Rule == "hot") != (x.Errors == 1) {
			t.Errorf("%s: %d errors, it had %d", x.Rule, x.Errors, was[i].Errors)
		}
	}
}

// A record of another version, or half of one, leaves a rule as it begins.
func TestHealthThatCannotBeReadBeginsAnew(t *testing.T) {
	s := newScene(t, warmFor10m)
	s.play("0m..12m/1m a temperature=11\n13m a temperature=9\n14m..16m/1m a temperature=11\n17m a temperature=9")
	records, _ := snapshot(t, s.e)
	whole := records[len(records)-1]
	for n := range whole {
		e := NewEngine(s.e.program, Options{})
		if err := e.Recall(whole[:n]); err == nil {
			t.Errorf("%d of %d bytes are taken", n, len(whole))
		}
		if h := e.counts[0].health; h != (health{}) {
			t.Errorf("of %d of %d bytes came %+v", n, len(whole), h)
		}
	}
}

func TestAlarmThatLabelsDisableTwiceInAMessageIsCountedOnce(t *testing.T) {
	s := newScene(t, `[rule.warm]
metric = "temperature"
above  = 10
[rule.warm.override."label:room=store"]
enabled = false
`)
	s.play("0m a temperature=1")
	in := Input{Now: start.Add(time.Minute)}
	for i, room := range []string{"hall", "store", "hall", "store"} {
		at := in.Now.Add(time.Duration(i-4) * time.Second)
		in.Batch = append(in.Batch, Sample{
			Source: "plant", Device: "c", Metric: "temperature", Num: 1, At: at, Received: in.Now, Clock: ClockDevice, Labels: map[string]string{"room": room},
		})
	}
	s.step(in)
	if x := s.fare(); x.Alarms != 1 {
		t.Errorf("%d alarms, want that of a", x.Alarms)
	}
}

// A rule looks at no device that has moved away, though it keeps what it remembers of
// it, and an alarm that is under way.
func TestADeviceThatMovedAwayIsNotCountedUntilItIsBack(t *testing.T) {
	for name, file := range map[string]string{
		"a limit":   "[rule.warm]\ndevices = \"label:room=r\"\nmetric = \"x\"\nabove = 10\n",
		"a window":  "[rule.warm]\ndevices = \"label:room=r\"\nmetric = \"x\"\nagg = \"avg\"\nover = \"10m\"\nabove = 10\n",
		"a silence": "[rule.warm]\ndevices = \"label:room=r\"\nsilent = \"1h\"\n",
		"disabled":  "[rule.warm]\nmetric = \"x\"\nabove = 10\n[rule.warm.override.\"label:room=s\"]\nenabled = false\n",
	} {
		for _, value := range []string{"1", "20"} {
			t.Run(name+" "+value, func(t *testing.T) {
				s := newScene(t, file)
				s.play("0m a x=1 label:room=r\n0m b x=" + value + " label:room=r")
				for i, room := range []string{"s", "r", "s", "s", "r"} {
					s.play(fmt.Sprintf("%dm b x=%s label:room=%s", i+1, value, room))
					want := 1
					if room == "r" {
						want = 2
					}
					for range 2 {
						if x := s.fare(); x.Alarms != want {
							t.Errorf("in room %s after %dm: %d alarms, want %d", room, i+1, x.Alarms, want)
						}
						s.play(fmt.Sprintf("%dm reload", i+1))
					}
				}
			})
		}
	}
}
