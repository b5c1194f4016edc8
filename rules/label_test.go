package rules

import (
	"fmt"
	"slices"
	"testing"
)

// labelled plays a reading that carries labels.
func (r *run) labelled(minute, v float64, flags Flags, labels map[string]string) {
	r.t.Helper()
	s := reading(minutes(minute), v)
	s.Labels, s.Flags = labels, flags
	r.step(Input{Now: minutes(minute), Sample: s})
}

// scopedFile has a rule for every device and one for those in Lyon.
func scopedFile(t tb) *File {
	file := coldFile(freezer(t))
	file.Device = nil
	lyon := freezer(t)
	lyon.Devices, lyon.For, lyon.ClearFor = Scope{"label:site=lyon"}, dur(t, "0s"), dur(t, "0s")
	lyon.Title = "{device} in {label.site}, {label.room}"
	file.Rule["lyon"] = lyon
	return file
}

func TestLabelsOfSamplesAreThoseOfTheDevice(t *testing.T) {
	file := scopedFile(t)
	file.Device = map[string]*DeviceDef{"freezer-07": {Labels: map[string]string{"room": "cold-1"}}}
	var routed []string
	r := newRun(t, mustCompile(t, file), Options{Route: func(ev *Event) []string {
		routed = append(routed, fmt.Sprint(ev.Device.Labels))
		return []string{"ops"}
	}})
	r.labelled(0, -14, 0, map[string]string{"site": "lyon", "room": "not as declared"})
	if len(r.events) != 1 || r.events[0].Rule.ID != "lyon" || r.events[0].Title != "freezer-07 in lyon, cold-1" {
		t.Errorf("told %q", r.bytes)
	}
	if want := []string{"map[room:cold-1 site:lyon]"}; !slices.Equal(routed, want) {
		t.Errorf("routed by %q, want %q", routed, want)
	}
}

func TestLabelsSurviveARestart(t *testing.T) {
	p := mustCompile(t, scopedFile(t))
	r := newRun(t, p, Options{})
	r.labelled(0, -14, 0, map[string]string{"site": "lyon"})
	r.restart(p)
	r.sample(minutes(1), -20) // by a way that knows no labels
	if n := len(r.events); n != 2 || r.events[1].Type != AlarmResolved || r.events[1].Device.Labels["site"] != "lyon" {
		t.Errorf("told %q", r.bytes)
	}
}

func TestLabelsThatComeLaterBindTheirRules(t *testing.T) {
	for _, restart := range []bool{false, true} {
		p := mustCompile(t, scopedFile(t))
		r := newRun(t, p, Options{})
		r.sample(start, -14) // pending, by the rule for every device
		if restart {
			r.restart(p)
		}
		r.labelled(1, -14, 0, map[string]string{"site": "lyon"})
		r.e.Step(Input{Now: minutes(1)}, &r.out)
		r.out.Stamp(7) // the alarm under way has moved, and is the same
		r.tick(minutes(20))
		if want := []string{"0s pending", "1m fired warning", "10m fired warning"}; !slices.Equal(r.log, want) {
			t.Errorf("got %q, want %q", r.log, want)
		}
		if r.out.Depends != 7 {
			t.Errorf("rests on %d, want 7", r.out.Depends)
		}
		if ev := r.events[1]; ev.Rule.ID != "freezer-warm" || ev.Device.Labels["site"] != "lyon" {
			t.Errorf("told %s", r.bytes[1])
		}
	}
}

func TestADeviceThatMovesKeepsTheAlarmUnderWay(t *testing.T) {
	p := mustCompile(t, scopedFile(t))
	for _, restart := range []bool{false, true} {
		r := newRun(t, p, Options{})
		lyon, paris := map[string]string{"site": "lyon"}, map[string]string{"site": "paris"}
		r.labelled(0, -14, 0, lyon)
		r.labelled(1, -14, 0, paris)
		if restart {
			r.restart(p)
		}
		r.labelled(2, -20, 0, paris)
		r.labelled(3, -14, 0, paris)
		r.labelled(4, -20, 0, paris)
		r.labelled(5, -14, Retained, lyon) // of another time: not believed
		r.labelled(6, -14, 0, paris)
		if len(r.events) != 2 || r.events[1].Type != AlarmResolved || r.events[1].Device.Labels["site"] != "paris" {
			t.Errorf("told %q", r.bytes)
		}
		r.labelled(7, -20, 0, paris)
		r.labelled(8, -14, 0, lyon)
		if len(r.events) != 3 || r.events[2].Rule.ID != "lyon" {
			t.Errorf("back in Lyon: told %q", r.bytes)
		}
	}
}

func TestLabelsCostNoMemoryPerSample(t *testing.T) {
	e := NewEngine(mustCompile(t, scopedFile(t)), Options{})
	s := reading(start, -20)
	var out Output
	both := []map[string]string{{"site": "lyon"}, {"line": "3"}} // of two sources
	i := 0
	if n := testing.AllocsPerRun(100, func() {
		i++
		s.At, s.Labels = minutes(float64(i)), both[i%2]
		e.Step(Input{Now: s.At, Sample: s}, &out)
	}); n != 0 {
		t.Errorf("%v allocations a sample", n)
	}
	if l := e.devices[s.Device].def.Labels; len(l) != 2 {
		t.Errorf("labels %v", l)
	}
}
