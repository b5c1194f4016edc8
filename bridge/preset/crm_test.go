package preset

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// basicAuth is the user and password that a request came with.
func basicAuth(c call) string {
	b, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(c.header.Get("Authorization"), "Basic "))
	return string(b)
}

// A desk keeps tickets by number: their keys, states, and how often each was changed.
type desk struct {
	keys    map[int]string
	states  map[int]string
	changes map[int]int
}

func newDesk() *desk {
	return &desk{map[int]string{}, map[int]string{}, map[int]int{}}
}

func (d *desk) create(key string) int {
	n := 35 + len(d.keys)
	d.keys[n], d.states[n] = key, "open"
	return n
}

func (d *desk) find(key string) int {
	for n, k := range d.keys {
		if k == key {
			return n
		}
	}
	return 0
}

// tickets is what there is, in the order of its making.
func (d *desk) tickets() string {
	var list []string
	for n := 35; n < 35+len(d.keys); n++ {
		list = append(list, fmt.Sprintf("%s %s +%d", d.keys[n], d.states[n], d.changes[n]))
	}
	return strings.Join(list, ", ")
}

// follows tells a desk of a whole episode whose first answer is lost, and of
// another one: there are two tickets, each closed.
func follows(t *testing.T, s *service, r *receiver, d *desk, handle func(http.ResponseWriter, call), lost int, changes int) {
	t.Helper()
	for range lost { // what comes before the request whose answer is lost
		s.next = append(s.next, func(w http.ResponseWriter) { handle(w, s.calls[len(s.calls)-1]) })
	}
	s.lost(handle)
	// A request with an Idempotency-Key is repeated by the transport itself.
	if reply := r.tell(rules.AlarmFired); reply.Verdict != webhook.Retry && len(s.last().header["Idempotency-Key"]) == 0 {
		t.Errorf("without an answer: %s (%v)", reply.Verdict, reply.Err)
	}
	r.accepted(rules.AlarmFired)
	r.accepted(rules.AlarmEscalated, escalate(rules.Critical))
	r.accepted(rules.AlarmAcked)
	r.accepted(rules.AlarmResolved)
	again := func(e *rules.Event) { e.Alarm.Episode = "ep_AGAIN" }
	r.accepted(rules.AlarmFired, again)
	r.kept = nil // the store was lost
	r.accepted(rules.AlarmResolved, again)
	want := fmt.Sprintf("ep_SAMPLE closed +%d, ep_AGAIN closed +1", changes)
	same(t, "the desk", d.tickets(), want)
	r.accepted(rules.TestPing)
	if !strings.HasSuffix(d.tickets(), "evt_SAMPLE closed +1") {
		t.Errorf("a test leaves something open: %s", d.tickets())
	}
	r.accepted(rules.DeviceOffline) // is no ticket
	if len(d.keys) != 3 {
		t.Errorf("%d tickets: %s", len(d.keys), d.tickets())
	}
}

