package preset

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// A record is what a service that upserts has under one of our keys.
type record struct{ state, priority, title string }

// records are what a service has; writes counts what changed them.
type records struct {
	all    map[string]*record
	writes int
}

// put creates a record or changes what a request says of it, and reports which.
func (rs *records) put(key string, r record) (created bool) {
	rs.writes++
	was := rs.all[key]
	if was == nil {
		rs.all[key] = &r
		return true
	}
	was.state, was.priority, was.title = cmp.Or(r.state, was.state), cmp.Or(r.priority, was.priority), cmp.Or(r.title, was.title)
	return false
}

// upserted tells a service of an episode whose first answer is lost and whose
// record people work on, and of another one.
func upserted(t *testing.T, s *service, r *receiver, rs *records, handle func(http.ResponseWriter, call), opened, closed string) {
	t.Helper()
	s.lost(handle)
	r.verdict(webhook.Retry, rules.AlarmFired)
	r.accepted(rules.AlarmFired)
	if len(rs.all) != 1 || rs.all["ep_SAMPLE"] == nil || rs.all["ep_SAMPLE"].state != opened {
		t.Fatalf("%d records, %+v", len(rs.all), rs.all["ep_SAMPLE"])
	}
	rs.all["ep_SAMPLE"].state = "working on it"
	was := rs.all["ep_SAMPLE"].priority
	r.accepted(rules.AlarmReminder, escalate(rules.Warning))
	same(t, "the state that people gave it", rs.all["ep_SAMPLE"].state, "working on it")
	if rs.all["ep_SAMPLE"].priority == was {
		t.Errorf("the priority is still %s", was)
	}
	n := rs.writes
	r.accepted(rules.AlarmAcked)
	r.accepted(rules.DeviceOffline)
	same(t, "writes", rs.writes, n)
	r.accepted(rules.AlarmResolved)
	same(t, "the end of it", rs.all["ep_SAMPLE"].state, closed)

	again := func(e *rules.Event) { e.Alarm.Episode, e.Title = "ep_AGAIN", "two\nlines <b>&\"" }
	r.accepted(rules.AlarmFired, again)
	same(t, "the second", rs.all["ep_AGAIN"].title, `two lines <b>&"`)
	delete(rs.all, "ep_AGAIN")
	r.accepted(rules.AlarmEscalated, again) // somebody deleted it
	if rs.all["ep_AGAIN"] == nil {
		t.Error("an alarm whose record was deleted is nowhere")
	}
	r.accepted(rules.TestPing)
	same(t, "a test", rs.all["evt_SAMPLE"].state, closed)
	if len(rs.all) != 3 {
		t.Errorf("%d records", len(rs.all))
	}
	s.instead(401, ``)
	r.verdict(webhook.Retry, rules.AlarmFired)
	s.instead(503, ``, "Retry-After", "60")
	r.waits(time.Minute, rules.AlarmFired)
}

func TestHubSpotTicketFollowsItsEpisode(t *testing.T) {
	rs := &records{all: map[string]*record{}}
	properties := func(c call, path string) record {
		return record{text(c.json(path + ".hs_pipeline_stage")), text(c.json(path + ".hs_ticket_priority")), text(c.json(path + ".subject"))}
	}
	const tickets = "/crm/objects/2026-03/tickets/"
	handle := func(w http.ResponseWriter, c call) {
		key, _ := url.PathUnescape(strings.TrimPrefix(c.path, tickets))
		switch {
		case c.header.Get("Authorization") != "Bearer canary-token":
			reply(w, 401, `{"status":"error","message":"Authentication credentials not found.","category":"INVALID_AUTHENTICATION"}`)
		case c.method == http.MethodPatch && c.query.Get("idProperty") == "iot_alert_key" && rs.all[key] == nil:
			reply(w, 404, `{"status":"error","message":"Object not found.","category":"OBJECT_NOT_FOUND"}`)
		case c.method == http.MethodPatch && c.query.Get("idProperty") == "iot_alert_key":
			rs.put(key, properties(c, "$.properties"))
			reply(w, 200, `{"id":"123","properties":{}}`)
		case c.path == tickets+"batch/upsert" && text(c.json("$.inputs[0].idProperty")) == "iot_alert_key":
			r := properties(c, "$.inputs[0].properties")
			if r.state == "" {
				reply(w, 400, `{"status":"error","message":"Property values were not valid","category":"VALIDATION_ERROR"}`)
				return
			}
			created := rs.put(text(c.json("$.inputs[0].id")), r)
			reply(w, 200, fmt.Sprintf(`{"status":"COMPLETE","results":[{"id":"123","new":%t}]}`, created))
		default:
			reply(w, 404, ``)
		}
	}
	s := serve(t, handle)
	r := connect(t, s, Options{Preset: "hubspot", With: map[string]Value{"token": Hidden("canary-token")}})
	upserted(t, s, r, rs, handle, "1", "4")

	s.instead(429, `{"status":"error","message":"You have reached your daily limit.","errorType":"RATE_LIMIT","policyName":"DAILY"}`)
	r.waits(time.Hour, rules.AlarmFired)
	s.instead(429, `{"status":"error","message":"You have reached your ten_secondly_rolling limit.","errorType":"RATE_LIMIT","policyName":"TEN_SECONDLY_ROLLING"}`)
	r.waits(10*time.Second, rules.AlarmFired)
	s.instead(207, `{"status":"COMPLETE","results":[],"numErrors":1,"errors":[{"status":"error","category":"VALIDATION_ERROR"}]}`)
	r.verdict(webhook.Refused, rules.AlarmFired)
	s.instead(400, `{"status":"error","category":"VALIDATION_ERROR"}`)
	r.verdict(webhook.Refused, rules.AlarmFired)
}

