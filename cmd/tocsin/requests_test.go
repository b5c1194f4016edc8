package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tocsin/bridge/config"
	"tocsin/bridge/preset"
	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// Who may look at deliveries sees which request told an endpoint, and nothing by which
// it could be told anything.
func TestShownRequestsHoldNoSecret(t *testing.T) {
	secret := webhook.NewSecret()
	dir := plant(t, embedded("127.0.0.1:1883"), secret, "http://127.0.0.1:9000/CANARY-PATH-OF-OPS?key=CANARY-QUERY")
	path := filepath.Join(dir, "tocsin.toml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	writeFiles(t, dir, map[string]string{
		"secrets/pager": "CANARY-KEY", "secrets/bearer": "CANARY-BEARER", "secrets/hub": "CANARY-HUB-TEXT-LONG-ENOUGH",
		"tocsin.toml": string(text) + `
[endpoint.pager]
preset = "pagerduty"
with   = { routing_key = { file = "secrets/pager" } }
[endpoint.slack]
preset = "slack"
url    = "https://hooks.slack.com/services/T00/B00/CANARYSLACK"
[endpoint.hub]
url     = "https://hub.example.com/CANARY-HUB"
sign    = ["github", "stripe"]
secret  = { file = "secrets/hub" }
auth    = { bearer = { file = "secrets/bearer" } }
headers = { X-Tenant = "CANARY-TENANT" }
`})
	cfg, problems := config.Load(path, config.Options{})
	if cfg == nil {
		t.Fatal(problems)
	}
	event := rules.Event{ID: "evt_1", Type: rules.AlarmFired, At: time.Now(), Title: "it is warm", Alarm: rules.EventAlarm{Key: "warm/a"}}
	data, err := event.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	signed := 0
	for name, e := range cfg.Endpoints {
		d, err := newDestination(name, e, nil)
		if err != nil {
			t.Fatal(err)
		}
		requests := d.Requests(preset.Notice{ID: event.ID, Type: event.Type, Alarm: event.Alarm.Key, At: event.At, Data: data})
		shown, err := json.Marshal(requests)
		d.sender.Close()
		if err != nil || len(requests) == 0 || requests[0].Error != "" || requests[0].Method != "POST" || !strings.Contains(requests[0].Body, "it is warm") {
			t.Errorf("%s: %s, %v", name, shown, err)
		}
		for _, leak := range []string{"CANARY", secret.Reveal(), strings.TrimPrefix(secret.Reveal(), "whsec_"), "v1,", "sha256=", "v1="} {
			if strings.Contains(string(shown), leak) {
				t.Errorf("%s: shows %s: %s", name, leak, shown)
			}
		}
		signed += strings.Count(string(shown), `\u003csignature\u003e`)
	}
	if signed != 3 {
		t.Errorf("%d signatures are shown to be there, want 3", signed)
	}
}