func TestZendeskTicketFollowsItsEpisode(t *testing.T) {
	d, idempotent := newDesk(), map[string]string{}
	handle := func(w http.ResponseWriter, c call) {
		number, isTicket := strings.CutPrefix(c.path, "/api/v2/tickets/")
		n, _ := strconv.Atoi(strings.TrimSuffix(number, ".json"))
		switch {
		case basicAuth(c) != "ana@example.com/token:canary-token":
			reply(w, 401, `{"error":"Couldn't authenticate you"}`)
		case c.method == http.MethodGet && c.path == "/api/v2/tickets.json":
			if n := d.find(c.query.Get("external_id")); n > 0 {
				reply(w, 200, fmt.Sprintf(`{"tickets":[{"id":%d}],"count":1}`, n))
				return
			}
			reply(w, 200, `{"tickets":[],"count":0}`)
		case c.method == http.MethodPost && c.path == "/api/v2/tickets.json":
			key := c.header.Get("Idempotency-Key") + text(c.json("$.ticket.external_id"))
			if key == "" || len(key) > 255 {
				reply(w, 400, `{}`)
				return
			}
			if idempotent[key] == "" {
				idempotent[key] = fmt.Sprintf(`{"ticket":{"id":%d}}`, d.create(text(c.json("$.ticket.external_id"))))
			}
			reply(w, 201, idempotent[key])
		case !isTicket || d.keys[n] == "":
			reply(w, 404, `{"error":"RecordNotFound"}`)
		case d.states[n] == "closed":
			reply(w, 422, `{"error":"RecordInvalid","details":{"status":[{"description":"Status: closed prevents ticket update"}]}}`)
		default:
			d.changes[n]++
			if text(c.json("$.ticket.status")) == "solved" {
				d.states[n] = "closed"
			}
			reply(w, 200, fmt.Sprintf(`{"ticket":{"id":%d}}`, n))
		}
	}
	s := serve(t, handle)
	r := connect(t, s, Options{Preset: "zendesk", With: map[string]Value{"email": Plain("ana@example.com"), "token": Hidden("canary-token")}})
	follows(t, s, r, d, handle, 1, 3)
	s.instead(429, "", "Retry-After", "93")
	r.waits(93*time.Second, rules.AlarmFired)
	s.instead(409, "")
	r.verdict(webhook.Retry, rules.AlarmFired)
	s.instead(200, `{"tickets":[]}`)
	s.instead(422, `{}`)
	r.verdict(webhook.Refused, rules.AlarmFired)
}

func TestFreshdeskTicketFollowsItsEpisode(t *testing.T) {
	d := newDesk()
	handle := func(w http.ResponseWriter, c call) {
		number, _ := strings.CutPrefix(c.path, "/api/v2/tickets/")
		number, action, _ := strings.Cut(number, "/")
		n, _ := strconv.Atoi(number)
		switch {
		case basicAuth(c) != "canary-key:X":
			reply(w, 401, `{"code":"invalid_credentials"}`)
		case c.path == "/api/v2/search/tickets":
			for n, key := range d.keys {
				if c.query.Get("query") == `"tag:'tocsin-`+hash(key)+`'"` {
					reply(w, 200, fmt.Sprintf(`{"total":1,"results":[{"id":%d}]}`, n))
					return
				}
			}
			reply(w, 200, `{"total":0,"results":[]}`)
		case c.path == "/api/v2/tickets" && c.method == http.MethodPost:
			if text(c.json("$.email")) == "" || text(c.json("$.description")) == "" || text(c.json("$.status")) != "2" {
				reply(w, 400, `{"description":"Validation failed"}`)
				return
			}
			for _, key := range []string{"ep_SAMPLE", "ep_AGAIN", "evt_SAMPLE"} {
				if text(c.json("$.tags[1]")) == "tocsin-"+hash(key) {
					reply(w, 201, fmt.Sprintf(`{"id":%d,"status":2}`, d.create(key)))
				}
			}
		case d.keys[n] == "":
			w.WriteHeader(404)
		case action == "notes" && c.method == http.MethodPost:
			d.changes[n]++
			reply(w, 201, `{"id":1}`)
		case c.method == http.MethodPut && text(c.json("$.status")) == "4":
			d.changes[n]++
			d.states[n] = "closed"
			reply(w, 200, `{}`)
		default:
			reply(w, 400, `{}`)
		}
	}
	s := serve(t, handle)
	r := connect(t, s, Options{Preset: "freshdesk", With: map[string]Value{"key": Hidden("canary-key"), "email": Plain("iot@example.com")}})
	follows(t, s, r, d, handle, 1, 3)
	s.instead(429, "", "Retry-After", "30")
	r.waits(30*time.Second, rules.AlarmFired)
}

