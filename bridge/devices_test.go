package bridge_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

// A list that is paged through, by names or by places, misses no device.
func TestPagesOfManyDevicesMissNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		var want []string
		for i := range 1000 {
			id := fmt.Sprintf("%c%d", 'a'+i*7919%26, i)
			want = append(want, id)
			w.mustSend(id, "temperature", map[bool]float64{true: -10, false: -20}[i%100 == 42])
		}
		slices.Sort(want)
		ids := func(q bridge.DeviceQuery) (list []string, page bridge.DevicePage) {
			page, err := w.Devices(q)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range page.Devices {
				list = append(list, d.ID)
			}
			return list, page
		}
		var byName, byPlace []string
		for more, skip := true, 0; more; skip += 77 {
			q := bridge.DeviceQuery{Limit: 77}
			if len(byName) > 0 {
				q.After = byName[len(byName)-1]
			}
			names, page := ids(q)
			places, _ := ids(bridge.DeviceQuery{Limit: 77, Skip: skip})
			byName, byPlace = append(byName, names...), append(byPlace, places...)
			if more = page.More; page.Total != 1000 {
				t.Errorf("%d in all", page.Total)
			}
		}
		equal(t, "by name", byName, want)
		equal(t, "by place", byPlace, want)
		worst, page := ids(bridge.DeviceQuery{Order: bridge.BySeverity, Limit: 11})
		if page.Devices[9].Severity != rules.Warning || page.Devices[9].Foremost != "temperature" || page.Devices[10].Severity != rules.Unset || worst[10] != want[0] || !slices.IsSorted(worst[:10]) {
			t.Errorf("the worst first: %+v", page.Devices)
		}
		if silent, _ := ids(bridge.DeviceQuery{Order: bridge.ByHeard, Limit: 1}); silent[0] != "a0" {
			t.Errorf("the longest silent is %s", silent)
		}
		if none, page := ids(bridge.DeviceQuery{Skip: 5000}); len(none) != 0 || page.More || page.Devices == nil {
			t.Errorf("behind the last: %+v", page)
		}
		if alarming, page := ids(bridge.DeviceQuery{DeviceQuery: rules.DeviceQuery{Alarming: true}}); len(alarming) != 10 || page.Total != 10 {
			t.Errorf("alarming: %+v", page)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// A small chart shows what the worst alarm of a device is about.
func TestSeriesShowWhatIsAlarming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.remembers = true
		w.start()
		begun := time.Now()
		for i := range 10 {
			w.mustSend("a", "humidity", float64(50+i))
			w.mustSend("a", "temperature", -20+float64(i))
			w.mustSend("b", "humidity", 7)
			time.Sleep(time.Minute)
		}
		time.Sleep(2 * time.Second) // until it is written
		q := bridge.SeriesQuery{Devices: []string{"b", "nobody", "a"}, From: begun, Points: 5}
		page, err := w.Series(t.Context(), q)
		if err != nil || !page.History || len(page.Series) != 2 || page.Since != begun || page.Step < 2*time.Minute || page.Step > 121*time.Second {
			t.Fatalf("%+v, %v", page, err)
		}
		b, a := page.Series[0], page.Series[1]
		if b.Device != "b" || b.Metric != "humidity" || a.Device != "a" || a.Metric != "temperature" {
			t.Fatalf("%+v", page.Series)
		}
		for i, high := range []float64{-18, -16, -14, -12, -11} { // a part is a little more than two minutes
			low := -20.0
			if i > 0 {
				low = *a.High[i-1] + 1
			}
			if *a.Low[i] != low || *a.High[i] != high || *a.Last[i] != high || *b.Low[i] != 7 {
				t.Errorf("part %d: %v … %v, %v", i, *a.Low[i], *a.High[i], *b.Low[i])
			}
		}
		q.Metric, q.From = "humidity", begun.Add(-50*time.Minute)
		if page, err = w.Series(t.Context(), q); err != nil || page.Series[1].Metric != "humidity" || page.Series[1].Low[0] != nil || *page.Series[1].High[4] != 59 {
			t.Errorf("%+v, %v", page, err)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
		w.remembers = false
		w.start()
		if page, err := w.Series(t.Context(), q); err != nil || page.History || len(page.Series) != 0 {
			t.Errorf("without a history: %+v, %v", page, err)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}
