package rules

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const onlyDeclared = `
[defaults]
register = "declared"
[device.pump]
type = "pump"
[rule.hot]
metric = "temperature"
above  = 20
[rule.gone]
silent = "10m"
`

func TestUndeclaredDeviceIsRefusedAndCounted(t *testing.T) {
	s := newScene(t, onlyDeclared)
	refused := func(story string, want ...string) {
		t.Helper()
		s.play(story)
		if !slices.Equal(s.out.Problems, want) {
			t.Errorf("%s: problems %q, want %q", story, s.out.Problems, want)
		}
	}
	refused("0m pump temperature=21")
	refused("1m stray temperature=21", "undeclared")
	refused("1m stray temperature=22", "undeclared")
	refused("2m stray nobody-asks=1", "undeclared")
	refused("2m stray nobody-asks=1 temperature=30", "undeclared")
	refused("3m batch stray temperature -4m=30 0s=40", "undeclared", "undeclared")
	refused("3m online stray", "undeclared")
	s.play("20m tick")
	s.expect("0s fired warning hot/pump", "10m fired warning gone/pump")
	if h := s.e.Registered(); h.Registered != 0 || s.e.Devices() != 1 {
		t.Errorf("%d devices are known, %d of them undeclared; want the declared one", s.e.Devices(), h.Registered)
	}
}

func TestAlarmOfDeviceThatMustBeDeclaredNowIsCancelled(t *testing.T) {
	s := newScene(t, strings.Replace(onlyDeclared, `"declared"`, `"auto"`, 1))
	s.play("0m stray temperature=21\n1m pump temperature=21")
	s.change(func(f *File) { f.Defaults.Register = "declared" }).play("2m reload\n3m stray temperature=10\n4m pump temperature=10")
	s.expect("0s fired warning hot/stray", "1m fired warning hot/pump",
		"2m cancelled warning hot/stray reason=rule_changed", "4m resolved warning hot/pump")
}

func TestUndeclaredDeviceIsNotRememberedWhereItMustBeDeclared(t *testing.T) {
	s := newScene(t, strings.Replace(onlyDeclared, `"declared"`, `"auto"`, 1))
	s.play("0m stray temperature=2")
	s.change(func(f *File) { f.Defaults.Register = "declared" }).play("1m reload\n30m pump temperature=2")
	s.expect("10m fired warning gone/pump", "30m resolved warning gone/pump")
	if n := s.e.Devices(); n != 1 {
		t.Errorf("%d devices are known, want 1", n)
	}
}

// The store still knows alarms of a device that memory does not: nobody listened
// for it meanwhile, so it has its time to be heard.
func TestDeviceThatMemoryDoesNotKnowIsListenedForAnew(t *testing.T) {
	s := newScene(t, strings.Replace(onlyDeclared, `"declared"`, `"auto"`, 1))
	s.play("0m stray temperature=21\n1m pump temperature=2\n1m stray temperature=21")
	s.change(func(f *File) { f.Defaults.Register = "declared" }).play("2m reload")
	for at := 3; at <= 60; at++ {
		s.play(fmt.Sprintf("%dm pump temperature=2", at))
	}
	s.change(func(f *File) { f.Defaults.Register = "auto" })
	p, problems := Compile(s.file)
	if p == nil {
		t.Fatal(problems)
	}
	memory, _ := snapshot(t, s.e)
	e := NewEngine(p, s.e.options)
	for _, record := range memory {
		if err := e.Recall(record); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range s.stored {
		var st State
		if err := json.Unmarshal(text, &st); err != nil {
			t.Fatal(err)
		}
		e.Restore(st)
	}
	s.e = e
	s.play("61m pump temperature=2\n68m pump temperature=2\n71m pump temperature=2")
	s.expect("0s fired warning hot/stray", "2m cancelled warning hot/stray reason=rule_changed", "1h10m fired warning gone/stray")
}

func TestRegisterSaysWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"[defaults]\nregister = \"ask\"":                                `defaults.register: "ask" is no way to register devices`,
		"[defaults]\nregister = \"declared\"":                           "defaults.register: no device is declared, so every reading is refused",
		"[defaults]\nregister = \"declared\"\n[device.a]\ntype = \"x\"": "",
		"[defaults]\nregister = \"auto\"":                               "",
	} {
		f := readFile(t, text)
		_, list := Compile(f)
		got := ""
		for _, p := range list {
			got += strings.Join(p.Path, ".") + ": " + p.Fact
		}
		if got != want {
			t.Errorf("%s\nsays %q, want %q", text, got, want)
		}
	}
}