func TestServiceNowIncidentFollowsItsEpisode(t *testing.T) {
	d := newDesk()
	handle := func(w http.ResponseWriter, c call) {
		number, _ := strings.CutPrefix(c.path, "/api/now/table/incident/")
		n, _ := strconv.Atoi(number)
		switch {
		case c.header.Get("Accept") != "application/json":
			reply(w, 406, "<xml/>")
		case c.method == http.MethodGet:
			key, _ := strings.CutPrefix(c.query.Get("sysparm_query"), "correlation_id=")
			if n := d.find(key); n > 0 {
				reply(w, 200, fmt.Sprintf(`{"result":[{"sys_id":"%d"}]}`, n))
				return
			}
			reply(w, 200, `{"result":[]}`)
		case c.method == http.MethodPost && c.path == "/api/now/table/incident":
			reply(w, 201, fmt.Sprintf(`{"result":{"sys_id":"%d","number":"INC1"}}`, d.create(text(c.json("$.correlation_id")))))
		case c.method == http.MethodPut && d.keys[n] != "":
			d.changes[n]++
			if text(c.json("$.state")) == "6" && text(c.json("$.close_code")) != "" {
				d.states[n] = "closed"
			}
			reply(w, 200, `{"result":{"sys_id":"x"}}`)
		default:
			reply(w, 404, `{"error":{"message":"No Record found"}}`)
		}
	}
	s := serve(t, handle)
	r := connect(t, s, Options{Preset: "servicenow"})
	follows(t, s, r, d, handle, 1, 3)
}

func TestJiraIssueFollowsItsEpisode(t *testing.T) {
	d := newDesk()
	noDone := false
	handle := func(w http.ResponseWriter, c call) {
		key, _ := strings.CutPrefix(c.path, "/rest/api/3/issue/")
		key, action, _ := strings.Cut(key, "/")
		n, _ := strconv.Atoi(strings.TrimPrefix(key, "OPS-"))
		jql := text(c.json("$.jql"))
		switch {
		case basicAuth(c) != "ana@example.com:canary-token":
			reply(w, 401, `{}`)
		case c.path == "/rest/api/3/search/jql":
			for n, key := range d.keys {
				if d.states[n] == "open" && jql == `project = "OPS" and labels = "tocsin-`+hash(key)+`" and statusCategory != Done` {
					reply(w, 200, fmt.Sprintf(`{"issues":[{"id":"1","key":"OPS-%d"}],"isLast":true}`, n))
					return
				}
			}
			reply(w, 200, `{"issues":[],"isLast":true}`)
		case c.path == "/rest/api/3/issue":
			if text(c.json("$.fields.description.type")) != "doc" || strings.ContainsAny(text(c.json("$.fields.summary")), "\r\n") {
				reply(w, 400, `{"errors":{"summary":"The summary is invalid because it contains newline characters."}}`)
				return
			}
			for _, key := range []string{"ep_SAMPLE", "ep_AGAIN", "evt_SAMPLE", "ep_LINES"} {
				if text(c.json("$.fields.labels[1]")) == "tocsin-"+hash(key) {
					reply(w, 201, fmt.Sprintf(`{"id":"1","key":"OPS-%d"}`, d.create(key)))
				}
			}
		case d.keys[n] == "":
			reply(w, 404, `{"errorMessages":["Issue does not exist"]}`)
		case action == "" && d.states[n] == "closed":
			reply(w, 200, `{"fields":{"status":{"statusCategory":{"key":"done"}}}}`)
		case action == "":
			reply(w, 200, `{"fields":{"status":{"statusCategory":{"key":"new"}}}}`)
		case action == "comment":
			d.changes[n]++
			reply(w, 201, `{"id":"10"}`)
		case c.method == http.MethodGet && noDone:
			reply(w, 200, `{"transitions":[{"id":"11","name":"To Do"}]}`)
		case c.method == http.MethodGet:
			reply(w, 200, `{"transitions":[{"id":"11","name":"To Do"},{"id":"31","name":"Done"}]}`)
		case text(c.json("$.transition.id")) == "31":
			d.changes[n]++
			d.states[n] = "closed"
			w.WriteHeader(204)
		default:
			reply(w, 400, `{}`)
		}
	}
	s := serve(t, handle)
	r := connect(t, s, Options{Preset: "jira", With: map[string]Value{"email": Plain("ana@example.com"), "token": Hidden("canary-token"), "project": Plain("OPS")}})
	follows(t, s, r, d, handle, 1, 3)

	lines := func(e *rules.Event) { e.Alarm.Episode, e.Title = "ep_LINES", "a\nb" }
	r.accepted(rules.AlarmFired, lines)
	noDone = true
	if reply := r.tell(rules.AlarmResolved, lines); reply.Verdict != webhook.Retry || !strings.Contains(reply.Err.Error(), "with.done") {
		t.Errorf("without the transition: %s: %v", reply.Verdict, reply.Err)
	}
	d.states[d.find("ep_LINES")] = "closed" // by hand
	r.accepted(rules.AlarmResolved, lines)
}

