package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"tocsin/bridge/webhook"
)

// Alarms are listed by what is known of them, those that have ended too, and one is
// told of with why it stands as it does and who was told.
func TestAlarmsAreListedAndToldOf(t *testing.T) {
	secret := webhook.NewSecret()
	ops := startReceiver(t, secret, "")
	addr := freeAddr(t)
	p := startTocsin(t, plant(t, embedded(addr), secret, ops.url))
	p.waitReady()
	f := func(code int, want string, args ...string) {
		t.Helper()
		got, out, errs := p.command(append([]string{"alarms"}, args...)...)
		if got != code || !strings.Contains(out+errs, want) {
			t.Errorf("%v: %d %s%s, want %d and %q", args, got, out, errs, code, want)
		}
	}
	f(0, "no alarm is under way")
	publishCrossings(t, addr, "freezer-1", 3) // fired, resolved, fired
	publishCrossings(t, addr, "freezer-2", 2)
	eventually(t, "all was told", func() bool { return len(ops.unique(t)) == 5 })
	f(0, "warm/freezer-1")
	f(0, "warm/freezer-2", "--state", "inactive", "--since", "1h")
	f(0, "there is no such alarm", "--state", "inactive", "--device", "freezer-1")
	f(0, "there is no such alarm", "--severity", "critical")
	f(0, "and more (--limit 0 lists all)", "--state", "all", "--limit", "1")
	f(0, `"episode": "ep_`, "--json")
	f(2, "--since", "--since", "lunch")
	f(1, "state", "--state", "angry")

	var told struct {
		State       string
		Explanation struct{ Rule struct{ ID string } }
		Deliveries  []struct{ Type, State string }
	}
	for _, key := range []string{"warm/freezer-2", "warm%2Ffreezer-2"} {
		resp, err := http.Get("http://" + p.listen["http"] + "/api/v1/alarms/" + key)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil {
			err = json.Unmarshal(body, &told)
		}
		if err != nil || resp.StatusCode != 200 || told.State != "inactive" || told.Explanation.Rule.ID != "warm" ||
			len(told.Deliveries) != 2 || told.Deliveries[0].Type != "alarm.resolved" {
			t.Errorf("%s: %d %v %s", key, resp.StatusCode, err, body)
		}
	}
	resp, err := http.Get("http://" + p.listen["http"] + "/api/v1/alarms/warm/nobody")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("an alarm that never was: %d", resp.StatusCode)
	}
}
