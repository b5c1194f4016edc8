package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"tocsin/bridge/api"
	"tocsin/bridge/webhook"
)

// Whoever asks what became of an alarm is told of every attempt, and can have it
// sent again under the id that the receiver knows.
func TestDeliveriesAreShownAndReplayed(t *testing.T) {
	secret := webhook.NewSecret()
	ops := startReceiver(t, secret, "500:1")
	addr := freeAddr(t)
	p := startTocsin(t, plant(t, embedded(addr), secret, ops.url))
	p.waitReady()
	publishCrossings(t, addr, "freezer-1", 2)
	says := func(want string, args ...string) string {
		t.Helper()
		code, out, errs := p.command(args...)
		if code != 0 || !strings.Contains(out+errs, want) {
			t.Errorf("%v: %d %s%s, want %q", args, code, out, errs, want)
		}
		return out
	}
	refuses := func(want string, args ...string) {
		t.Helper()
		if code, _, errs := p.command(args...); code == 0 || !strings.Contains(errs, want) {
			t.Errorf("%v: %d %s, want %q", args, code, errs, want)
		}
	}
	eventually(t, "it was tried", func() bool {
		_, out, _ := p.command("endpoints")
		return strings.Contains(out, "failing") && strings.Contains(out, "answered 500")
	})
	refuses("owed already", "deliveries", "replay", inState(t, p, "waiting")[0].ID)
	ops.behave()
	eventually(t, "it was told", func() bool { return len(inState(t, p, "delivered")) == 2 })

	told := inState(t, p, "delivered")
	if told[1].Type != "alarm.fired" || told[0].Type != "alarm.resolved" || told[1].Tries < 2 || told[1].Alarm != "warm/freezer-1" {
		t.Errorf("listed %+v", told)
	}
	says("attempt 1", "deliveries", "show", told[1].ID)
	says("200 OK", "deliveries", "show", told[1].Event)
	says(`"number": 1`, "deliveries", "show", told[1].ID, "--json")
	says("no such delivery", "deliveries", "--endpoint", "nobody")
	refuses("there is no delivery", "deliveries", "show", "evt_1")
	refuses("is no time", "deliveries", "--since", "yesterday")

	was := ops.requests()
	says("is owed again", "deliveries", "replay", told[1].ID)
	eventually(t, "it came again", func() bool { return ops.requests() == was+1 })
	eventually(t, "it is settled", func() bool { return len(inState(t, p, "delivered")) == 2 })
	refuses("no terminal to ask", "replay", "--endpoint", "ops", "--since", "1h")
	says("2 deliveries owed again", "replay", "--endpoint", "ops", "--since", "1h", "--yes")
	eventually(t, "all came again", func() bool { return ops.requests() == was+3 })
	says("0 deliveries owed again", "replay", "--endpoint", "ops", "--dead", "--yes")
	refuses("there is no endpoint", "replay", "--endpoint", "nobody", "--yes")
	refuses("--endpoint", "replay")
	if got := ops.of(t, "warm/freezer-1"); !slices.Equal(got, []string{"alarm.fired", "alarm.resolved"}) {
		t.Errorf("told %q: a replay comes under the ids of before", got)
	}
}

// inState are the deliveries in a state, the newest first.
func inState(t *testing.T, p *process, state string) []api.DeliveryView {
	t.Helper()
	_, out, errs := p.command("deliveries", "--state", state, "--json")
	var list struct{ Deliveries []api.DeliveryView }
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("%v: %s%s", err, out, errs)
	}
	return list.Deliveries
}