func TestIntercomTicketIsResolved(t *testing.T) {
	d := newDesk()
	s := serve(t, func(w http.ResponseWriter, c call) {
		number, _ := strings.CutPrefix(c.path, "/tickets/")
		n, _ := strconv.Atoi(number)
		switch {
		case c.header.Get("Authorization") != "Bearer canary-token" || c.header.Get("Intercom-Version") != "2.11":
			reply(w, 401, `{"type":"error.list"}`)
		case c.path == "/tickets" && text(c.json("$.ticket_type_id")) == "1234" && text(c.json("$.contacts[0].external_id")) == "site-12":
			reply(w, 200, fmt.Sprintf(`{"type":"ticket","id":"%d","ticket_id":"7"}`, d.create("x")))
		case d.keys[n] != "":
			d.changes[n]++
			if state := text(c.json("$.state")); state == "resolved" {
				d.states[n] = "closed"
			}
			reply(w, 200, `{"type":"ticket"}`)
		default:
			reply(w, 404, `{}`)
		}
	})
	r := connect(t, s, Options{Preset: "intercom", With: map[string]Value{"token": Hidden("canary-token"), "ticket_type": Plain(int64(1234)), "contact": Plain("site-12")}})
	r.accepted(rules.AlarmFired)
	r.accepted(rules.AlarmReminder)
	r.accepted(rules.AlarmAcked)
	r.accepted(rules.AlarmResolved)
	same(t, "the desk", d.tickets(), "x closed +3")
	s.instead(429, `{}`, "X-RateLimit-Reset", strconv.FormatInt(time.Now().Add(40*time.Second).Unix(), 10))
	r.waits(40*time.Second, rules.AlarmFired)
	s.instead(422, `{}`)
	r.verdict(webhook.Refused, rules.AlarmFired)
}

