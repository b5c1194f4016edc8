package preset

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// Automations get the event as the standard receiver does.
func TestAutomationHookGetsTheWholeEvent(t *testing.T) {
	for name, o := range map[string]Options{
		"zapier": {URL: "/hooks/catch/1/canary/"},
		"make":   {URL: "/canary", With: map[string]Value{"key": Hidden("canary-key")}},
		"n8n":    {URL: "/webhook/canary"},
	} {
		answer := map[string]string{"zapier": `{"status":"success"}`, "make": "Accepted", "n8n": `{"message":"Workflow was started"}`}[name]
		s := serve(t, func(w http.ResponseWriter, c call) { reply(w, 200, answer) })
		o.Preset = name
		r := connect(t, s, o)
		r.accepted(rules.AlarmFired)
		n := Sample(rules.AlarmFired)
		c := s.last()
		if string(c.body) != string(n.Envelope()) || c.path != o.URL || c.header.Get("Webhook-Id") != n.ID {
			t.Errorf("%s: %s %s", name, c.path, c.body)
		}
		if key := c.header.Get("X-Make-Apikey"); (key == "canary-key") != (name == "make") {
			t.Errorf("%s: its key is %q", name, key)
		}
		s.instead(429, "", "Retry-After", "3")
		r.waits(3*time.Second, rules.AlarmFired)
		s.instead(410, "")
		if reply := r.verdict(webhook.Gone, rules.AlarmFired); strings.Contains(reply.Err.Error(), "canary") {
			t.Errorf("%s: the error shows the URL: %v", name, reply.Err)
		}
		switch name {
		case "zapier":
			s.instead(202, "")
			r.verdict(webhook.Retry, rules.AlarmFired)
		case "make":
			s.instead(400, "Queue is full.")
			r.waits(30*time.Second, rules.AlarmFired)
			s.instead(400, "bad")
			r.verdict(webhook.Refused, rules.AlarmFired)
		case "n8n":
			s.instead(404, `{"message":"The requested webhook is not registered."}`)
			r.verdict(webhook.Retry, rules.AlarmFired)
		}
	}
}

func TestTestAddressOfN8nIsWarnedOf(t *testing.T) {
	d, bad := New(Options{Preset: "n8n", URL: "https://n8n.example.com/webhook-test/x"})
	if d == nil || len(bad) != 1 || !bad[0].Warning || bad[0].Path[0] != "url" {
		t.Errorf("%+v", bad)
	}
}

func TestCloudEventCarriesItsAttributes(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, c call) { w.WriteHeader(204) })
	odd := func(e *rules.Event) { e.Alarm.Key = `frei"zer%7 ü` }

	r := connect(t, s, Options{Preset: "cloudevents", URL: "/events"})
	r.accepted(rules.AlarmFired, odd)
	c := s.last()
	for path, want := range map[string]string{
		"$.specversion": "1.0", "$.id": "evt_SAMPLE", "$.source": "tocsin", "$.type": "alarm.fired", "$.time": "2026-11-06T14:12:10.4Z",
		"$.subject": `frei"zer%7 ü`, "$.data.device.id": "freezer-07",
	} {
		same(t, path, c.json(path), want)
	}
	same(t, "content type", c.header.Get("Content-Type"), "application/cloudevents+json; charset=utf-8")

	r = connect(t, s, Options{Preset: "cloudevents-binary", URL: "/events"})
	r.accepted(rules.AlarmFired, odd)
	c = s.last()
	for name, want := range map[string]string{
		"Ce-Specversion": "1.0", "Ce-Id": "evt_SAMPLE", "Ce-Source": "tocsin", "Ce-Type": "alarm.fired", "Ce-Time": "2026-11-06T14:12:10.4Z",
		"Ce-Subject": "frei%22zer%257%20%C3%BC", "Content-Type": "application/json",
	} {
		same(t, name, c.header.Get(name), want)
	}
	same(t, "data", c.json("$.device.id"), "freezer-07")
	r.accepted(rules.DeviceOffline)
	if _, sent := s.last().header["Ce-Subject"]; sent {
		t.Error("an event without an alarm has a subject")
	}
	s.instead(415, "")
	r.verdict(webhook.Refused, rules.AlarmFired)
	s.instead(429, "", "Retry-After", "120")
	r.waits(2*time.Minute, rules.AlarmFired)
}

