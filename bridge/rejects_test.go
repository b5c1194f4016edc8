package bridge_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bridge"
	"tocsin/broker"
)

// What was not used can be asked for: by source and reason, how many, and the newest
// of each kind, in bounded texts.
func TestUnusedInputIsKeptToBeShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		begun := time.Now()
		hand := func(topic, payload string) {
			w.Handle(broker.Message{Topic: topic, Payload: []byte(payload), Client: strings.Repeat("c", 1000), Received: time.Now()})
		}
		hand("plant/a", `{"temperature":`)
		time.Sleep(50 * time.Minute)
		hand("plant/b", `{`+strings.Repeat("x", 1000))
		time.Sleep(30 * time.Minute) // the first was not in the last hour
		hand("hall/"+strings.Repeat("é", 500), "1")
		list, since := w.Rejects()
		if len(list) != 2 || !since.Equal(begun) {
			t.Fatalf("since %s: %+v", since, list)
		}
		lost, bad := list[0], list[1]
		if lost.Source != "" || lost.Reason != "unmatched" || lost.Count != 1 || lost.Bytes != 1 || len(lost.Topic) > 260 || len(lost.Client) > 260 || !strings.HasSuffix(lost.Topic, "é…") {
			t.Errorf("%+v", lost)
		}
		if bad.Source != "plant" || bad.Reason != "json" || bad.Count != 2 || bad.LastHour != 1 || bad.Topic != "plant/b" || bad.Bytes != 1001 ||
			len(bad.Payload) != 256 || !bad.First.Equal(begun) || bad.Last.Sub(begun) != 50*time.Minute || bad.Detail == "" {
			t.Errorf("%+v", bad)
		}
		time.Sleep(31 * time.Minute)
		if list, _ := w.Rejects(); list[1].LastHour != 0 || list[0].LastHour != 1 {
			t.Errorf("an hour later %+v", list)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// A device of which no rule can use anything is seen: mostly a name is written in
// another way there. Whoever says more than is asked for is no case for anybody.
func TestADeviceThatNoRuleCanUseIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		hand := func(topic, payload string) {
			w.Handle(broker.Message{Topic: topic, Payload: []byte(payload), Received: time.Now()})
		}
		hand("plant/a", `{"door":"open","temperature":-20}`)
		hand("plant/a", `{"door":"open"}`)
		if list, _ := w.Rejects(); len(list) != 0 {
			t.Errorf("more than is asked for: %+v", list)
		}
		hand("plant/b", `{"temp":-20,"rh":80}`)
		hand("plant/b", `{"temp":-21}`)
		list, _ := w.Rejects()
		if len(list) != 1 || list[0].Source != "plant" || list[0].Reason != "unasked" || list[0].Count != 2 || list[0].Device != "b" || list[0].Metric != "temp" ||
			!strings.HasPrefix(list[0].Detail, "no rule asks for temp (rules ask for humidity, temperature:") {
			t.Errorf("%+v", list)
		}
		hand("plant/b", `{"temperatur":-21}`)
		_, err := w.Device("b")
		for _, want := range []string{`by the name "b"`, "last heard at 2000-01-01T00:00:00Z", "sends: temp, rh, temperatur (did you mean temperature?); rules ask for humidity, temperature"} {
			if err == nil || !errors.Is(err, bridge.ErrNoDevice) || !strings.Contains(err.Error(), want) {
				t.Errorf("%v; want %s", err, want)
			}
		}
		if all := w.Unasked(""); len(all) != 1 || all[0].Device != "b" || all[0].Count != 3 || all[0].Source != "plant" {
			t.Errorf("%+v", all)
		}
		if _, err := w.Device("c"); strings.Contains(err.Error(), "heard") {
			t.Errorf("of one that was not heard: %v", err)
		}
		hand("plant/b", `{"temperature":-21}`)
		if all := w.Unasked(""); len(all) != 0 {
			t.Errorf("it has said what is asked for: %+v", all)
		}
		for i := range 3000 {
			hand(fmt.Sprint("plant/x", i), `{"temp":-20}`)
		}
		if n := len(w.Unasked("")); n < 1000 || n > 1024 {
			t.Errorf("%d of 3000 are remembered", n)
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}