func salesforceCases(rs *records, bearer *string) func(http.ResponseWriter, call) {
	return func(w http.ResponseWriter, c call) {
		key, isCase := strings.CutPrefix(c.path, "/services/data/v66.0/sobjects/Case/Alert_Key__c/")
		switch {
		case c.header.Get("Authorization") != "Bearer "+*bearer:
			reply(w, 401, `[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]`)
		case c.method != http.MethodPatch || !isCase:
			reply(w, 404, `[{"message":"Provided external ID field does not exist or is not accessible","errorCode":"NOT_FOUND"}]`)
		case rs.put(key, record{text(c.json("$.Status")), text(c.json("$.Priority")), text(c.json("$.Subject"))}):
			reply(w, 201, `{"id":"500xx","success":true,"errors":[],"created":true}`)
		default:
			w.WriteHeader(204)
		}
	}
}

func TestSalesforceCaseFollowsItsEpisode(t *testing.T) {
	rs, token := &records{all: map[string]*record{}}, "t1"
	handle := salesforceCases(rs, &token)
	s := serve(t, handle)
	r := connectAs(t, s, Options{Preset: "salesforce"}, webhook.Bearer(webhook.NewCredential("t1")))
	upserted(t, s, r, rs, handle, "New", "Closed")

	s.instead(403, `[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]`)
	r.waits(5*time.Minute, rules.AlarmFired)
	s.instead(403, `[{"message":"insufficient access rights","errorCode":"INSUFFICIENT_ACCESS_OR_READONLY"}]`)
	r.waits(0, rules.AlarmFired)
	s.instead(400, `[{"message":"unable to obtain exclusive access to this record","errorCode":"UNABLE_TO_LOCK_ROW","fields":[]}]`)
	r.waits(5*time.Second, rules.AlarmFired)
	s.instead(400, `[{"message":"Status: bad value for restricted picklist field","errorCode":"INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST","fields":["Status"]}]`)
	r.verdict(webhook.Refused, rules.AlarmFired)
	s.instead(300, `["/services/data/v66.0/sobjects/Case/500A","/services/data/v66.0/sobjects/Case/500B"]`)
	r.verdict(webhook.Refused, rules.AlarmFired)
}

func TestZohoCaseFollowsItsEpisode(t *testing.T) {
	rs := &records{all: map[string]*record{}}
	handle := func(w http.ResponseWriter, c call) {
		key := text(c.json("$.data[0].Alert_Key"))
		switch {
		case c.header.Get("Authorization") != "Zoho-oauthtoken t1":
			reply(w, 401, `{"code":"INVALID_TOKEN","details":{},"message":"invalid oauth token","status":"error"}`)
		case c.path != "/crm/v8/Cases/upsert" || text(c.json("$.duplicate_check_fields[0]")) != "Alert_Key":
			reply(w, 400, `{"code":"INVALID_REQUEST","status":"error"}`)
		case rs.all[key] == nil && text(c.json("$.data[0].Case_Origin")) == "":
			reply(w, 202, `{"data":[{"code":"MANDATORY_NOT_FOUND","details":{"api_name":"Case_Origin"},"message":"required field not found","status":"error"}]}`)
		default:
			action := "update"
			if rs.put(key, record{text(c.json("$.data[0].Status")), text(c.json("$.data[0].Priority")), text(c.json("$.data[0].Subject"))}) {
				action = "insert"
			}
			reply(w, 200, fmt.Sprintf(`{"data":[{"code":"SUCCESS","duplicate_field":null,"action":"%s","details":{"id":"4150868000002748017"},"message":"record added","status":"success"}]}`, action))
		}
	}
	s := serve(t, handle)
	r := connectAs(t, s, Options{Preset: "zoho"}, webhook.Auth{Value: webhook.NewCredential("Zoho-oauthtoken t1")})
	upserted(t, s, r, rs, handle, "New", "Closed")

	s.instead(202, `{"data":[{"code":"MANDATORY_NOT_FOUND","details":{"api_name":"Subject"},"status":"error"}]}`)
	r.verdict(webhook.Refused, rules.AlarmFired)
	s.instead(202, `{"data":[{"code":"RECORD_LOCKED","status":"error"}]}`)
	r.verdict(webhook.Retry, rules.AlarmFired)
	s.instead(429, `{"code":"TOO_MANY_REQUESTS","status":"error"}`)
	r.waits(time.Minute, rules.AlarmFired)
}
