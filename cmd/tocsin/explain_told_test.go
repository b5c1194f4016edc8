package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tocsin/bridge/webhook"
)

// Explain says of an alarm that fires who took it, who is not told and why, and for
// whom it waits; and of what there is nothing to explain, why.
func TestExplainSaysWhyNothingWasDelivered(t *testing.T) {
	secret := webhook.NewSecret()
	ops := startReceiver(t, secret, "")
	addr := freeAddr(t)
	dir := plant(t, embedded(addr), secret, ops.url)
	main := filepath.Join(dir, "tocsin.toml")
	text, err := os.ReadFile(main)
	if err != nil {
		t.Fatal(err)
	}
	save(t, main, strings.Replace(string(text), "listen = \"127.0.0.1:0\"", "listen = \""+freeAddr(t)+"\"", 1)+`
[endpoint.lyon]
url    = "`+ops.url+`"
secret = { file = "secrets/ops" }
match  = { labels = { site = "lyon" } }
egress = { allow_http = true, allow_cidrs = ["127.0.0.1"] }
`)
	rules := filepath.Join(dir, "rules", "cold.toml")
	save(t, rules, read(t, rules)+"\n[rule.pump-hot]\ndevices = \"pump-*\"\nmetric  = \"temperature\"\nabove   = 50\n\n[rule.trial]\nmetric = \"temperature\"\nabove  = \"-18 °C\"\nshadow = true\n")
	p := startTocsin(t, dir)
	p.waitReady()
	tell(t, addr, "plant/freezer-1/telemetry", `{"temperature":-12}`, false)
	eventually(t, "told", func() bool {
		_, out, _ := p.command("explain", "freezer-1", "warm")
		return strings.Contains(out, "ops: alarm.fired delivered after 1 attempt: 200 OK")
	})
	f := func(code int, want string, args ...string) {
		t.Helper()
		got, out, errs := p.command(append([]string{"explain"}, args...)...)
		if got != code || !strings.Contains(out+errs, want) {
			t.Errorf("%v: exit %d, %s%s, want %q", args, got, out, errs, want)
		}
	}
	f(0, "lyon: it was not told: its match did not select this", "freezer-1", "warm")
	f(0, "lyon: it was not told: its match did not select this", "warm/freezer-1") // as tocsin alarms has it
	f(0, "muted       shadow\n", "freezer-1", "trial")
	if _, out, _ := p.command("alarms"); !strings.Contains(out, "muted: shadow") {
		t.Errorf("alarms does not say why nobody is told of trial:\n%s", out)
	}
	tell(t, addr, "plant/freezer-1/telemetry", `{"temperature":-11.5}`, false)
	eventually(t, "alarms has the newest reading, which changed nothing", func() bool {
		_, out, _ := p.command("alarms")
		return strings.Count(out, "-11.5") == 2
	})
	f(exitFailed, `rule "pump-hot" does not look at "freezer-1": it is not among its devices`, "freezer-1", "pump-hot")
	f(exitFailed, `there is no rule "none" (tocsin rules`, "freezer-1", "none")
	f(exitFailed, `never heard of a device "nobody" (tocsin devices`, "nobody")
	f(exitFailed, `never heard of a device "nobody" (tocsin devices`, "nobody", "warm")

	tell(t, addr, "plant/freezer-9/telemetry", `{"temprature":-12,"rh":40}`, false)
	const heard, sends = `"freezer-9" was last heard at 20`, "but no rule asks for what it sends: temprature (did you mean temperature?), rh; rules ask for "
	eventually(t, "heard", func() bool {
		_, out, _ := p.command("rejected")
		return strings.Contains(out, "unasked")
	})
	f(exitFailed, heard, "freezer-9")
	f(exitFailed, sends, "freezer-9", "warm")
	for want, args := range map[string][]string{
		`by the name "freezer-9": it was last heard at 20`:                   {"devices", "freezer-9"},
		"not among them: 1 device heard, of which no rule asks for anything": {"devices"},
		`payload  26 bytes: {"temprature":-12,"rh":40}`:                      {"rejected", "unasked"},
		"freezer-9  was last heard at 20":                                    {"rejected", "unasked"},
		"rejected: nothing was rejected as \"json\"":                         {"rejected", "json"},
	} {
		if code, out, errs := p.command(args...); !strings.Contains(out+errs, want) {
			t.Errorf("%v: exit %d, %s%s, want %q", args, code, out, errs, want)
		}
	}
	for want, args := range map[string][]string{
		"1 device heard, of which no rule asks for anything: \"freezer-9\"": {"doctor", "-c", main},
		"not used: no rule asks for temprature (did you mean temperature?)": {"preview", "-c", main, "-t", "plant/freezer-9/telemetry", "-m", `{"temprature":-12,"rh":40}`},
	} {
		if code, out, errs := runHere(t.Context(), "", nil, args...); !strings.Contains(out+errs, want) {
			t.Errorf("%v: exit %d, %s%s, want %q", args, code, out, errs, want)
		}
	}

	if code, out, errs := p.command("endpoints", "disable", "ops", "--reason", "painting"); code != 0 {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	tell(t, addr, "plant/freezer-2/telemetry", `{"temperature":-12}`, false)
	eventually(t, "it waits", func() bool {
		_, out, _ := p.command("explain", "freezer-2", "warm")
		return strings.Contains(out, "ops: alarm.fired waiting; the endpoint is paused: painting")
	})
	_, out, _ := p.command("explain", "freezer-2", "--json")
	var doc struct {
		Alarms []struct{ Key string }
		Told   []telling
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil || len(doc.Alarms) != 2 || len(doc.Told) != 2 || doc.Told[0].Alarm != "warm/freezer-2" {
		t.Errorf("as JSON: %v, %s", err, out)
	}
	if code, out, errs := p.command("alarms", "shelve", "warm/freezer-2", "--for", "1h"); code != 0 {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	f(0, "shelved", "freezer-2")
}
