package rules

import (
	"slices"
	"testing"
)

func TestDevicesAreFoundBySelection(t *testing.T) {
	s := newScene(t, "[metric.x]\nunit = \"°C\"\n[device.e]\ntype = \"probe\"\n[rule.warm]\nmetric = \"x\"\nabove = \"5 °C\"\nseverity = \"major\"\n")
	s.play(`
		0s b x=1
		0s a x=9
		0s D x=2
		1s lost b`)
	for _, c := range []struct {
		q    DeviceQuery
		want []string
	}{
		{DeviceQuery{}, []string{"D", "a", "b", "e"}},
		{DeviceQuery{Alarming: true}, []string{"a"}},
		{DeviceQuery{Presence: "lost"}, []string{"b"}},
		{DeviceQuery{Contains: "d"}, []string{"D"}},
		{DeviceQuery{Contains: "z"}, nil},
	} {
		var got []string
		for _, d := range s.e.Select(c.q) {
			got = append(got, d.ID)
			if want := map[bool]Severity{true: Major}[d.ID == "a"]; d.Severity != want || d.Heard.IsZero() != (d.ID == "e") {
				t.Errorf("%+v", d)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.q, got, c.want)
		}
	}
	r, ok := s.e.Report("a")
	if !ok || r.Alarms != 1 || r.Severity != Major || r.Foremost != "x" || r.Declared || len(r.Values) != 1 || r.Values[0].Value != 9.0 || r.Values[0].Unit != "°C" {
		t.Errorf("%v %+v", ok, r)
	}
	if r, ok := s.e.Report("e"); !ok || !r.Declared || r.Type != "probe" || !r.Heard.IsZero() {
		t.Errorf("%v %+v", ok, r)
	}
	if _, ok := s.e.Report("nobody"); ok {
		t.Error("a device that nobody has heard of is reported on")
	}
}
