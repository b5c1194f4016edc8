package bridge_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tocsin/bridge/history"
	"tocsin/broker"
	"tocsin/rules"
)

// silentRule misses a device after an hour.
func silentRule() map[string]*rules.RuleDef {
	return map[string]*rules.RuleDef{"silent": {
		Source: "rules.toml:1", Severity: rules.Major,
		Condition: rules.Condition{Silent: &rules.Silent{After: rules.Duration(time.Hour)}},
	}}
}

// live plays what clients of the embedded broker do, one line each:
//
//	gw comes, gw drops, gw says goodbye, gw is closed
//	gw: freezer-1            a reading of a device, through a client
//	gw: freezer-1 sleeping   what a device says of itself
//	gw will: freezer-1       a reading that the broker sends in the client's place
//	wait 30s
func (w *world) live(story string) {
	w.t.Helper()
	for line := range strings.Lines(story) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if words[0] == "wait" {
			d, err := time.ParseDuration(words[1])
			if err != nil {
				w.t.Fatal(err)
			}
			time.Sleep(d)
			continue
		}
		time.Sleep(time.Millisecond)
		client, speaks := strings.CutSuffix(words[0], ":")
		will := !speaks && words[1] == "will:"
		if will {
			words = words[1:]
		}
		if !speaks && !will {
			kinds := map[string]broker.Attendance{"comes": broker.Connected, "says": broker.Disconnected, "drops": broker.Dropped, "is": broker.Closed}
			kind, ok := kinds[words[1]]
			if !ok {
				w.t.Fatalf("no such line: %s", line)
			}
			ev := broker.ClientEvent{Client: client, Kind: kind}
			if kind == broker.Dropped {
				ev.Reason = "keep-alive expired"
			}
			w.Client(ev)
			continue
		}
		m := broker.Message{Topic: "plant/" + words[1], Payload: []byte(`{"temperature":-20}`), Client: client, Will: will, Received: time.Now()}
		if len(words) == 3 {
			m.Topic, m.Payload = "lwt/"+words[1], []byte(words[2])
		}
		if receipt := w.Handle(m); receipt != nil {
			if err := receipt(w.t.Context()); err != nil {
				w.t.Fatalf("%s: %v", line, err)
			}
		}
	}
	synctest.Wait()
}

// held is how a device gets known to be connected.
const held = `
	gw comes
	gw: freezer-1
	wait 1s
	gw: freezer-1
	`