// crowd is a scene whose engine gets to know ten undeclared devices.
func crowd(t *testing.T) *scene {
	s := newScene(t, "[device.known]\ntype = \"x\"\n[rule.hot]\nmetric = \"temperature\"\nabove = 20")
	s.run = newRun(t, s.e.program, Options{MaxDevices: 10, Route: toldOfDevices})
	return s
}

func toldOfDevices(ev *Event) []string {
	if strings.HasPrefix(string(ev.Type), "devices.") {
		return []string{"ops"}
	}
	return nil
}

func (s *scene) report(minute, from, to int) {
	for i := from; i <= to; i++ {
		s.play(fmt.Sprintf("%dm d%d temperature=1", minute, i))
	}
}

func TestNearlyAllDevicesIsToldOnceAndItsEnd(t *testing.T) {
	s := crowd(t)
	s.report(1, 1, 7)
	s.expect()
	s.report(2, 8, 8)
	s.expect("2m devices.near_limit")
	ev := s.events[len(s.events)-1]
	if want := (Headcount{8, 10}); ev.Devices == nil || *ev.Devices != want {
		t.Errorf("told of %+v, want %+v", ev.Devices, want)
	}
	s.report(3, 1, 12)
	s.play("4m restart\n5m tick\n6m reload\n7m d1 temperature=2\n8m d13 temperature=1")
	if !slices.Equal(s.out.Problems, []string{"devices"}) {
		t.Errorf("problems %q: the eleventh device was not refused", s.out.Problems)
	}
	s.expect() // told, and so it stays
	declare := func(from, to int) {
		s.change(func(f *File) {
			for i := from; i <= to; i++ {
				f.Device[fmt.Sprint("d", i)] = &DeviceDef{Type: "x"}
			}
		})
	}
	declare(1, 3)
	s.play("10m reload") // seven are left
	s.expect()
	declare(4, 4)
	s.play("11m reload")
	if s.keepTold(); !slices.Equal(s.told, []string{"11m devices.below_limit"}) {
		t.Errorf("told %q, want that there is room again", s.told)
	}
	s.told = nil
	s.report(12, 14, 15)
	s.expect("12m devices.near_limit")
}

// keepTold takes down what a reload has told.
func (s *scene) keepTold() {
	if n := len(s.events); n > 0 && len(s.told) == 0 {
		s.told = append(s.told, brief(&s.events[n-1]))
	}
}

func TestLimitOnDevicesThatChangesWithARestartIsTold(t *testing.T) {
	s := crowd(t)
	s.report(1, 1, 8)
	s.expect("1m devices.near_limit")
	down := func(minute int) {
		at := start.Add(time.Duration(minute) * time.Minute)
		s.e.Resume(at.Add(-time.Minute), at)
	}
	s.e.options.MaxDevices = 100
	s.play("2m restart")
	down(3)
	s.play("3m tick")
	s.expect("3m devices.below_limit")
	s.e.options.MaxDevices = 9
	s.play("4m restart")
	down(5)
	s.play("5m tick")
	s.expect("5m devices.near_limit")
}

func TestNearLimitIsNotToldAgainAfterACrash(t *testing.T) {
	s := crowd(t)
	s.report(1, 1, 8)
	e := NewEngine(s.e.program, s.e.options)
	for i := range 8 {
		v := *reading(start, 1)
		v.Device, v.Metric = fmt.Sprint("d", i), "temperature"
		e.Rehearse(Input{Now: start, Sample: &v})
	}
	s.expect("1m devices.near_limit")
	s.e = e
	s.play("2m tick\n3m d1 temperature=1")
	s.expect()
}