func TestCustomerIOEventIsOfItsCustomer(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, c call) {
		credential, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(c.header.Get("Authorization"), "Basic "))
		if string(credential) != "site:canary-key" {
			reply(w, 401, `{"meta":{"error":"unauthorized"}}`)
			return
		}
		reply(w, 200, `{}`)
	})
	r := connect(t, s, Options{Preset: "customerio", With: map[string]Value{"site": Plain("site"), "key": Hidden("canary-key")}})
	r.accepted(rules.AlarmFired, func(e *rules.Event) { e.Device.ID = "a/b?c" })
	same(t, "path", s.last().path, "/api/v1/customers/a%2Fb%3Fc/events")
	same(t, "name", s.last().json("$.name"), "alarm.fired")
	same(t, "value", s.last().json("$.data.value"), -11.2)
	r.accepted(rules.SourceDisconnected)
	if reply := r.tell(rules.AlarmFired, func(e *rules.Event) { e.Device.ID = ".." }); reply.Verdict != webhook.Refused || s.last().path == "/api/v1/customers/../events" {
		t.Errorf("a device called ..: %s at %s", reply.Verdict, s.last().path)
	}
}

func TestIFTTTGetsThreeValues(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, c call) {
		if c.path != "/trigger/alarms/with/key/canary" {
			reply(w, 401, `{"errors":[{"message":"You sent an invalid key."}]}`)
			return
		}
		reply(w, 200, "Congratulations! You've fired the alarms event")
	})
	r := connect(t, s, Options{Preset: "ifttt", With: map[string]Value{"key": Hidden("canary"), "event": Plain("alarms")}})
	r.accepted(rules.AlarmFired)
	same(t, "value1", s.last().json("$.value1"), "freezer-07 at -11.2 °C, limit -12 °C")
	same(t, "value3", s.last().json("$.value3"), "raise major freezer-07")
	requests, err := r.Preview(Sample(rules.AlarmFired), false)
	if err != nil || strings.Contains(requests[0].URL, "canary") {
		t.Errorf("a preview shows the key: %v %v", requests, err)
	}
}

func TestGitHubDispatchHasTenPropertiesAtMost(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, c call) {
		payload, _ := c.json("$.client_payload").(map[string]any)
		switch {
		case c.header.Get("Authorization") != "Bearer canary-token" || c.header.Get("X-Github-Api-Version") == "":
			reply(w, 401, `{"message":"Bad credentials"}`)
		case c.path != "/repos/acme/plant/dispatches":
			reply(w, 404, `{"message":"Not Found"}`)
		case len(payload) > 10 || len(text(c.json("$.event_type"))) > 100:
			reply(w, 422, `{"message":"Invalid request."}`)
		default:
			w.WriteHeader(204)
		}
	})
	r := connect(t, s, Options{Preset: "github", With: map[string]Value{"token": Hidden("canary-token"), "owner": Plain("acme"), "repository": Plain("plant")}})
	for _, typ := range sampleTypes() {
		r.accepted(typ)
	}
	r.accepted(rules.AlarmFired)
	same(t, "device", s.last().json("$.client_payload.event.device.id"), "freezer-07")
	s.instead(403, `{"message":"You have exceeded a secondary rate limit."}`, "Retry-After", "60")
	r.waits(time.Minute, rules.AlarmFired)
	s.instead(422, `{}`)
	r.verdict(webhook.Refused, rules.AlarmFired)
}

func TestAnsibleGetsTheEventAsItIs(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, c call) {
		if c.header.Get("Authorization") != "Bearer canary-token" {
			reply(w, 401, "")
			return
		}
		reply(w, 200, "")
	})
	r := connect(t, s, Options{Preset: "eda", URL: "/endpoint", With: map[string]Value{"token": Hidden("canary-token")}})
	r.accepted(rules.AlarmFired)
	if n := Sample(rules.AlarmFired); string(s.last().body) != string(n.Data) || !json.Valid(n.Data) {
		t.Errorf("got %s", s.last().body)
	}
}
