package preset

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tocsin/bridge/webhook"
	"tocsin/rules"
)

const alarmKey = "freezer-warm/freezer-07"

func TestPagerDutyIncidentFollowsItsAlarm(t *testing.T) {
	state := map[string]string{} // by deduplication key
	s := serve(t, func(w http.ResponseWriter, c call) {
		key := text(c.json("$.routing_key"))
		switch {
		case c.path == "/v2/change/enqueue" && key == "canary-routing_key":
			reply(w, 202, `{"status":"success","message":"Change event processed","links":[]}`)
		case c.path != "/v2/enqueue" || key != "canary-routing_key" || c.header.Get("Content-Type") != "application/json":
			reply(w, 400, `{"status":"invalid event","message":"Event object is invalid","errors":["'routing_key' is invalid"]}`)
		default:
			action, dedup := text(c.json("$.event_action")), text(c.json("$.dedup_key"))
			summary, severity := text(c.json("$.payload.summary")), text(c.json("$.payload.severity"))
			if len(dedup) > 255 || action == "trigger" && (summary == "" || utf8.RuneCountInString(summary) > 1024 || text(c.json("$.payload.source")) == "" ||
				!strings.Contains("critical error warning info", severity)) {
				reply(w, 400, `{"status":"invalid event","errors":["payload"]}`)
				return
			}
			state[dedup] = action
			reply(w, 202, fmt.Sprintf(`{"status":"success","message":"Event processed","dedup_key":%q}`, dedup))
		}
	})
	p, _ := Find("pagerduty")
	r := connect(t, s, Options{Preset: "pagerduty", With: with(p)})
	r.accepted(rules.AlarmFired)
	same(t, "after fired", state[alarmKey], "trigger")
	same(t, "severity", s.last().json("$.payload.severity"), "error")
	same(t, "value", s.last().json("$.payload.custom_details.value"), -11.2)
	r.accepted(rules.AlarmEscalated, escalate(rules.Critical))
	same(t, "severity", s.last().json("$.payload.severity"), "critical")
	r.accepted(rules.AlarmAcked)
	same(t, "after acked", state[alarmKey], "acknowledge")
	r.accepted(rules.AlarmResolved)
	same(t, "after resolved", state[alarmKey], "resolve")
	r.accepted(rules.DeviceOffline)
	same(t, "a note's path", s.last().path, "/v2/change/enqueue")
	r.accepted(rules.TestPing)

	r.accepted(rules.AlarmFired, func(e *rules.Event) {
		e.Title, e.Alarm.Key = strings.Repeat("å", 2000), strings.Repeat("k", 300)
	})
	s.instead(429, `{}`, "Retry-After", "30")
	r.waits(30*time.Second, rules.AlarmFired)
	s.instead(400, `{"status":"invalid event","errors":["x"]}`)
	r.verdict(webhook.Refused, rules.AlarmFired)
	s.instead(503, ``)
	r.verdict(webhook.Retry, rules.AlarmFired)
}

func TestOpsgenieAlertFollowsItsAlarm(t *testing.T) {
	open := map[string][]string{}
	s := serve(t, func(w http.ResponseWriter, c call) {
		alias, byAlias := strings.CutPrefix(c.path, "/v2/alerts/")
		alias, action, _ := strings.Cut(alias, "/")
		alias, _ = url.PathUnescape(alias)
		switch {
		case c.header.Get("Authorization") != "GenieKey canary-key":
			reply(w, 403, `{"message":"Key format is not valid!","took":0.001}`)
		case c.path == "/v2/alerts":
			if n := utf8.RuneCountInString(text(c.json("$.message"))); n == 0 || n > 130 {
				reply(w, 422, `{"message":"Request body is not processable.","errors":{"message":"size"}}`)
				return
			}
			alias := text(c.json("$.alias"))
			open[alias] = append(open[alias], "create "+text(c.json("$.priority")))
			reply(w, 202, `{"result":"Request will be processed","took":0.302,"requestId":"43a29c5c"}`)
		case byAlias && c.query.Get("identifierType") == "alias" && open[alias] != nil:
			open[alias] = append(open[alias], action)
			if action == "close" {
				delete(open, alias)
			}
			reply(w, 202, `{"result":"Request will be processed"}`)
		default:
			reply(w, 404, `{"message":"Alert does not exist"}`)
		}
	})
	r := connect(t, s, Options{Preset: "opsgenie", With: map[string]Value{"key": Hidden("canary-key"), "team": Plain("ops")}})
	r.accepted(rules.AlarmFired)
	same(t, "responder", s.last().json("$.responders[0].name"), "ops")
	same(t, "detail", s.last().json("$.details.value"), "-11.2")
	r.accepted(rules.AlarmReminder)
	r.accepted(rules.AlarmAcked)
	same(t, "what was done", strings.Join(open[alarmKey], ", "), "create P2, create P2, notes, acknowledge")
	r.accepted(rules.AlarmResolved)
	r.accepted(rules.AlarmResolved) // somebody has closed it: that is what was wanted
	if len(open) != 0 {
		t.Errorf("still open: %v", open)
	}
	r.accepted(rules.AlarmFired, func(e *rules.Event) { e.Title = strings.Repeat("å", 200) })
	s.instead(401, `{}`)
	r.verdict(webhook.Retry, rules.AlarmFired) // the key will be mended
	s.instead(422, `{}`)
	r.verdict(webhook.Refused, rules.AlarmFired)
}

