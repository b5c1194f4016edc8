package rules

import (
	"slices"
	"testing"
)

func TestDevicesAreListedInOrderAndBySelection(t *testing.T) {
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
		{DeviceQuery{Limit: 2}, []string{"D", "a"}},
		{DeviceQuery{Limit: 2, After: "a"}, []string{"b", "e"}},
		{DeviceQuery{Alarming: true}, []string{"a"}},
		{DeviceQuery{Presence: "lost"}, []string{"b"}},
		{DeviceQuery{Contains: "d"}, []string{"D"}},
		{DeviceQuery{After: "z"}, nil},
	} {
		var got []string
		for _, r := range s.e.Reports(c.q) {
			got = append(got, r.ID)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.q, got, c.want)
		}
	}
	r, ok := s.e.Report("a")
	if !ok || r.Alarms != 1 || r.Severity != Major || r.Declared || len(r.Values) != 1 || r.Values[0].Value != 9.0 || r.Values[0].Unit != "°C" {
		t.Errorf("%v %+v", ok, r)
	}
	if r, ok := s.e.Report("e"); !ok || !r.Declared || r.Type != "probe" || !r.Heard.IsZero() {
		t.Errorf("%v %+v", ok, r)
	}
	if _, ok := s.e.Report("nobody"); ok {
		t.Error("a device that nobody has heard of is reported on")
	}
}

// A page is cut out of many devices while they are looked at.
func TestPagesOfManyDevicesMissNone(t *testing.T) {
	s := newScene(t, "[rule.warm]\nmetric = \"x\"\nabove = 5\n")
	var want []string
	for i := range 3000 {
		id := string([]rune{'a' + rune(i*7919%26), 'a' + rune(i/26%26), 'a' + rune(i/676)})
		if !slices.Contains(want, id) {
			want = append(want, id)
		}
		s.play("0s " + id + " x=1")
	}
	slices.Sort(want)
	var got []string
	for after := ""; ; {
		page := s.e.Reports(DeviceQuery{After: after, Limit: 100})
		for _, r := range page {
			got = append(got, r.ID)
		}
		if len(page) < 100 {
			break
		}
		after = page[99].ID
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d devices on pages, want %d", len(got), len(want))
	}
}