func TestADroppedConnectionLosesItsDevices(t *testing.T) {
	const fired, resolved = "silent/freezer-1 alarm.fired", "silent/freezer-1 alarm.resolved"
	for name, test := range map[string]struct {
		story string
		want  []string
	}{
		"for good":                        {held + "gw drops\nwait 29s", nil},
		"for longer than the grace":       {held + "gw drops\nwait 31s", []string{fired}},
		"and its client returns":          {held + "gw drops\nwait 20s\ngw comes\nwait 10m", nil},
		"and its client returns late":     {held + "gw drops\nwait 40s\ngw comes", []string{fired, resolved}},
		"and it returns by another":       {held + "gw drops\nwait 20s\nother comes\nother: freezer-1\nwait 10m", nil},
		"and returns, and drops, unheard": {held + "gw drops\nwait 20s\ngw comes\nwait 5s\ngw drops\nwait 31s", []string{fired}},
		"again":                           {held + "gw drops\nwait 40s\ngw comes\nwait 5s\ngw drops\nwait 31s", []string{fired, resolved, fired}},
		"after a goodbye":                 {held + "gw says goodbye\nwait 10m", nil},
		"after we closed it":              {held + "gw is closed\nwait 10m", nil},
		"after we closed one before":      {held + "gw is closed\ngw comes\ngw drops\nwait 31s", []string{fired}},
		"when heard of once":              {"gw comes\ngw: freezer-1\nwait 1m\ngw drops\nwait 10m", nil},
		"when it only woke up":            {"gw comes\ngw: freezer-1\nwait 900ms\ngw: freezer-1\ngw drops\nwait 10m", nil},
		"when it wakes up each minute":    {strings.Repeat("gw comes\ngw: freezer-1\ngw: freezer-1\ngw drops\nwait 1m\n", 10), nil},
		"when it has moved on":            {held + "other comes\nother: freezer-1\ngw drops\nwait 10m", nil},
		"when it was heard there once":    {held + "other comes\nother: freezer-1\nother drops\nwait 10m", nil},
		"when it has moved and stayed":    {held + "other comes\nother: freezer-1\nwait 2s\nother: freezer-1\nother drops\nwait 31s", []string{fired}},
		"when it said it would sleep":     {held + "gw: freezer-1 sleeping\ngw drops\nwait 31s", nil},
		"when it slept before":            {held + "gw: freezer-1 sleeping\ngw: freezer-1\ngw drops\nwait 31s", []string{fired}},
		"and its will says so too":        {held + "gw: freezer-1 offline\ngw drops\nwait 31s", []string{fired}},
		"and its will is a reading":       {held + "gw will: freezer-1\ngw drops\nwait 31s", []string{fired}},
		"and its will comes late":         {held + "gw drops\nwait 5s\ngw will: freezer-1\nwait 31s", []string{fired}},
		"that nobody announced":           {"gw: freezer-1\nwait 1s\ngw: freezer-1\ngw drops\nwait 10m", nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "ops")
				w.rules.Rule, w.presence = silentRule(), "lwt/{device}"
				w.start()
				w.live(test.story)
				equal(t, "told", alarms(w.endpoints["ops"]), test.want)
				if err := w.halt(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

func TestALostDeviceIsExplained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.rules.Rule = silentRule()
		w.start()
		w.live(held + "gw drops\nwait 31s")
		got := w.endpoints["ops"].list()
		if len(got) != 1 || !strings.Contains(got[0].Body, "lost since") || !strings.Contains(got[0].Body, ": keep-alive expired") {
			t.Errorf("told %+v, want why the device is lost", got)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAGatewayLosesAllItsDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.rules.Rule = silentRule()
		w.start()
		w.live("gw comes\nother comes")
		for range 2 {
			for i := range 20 {
				w.live(fmt.Sprintf("gw: d%02d\nother: e%02d", i, i))
			}
			time.Sleep(time.Second)
		}
		w.live("other: d07\ngw drops\nwait 31s")
		var want []string
		for i := range 20 {
			if i != 7 { // heard through the other
				want = append(want, fmt.Sprintf("silent/d%02d alarm.fired", i))
			}
		}
		got := alarms(w.endpoints["ops"])
		slices.Sort(got)
		equal(t, "told", got, want)
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// A device that is missed already is not back because its gateway is.
func TestAGatewayThatReturnsIsNoWordOfItsDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.rules.Rule = silentRule()
		w.start()
		w.live(held + "wait 61m\ngw drops\nwait 5s\ngw comes\nwait 10m")
		equal(t, "told", alarms(w.endpoints["ops"]), []string{"silent/freezer-1 alarm.fired"})
		w.live("gw: freezer-1")
		equal(t, "told", alarms(w.endpoints["ops"]), []string{"silent/freezer-1 alarm.fired", "silent/freezer-1 alarm.resolved"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestPresenceNoneLosesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.rules.Rule, w.loose = silentRule(), []string{"plant"}
		w.start()
		w.live(held + "gw drops\nwait 10m")
		equal(t, "told", alarms(w.endpoints["ops"]), nil)
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// Who drops while nothing can be stored is lost when it can be again.
func TestADropIsRememberedOverAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.rules.Rule, w.remembers = silentRule(), true
		full := w.fillable()
		w.start()
		w.live(held + "wait 2s")
		full.Store(true)
		w.live("other comes\nother: freezer-2\nwait 1s\nother: freezer-2\nother drops")
		time.Sleep(31 * time.Second) // the alarm cannot be stored, and the engine is dropped
		w.live("gw drops\nwait 1m")
		equal(t, "told", alarms(w.endpoints["ops"]), nil)
		full.Store(false)
		time.Sleep(35 * time.Second)
		got := alarms(w.endpoints["ops"])
		slices.Sort(got)
		equal(t, "told", got, []string{"silent/freezer-1 alarm.fired", "silent/freezer-2 alarm.fired"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// What is known of connections is history like readings are, each after what came
// by it before, so that a replay is the same.
func TestPresenceIsRecordedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.rules.Rule, w.remembers = silentRule(), true
		w.start()
		w.live(held + "gw drops\nwait 20s\ngw comes\ngw says goodbye\nwait 2s")
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for in, err := range history.ReplayFile(t.Context(), filepath.Join(w.dir, "history"), time.Time{}) {
			switch {
			case err != nil:
				t.Fatal(err)
			case in.Sample != nil:
				got = append(got, "reading")
			case in.Presence != nil:
				got = append(got, in.Presence.Status.String())
			}
		}
		equal(t, "recorded", got, []string{"reading", "reading", "online", "lost", "online", "unknown"})
	})
}

// A lost device is lost after a crash too.
func TestALossSurvivesACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.rules.Rule, w.remembers = silentRule(), true
		w.start()
		w.live(held + "gw drops\nwait 5s")
		w.crash()
		w.start()
		time.Sleep(31 * time.Second)
		equal(t, "told", alarms(w.endpoints["ops"]), []string{"silent/freezer-1 alarm.fired"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestDevicesAreCountedByPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		w.rules.Rule, w.presence, w.registry = silentRule(), "lwt/{device}", prometheus.NewRegistry()
		w.start()
		for _, step := range []struct{ story, want string }{
			{"gw comes\ngw: freezer-1", "unknown=1"},
			{"gw: freezer-2\nwait 1s\ngw: freezer-1\ngw: freezer-2", "online=2"},
			{"gw: freezer-2 sleeping", "online=1 sleeping=1"},
			{"gw drops", "lost=1 sleeping=1"},
			{"gw comes", "online=1 sleeping=1"},
			{"gw says goodbye", "sleeping=1 unknown=1"},
		} {
			w.live(step.story)
			if got := w.presences(); got != step.want {
				t.Errorf("after %q: %s, want %s", step.story, got, step.want)
			}
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// presences reads tocsin_devices, the zeros left out.
func (w *world) presences() string {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for _, f := range families {
		if f.GetName() != "tocsin_devices" {
			continue
		}
		if len(f.GetMetric()) != 5 {
			w.t.Errorf("%d states of presence, want all 5 at all times", len(f.GetMetric()))
		}
		for _, m := range f.GetMetric() {
			if v := m.GetGauge().GetValue(); v != 0 {
				all = append(all, fmt.Sprintf("%s=%v", m.GetLabel()[0].GetValue(), v))
			}
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}
