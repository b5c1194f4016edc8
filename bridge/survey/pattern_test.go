package survey_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"tocsin/bridge/survey"
)

// found are the sources that are proposed for messages, written "topic payload", as
// "template decoder".
func found(t *testing.T, messages ...string) (*survey.Proposal, []string) {
	t.Helper()
	s, err := survey.New(survey.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range messages {
		topic, payload, _ := strings.Cut(m, " ")
		s.Take(at(i, topic, payload))
	}
	p := s.Propose()
	var got []string
	for _, src := range p.Found {
		got = append(got, src.Topic+" "+src.Decoder)
	}
	return p, got
}

func TestTopicsAreGroupedByWhatVariesInThem(t *testing.T) {
	f := func(want []string, messages ...string) {
		t.Helper()
		if _, got := found(t, messages...); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	const climate = ` {"temperature":21,"humidity":40}`
	f([]string{"plants/{plant}/{device}/telemetry json"},
		"plants/lyon/f1/telemetry"+climate, "plants/lyon/f2/telemetry"+climate, "plants/paris/f3/telemetry"+climate)
	f([]string{"plant/{device}/telemetry json"}, "plant/f1/telemetry"+climate) // one device is one of several
	f([]string{"home/{device}/{metric} scalar"}, "home/cellar/temperature 4", "home/attic/temperature 30", "home/attic/humidity 30")
	f([]string{"sensors/{metric}/{device} scalar"}, "sensors/temperature/a 4", "sensors/humidity/b 30", "sensors/temperature/b 3")
	f([]string{"dev/{device}/sensor json", "dev/{device}/status presence"},
		"dev/a/status online", "dev/b/status offline", "dev/a/sensor"+climate, "dev/b/sensor"+climate)
	f([]string{"tele/{device}/SENSOR json", "tele/{device}/STATE json"},
		"tele/a/SENSOR"+climate, "tele/b/SENSOR"+climate, `tele/a/STATE {"uptime":3}`, `tele/b/STATE {"uptime":4}`)
	f([]string{"gateway/up json"}, `gateway/up {"devEUI":"a","t":1}`, `gateway/up {"devEUI":"b","t":1}`)
	f([]string{"/{device}/telemetry json"}, "/f1/telemetry"+climate, "/f2/telemetry"+climate)
	f([]string{"homes/{home}/{device}/state json", "plants/{plant}/{device}/telemetry json"},
		`homes/x/lamp/state {"on":true}`, `homes/y/lamp2/state {"on":true}`, "plants/lyon/f1/telemetry"+climate, "plants/paris/f2/telemetry"+climate)
	f([]string{"bulk/{device} json"}, `bulk/a [{"t":1},{"t":2}]`, `bulk/b [{"t":1}]`)
}

func TestWhatCannotBeDecodedIsSaidWithItsReason(t *testing.T) {
	f := func(why string, messages ...string) {
		t.Helper()
		p, _ := found(t, messages...)
		if len(p.Faults) != 1 || !strings.Contains(p.Faults[0].Why, why) || !strings.Contains(p.FaultText(), why) {
			t.Errorf("%q: %+v, want %q", messages, p.Faults, why)
		}
	}
	f("Sparkplug B", "spBv1.0/g/NDATA/e \x00\xff")
	f("binary", "plant/a \x00\xff")
	f("json", `plant/a {"t":1,`)
	f("duplicate", `plant/a {"t":1,"t":2}`)
	f("neither a value nor JSON", "plant/a <xml><t>1</t></xml>")
	f("too many topics", func() (m []string) {
		for i := range 20_010 {
			m = append(m, fmt.Sprintf("plant/d%d 1", i))
		}
		return m
	}()...)
	f("cannot be written", "plant/{a} 1")
	f("the broker's own", "$SYS/broker/uptime 1", "plant/a 1")
}

func TestUnitsComeFromPayloadNameAndValues(t *testing.T) {
	f := func(want string, messages ...string) {
		t.Helper()
		p, _ := found(t, messages...)
		if !strings.Contains(p.Rules, want) {
			t.Errorf("%q: no %q in\n%s", messages, want, p.Rules)
		}
	}
	f("[metric.temperature]\nunit  = \"°C\"   # by its name", `p/a {"temperature":21}`)
	f("[metric.temperature]\nunit  = \"°F\"   # the payload says so", "p/a/temperature 70 °F")
	f("[metric.outdoorTemp_f]\nunit  = \"°F\"", `p/a {"outdoorTemp_f":70}`)
	f("[metric.\"probe.0.t_kPa\"]\nunit  = \"kPa\"", `p/a {"probe":[{"t_kPa":3}]}`)
	f("[metric.battery]\nunit  = \"%\"", `p/a {"battery":90}`)
	f("[metric.battery]\n\n", `p/a {"battery":3300}`) // not in per cent, then
	f("[metric.running]\ntype = \"bool\"", `p/a {"running":true}`)
	f("# 2 readings of 1 sender: idle, busy\n[metric.mode]\ntype = \"text\"", `p/a {"mode":"idle"}`, `p/a {"mode":"busy"}`)
	f("#below  = \"20 %\"", `p/a {"battery":90}`)
	f("#above  = \"43 °C\"", `p/a {"temperature":20}`, `p/a {"temperature":38}`)
}

// What a fleet sends for a minute is looked at in some memory, and what a flood of
// made-up names sends, in no more.
func TestMemoryIsBounded(t *testing.T) {
	s, err := survey.New(survey.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 100_000 {
		s.Take(at(0, fmt.Sprintf("flood/%d/up", i), fmt.Sprintf(`{"m%d":1,"n%d":2,"o%d":"%d"}`, i, i, i, i)))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if used := int64(after.HeapAlloc) - int64(before.HeapAlloc); used > 100<<20 {
		t.Errorf("%d MiB are in use after a flood", used>>20)
	}
	messages, topics := s.Seen()
	if messages != 100_000 || topics != 20_000 {
		t.Errorf("%d messages, %d topics", messages, topics)
	}
	if p := s.Propose(); len(p.Rules) > 1<<20 || len(p.Sources) > 1<<20 {
		t.Errorf("a proposal of %d and %d bytes", len(p.Sources), len(p.Rules))
	}
}