// What upserts by our key needs nothing to be remembered.
func TestUpsertedRecordFollowsItsEpisode(t *testing.T) {
	type record struct{ key, state string }
	for name, f := range map[string]struct {
		o      Options
		read   func(c call) record
		closed string
		answer string
		status int
	}{
		"hubspot": {
			o: Options{With: map[string]Value{"token": Hidden("canary-token")}},
			read: func(c call) record {
				return record{text(c.json("$.inputs[0].id")), text(c.json("$.inputs[0].properties.hs_pipeline_stage"))}
			}, closed: "4", answer: `{"status":"COMPLETE","results":[{"id":"123"}]}`, status: 200,
		},
		"salesforce": {
			read: func(c call) record {
				key, _ := strings.CutPrefix(c.path, "/services/data/v66.0/sobjects/Case/Alert_Key__c/")
				return record{key, text(c.json("$.Status"))}
			}, closed: "Closed", answer: `{"id":"500","success":true,"errors":[],"created":true}`, status: 201,
		},
		"zoho": {
			read: func(c call) record {
				return record{text(c.json("$.data[0].Alert_Key")), text(c.json("$.data[0].Status"))}
			}, closed: "Closed", answer: `{"data":[{"code":"SUCCESS","duplicate_field":null,"action":"insert","details":{"id":"1"},"status":"success"}]}`, status: 200,
		},
	} {
		records := map[string]string{}
		s := serve(t, func(w http.ResponseWriter, c call) {
			r := f.read(c)
			records[r.key] = r.state
			reply(w, f.status, f.answer)
		})
		f.o.Preset = name
		r := connect(t, s, f.o)
		r.accepted(rules.AlarmFired)
		r.accepted(rules.AlarmEscalated)
		if len(records) != 1 || records["ep_SAMPLE"] == "" || records["ep_SAMPLE"] == f.closed {
			t.Errorf("%s: %v", name, records)
		}
		r.accepted(rules.AlarmResolved)
		r.accepted(rules.AlarmFired, func(e *rules.Event) { e.Alarm.Episode = "ep_AGAIN" })
		if len(records) != 2 || records["ep_SAMPLE"] != f.closed || records["ep_AGAIN"] == f.closed {
			t.Errorf("%s: %v", name, records)
		}
		r.accepted(rules.TestPing)
		if records["evt_SAMPLE"] != f.closed {
			t.Errorf("%s: a test leaves something open: %v", name, records)
		}
		switch name {
		case "hubspot":
			s.instead(429, `{"status":"error","policyName":"DAILY"}`)
			r.waits(time.Hour, rules.AlarmFired)
			s.instead(207, `{"status":"COMPLETE","numErrors":1}`)
			r.verdict(webhook.Refused, rules.AlarmFired)
		case "salesforce":
			s.instead(403, `[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]`)
			r.waits(5*time.Minute, rules.AlarmFired)
			s.instead(300, `[]`)
			r.verdict(webhook.Refused, rules.AlarmFired)
			s.instead(503, ``)
			r.verdict(webhook.Retry, rules.AlarmFired)
		case "zoho":
			s.instead(200, `{"data":[{"code":"MANDATORY_NOT_FOUND","status":"error"}]}`)
			r.verdict(webhook.Refused, rules.AlarmFired)
			s.instead(202, `{"data":[{"code":"LIMIT","status":"error"}]}`)
			r.verdict(webhook.Retry, rules.AlarmFired)
		}
	}
}

// Salesforce lists OPERATION_ENQUEUED among the errors of an event that it took.
func TestPlatformEventWithErrorsIsPublished(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, c call) {
		if c.path != "/services/data/v66.0/sobjects/IoT_Alert__e/" || c.json("$.Value__c") != -11.2 && c.json("$.Device__c") != nil {
			reply(w, 404, `[{"errorCode":"NOT_FOUND"}]`)
			return
		}
		reply(w, 201, `{"id":"e00xx0000000001","success":true,"errors":[{"statusCode":"OPERATION_ENQUEUED","message":"x","fields":[]}]}`)
	})
	r := connect(t, s, Options{Preset: "salesforce-event"})
	r.accepted(rules.AlarmFired)
	same(t, "state", s.last().json("$.State__c"), "firing")
	s.instead(201, `{"id":null,"success":false,"errors":[]}`)
	r.verdict(webhook.Refused, rules.AlarmFired)
}

func TestServiceNowEventIsClearedBySeverity(t *testing.T) {
	severities := map[string]string{}
	s := serve(t, func(w http.ResponseWriter, c call) {
		info := text(c.json("$.records[0].additional_info"))
		if c.path != "/api/global/em/jsonv2" || !json.Valid([]byte(info)) {
			reply(w, 400, "{}")
			return
		}
		severities[text(c.json("$.records[0].message_key"))] = text(c.json("$.records[0].severity"))
		reply(w, 200, `{"result":{"Default Bulk Endpoint":"1 events were inserted"}}`)
	})
	r := connect(t, s, Options{Preset: "servicenow-em"})
	r.accepted(rules.AlarmFired)
	same(t, "severity", severities[alarmKey], "2")
	r.accepted(rules.AlarmResolved)
	same(t, "severity", severities[alarmKey], "0")
	r.accepted(rules.SourceDisconnected)
	r.accepted(rules.SourceReconnected)
	same(t, "of a source", severities["source/plant"], "0")
}