func TestOnCallAlertGroupOpensAndCloses(t *testing.T) {
	var states []string
	s := serve(t, func(w http.ResponseWriter, c call) {
		if c.path != "/integrations/v1/formatted_webhook/canary/" {
			reply(w, 404, "")
			return
		}
		states = append(states, text(c.json("$.alert_uid"))+" "+text(c.json("$.state")))
		reply(w, 200, `"Ok."`)
	})
	r := connect(t, s, Options{Preset: "oncall", URL: "/integrations/v1/formatted_webhook/canary/"})
	r.accepted(rules.AlarmFired)
	r.accepted(rules.AlarmAcked) // there is no word for it
	r.accepted(rules.AlarmResolved)
	r.accepted(rules.TestPing)
	same(t, "what came", strings.Join(states, ", "), alarmKey+" alerting, "+alarmKey+" ok, evt_SAMPLE alerting, evt_SAMPLE ok")
}

// Alertmanager knows alerts by their labels, each for as long as endsAt says.
func TestAlertmanagerAlertIsTheSameWhenItEnds(t *testing.T) {
	alerts := map[string]string{} // endsAt by labels
	s := serve(t, func(w http.ResponseWriter, c call) {
		list, ok := parseAnswer(c.body).([]any)
		if c.path != "/am/api/v2/alerts" || !ok {
			reply(w, 400, `"bad request"`)
			return
		}
		for _, a := range list {
			labels, _ := a.(map[string]any)["labels"].(map[string]any)
			for name, v := range labels {
				if _, isText := v.(string); !isText || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
					reply(w, 400, `"labels"`)
					return
				}
			}
			alerts[text(labels)] = text(a.(map[string]any)["endsAt"])
		}
		w.WriteHeader(200)
	})
	r := connect(t, s, Options{Preset: "alertmanager", URL: "/am/"})
	site := func(e *rules.Event) { e.Device.Labels = map[string]string{"cold-room": "1"} }
	r.accepted(rules.AlarmFired, site)
	r.accepted(rules.AlarmEscalated, site, escalate(rules.Critical))
	const major = "alertname=freezer-warm, cold_room=1, device=freezer-07, metric=temperature, severity="
	same(t, "major", alerts[major+"major"], "2026-11-06T14:12:10.4Z") // ended, for another has taken its place
	same(t, "critical", alerts[major+"critical"], "2026-11-13T14:12:10.4Z")
	r.accepted(rules.AlarmResolved, site, escalate(rules.Critical))
	same(t, "critical", alerts[major+"critical"], "2026-11-06T14:12:10.4Z")
	if len(alerts) != 2 {
		t.Errorf("alerts: %v", alerts)
	}
	r.accepted(rules.DeviceOffline)
	same(t, "a note ends", alerts["alertname=device.offline, device=freezer-07, severity=info"], "2026-11-06T14:17:10.4Z")
	s.instead(500, "")
	r.verdict(webhook.Retry, rules.AlarmFired)
}

// What takes webhooks of Alertmanager finds every field that it has there.
func TestAlertmanagerWebhookBodyIsOfVersion4(t *testing.T) {
	for _, name := range []string{"alertmanager-webhook", "incidentio"} {
		s := serve(t, func(w http.ResponseWriter, c call) {
			if name == "incidentio" && c.header.Get("Authorization") != "Bearer canary-token" {
				reply(w, 401, "{}")
				return
			}
			reply(w, 202, "{}")
		})
		p, _ := Find(name)
		r := connect(t, s, Options{Preset: name, URL: "/hook", With: with(p)})
		r.accepted(rules.AlarmFired)
		c := s.last()
		for _, path := range []string{
			"$.version", "$.groupKey", "$.status", "$.receiver", "$.groupLabels", "$.commonLabels", "$.commonAnnotations", "$.externalURL",
			"$.alerts[0].status", "$.alerts[0].labels.alertname", "$.alerts[0].annotations.summary", "$.alerts[0].startsAt", "$.alerts[0].endsAt",
			"$.alerts[0].generatorURL", "$.alerts[0].fingerprint",
		} {
			if c.json(path) == nil {
				t.Errorf("%s: there is no %s: %s", name, path, c.body)
			}
		}
		same(t, "status", c.json("$.alerts[0].status"), "firing")
		same(t, "its end", c.json("$.alerts[0].endsAt"), "0001-01-01T00:00:00Z")
		print := c.json("$.alerts[0].fingerprint")
		r.accepted(rules.AlarmResolved)
		same(t, "status", s.last().json("$.status"), "resolved")
		same(t, "fingerprint", s.last().json("$.alerts[0].fingerprint"), print)
	}
}
