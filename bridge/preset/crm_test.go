package preset

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// episodes are those that tests tell of.
func episodes() []string {
	return []string{"ep_SAMPLE", "ep_AGAIN", "evt_SAMPLE", "ep_GONE", "ep_LATER", "ep_LINES", "source/plant"}
}

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
	last    int
}

func newDesk() *desk {
	return &desk{keys: map[int]string{}, states: map[int]string{}, changes: map[int]int{}}
}

func (d *desk) create(key string) int {
	d.last = max(d.last+1, 35)
	d.keys[d.last], d.states[d.last] = key, "open"
	return d.last
}

// find is the ticket of a key, 0 if none is open.
func (d *desk) find(key string) int {
	for n, k := range d.keys {
		if k == key && d.states[n] == "open" {
			return n
		}
	}
	return 0
}

// remove is what somebody does by hand.
func (d *desk) remove(n int) {
	delete(d.keys, n)
	delete(d.states, n)
}

// tickets is what there is, in the order of its making.
func (d *desk) tickets() string {
	var list []string
	for _, n := range slices.Sorted(maps.Keys(d.keys)) {
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
	mishaps(t, s, r, d)
}

// mishaps are what people do to tickets and credentials.
func mishaps(t *testing.T, s *service, r *receiver, d *desk) {
	t.Helper()
	r.kept = nil
	before := len(d.keys)
	s.instead(401, `{"error":"invalid credentials"}`)
	r.verdict(webhook.Retry, rules.AlarmFired) // a key that is replaced within the hour
	s.instead(503, ``, "Retry-After", "120")
	r.waits(2*time.Minute, rules.AlarmFired)
	if len(d.keys) != before {
		t.Errorf("a ticket was made: %s", d.tickets())
	}
	gone := func(id string) func(*rules.Event) {
		return func(e *rules.Event) { e.Alarm.Episode, e.ID = "ep_GONE", id }
	}
	r.accepted(rules.AlarmFired, gone("evt_1"))
	d.remove(d.find("ep_GONE"))
	r.accepted(rules.AlarmEscalated, gone("evt_2")) // which is worth another ticket
	if n := d.find("ep_GONE"); n == 0 || d.states[n] != "open" {
		t.Errorf("an alarm whose ticket was deleted is nowhere: %s", d.tickets())
	}
	d.remove(d.find("ep_GONE"))
	r.accepted(rules.AlarmResolved, gone("evt_3")) // and its end is not
	if d.find("ep_GONE") != 0 || len(r.kept) != 0 {
		t.Errorf("after the end: %s, kept %v", d.tickets(), r.kept)
	}

	// A source has no episodes: what was solved the last time is not found again.
	for n := range 2 {
		event := func(e *rules.Event) { e.ID = fmt.Sprintf("evt_source_%d", n) }
		r.accepted(rules.SourceDisconnected, event)
		r.accepted(rules.SourceReconnected, event)
	}
	if got := d.tickets(); !strings.HasSuffix(got, ", source/plant closed +1, source/plant closed +1") {
		t.Errorf("a source that was away twice: %s", got)
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
			var list []string
			for _, n := range slices.Sorted(maps.Keys(d.keys)) {
				if d.keys[n] == c.query.Get("external_id") {
					list = append(list, fmt.Sprintf(`{"url":"x","id":%d,"status":"%s"}`, n, map[string]string{"open": "open", "closed": "solved"}[d.states[n]]))
				}
			}
			reply(w, 200, `{"tickets":[`+strings.Join(list, ",")+`]}`)
		case c.method == http.MethodPost && c.path == "/api/v2/tickets.json":
			key := c.header.Get("Idempotency-Key") + text(c.json("$.ticket.external_id"))
			if key == "" || len(key) > 255 || utf8.RuneCountInString(text(c.json("$.ticket.subject"))) > 255 {
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
	r.accepted(rules.AlarmFired, func(e *rules.Event) { e.Alarm.Episode, e.Title = "ep_LONG", strings.Repeat("é{", 400) })
	s.instead(429, "", "Retry-After", "93")
	r.waits(93*time.Second, rules.AlarmFired)
	s.instead(409, "")
	r.verdict(webhook.Retry, rules.AlarmFired)
	s.instead(200, `{"tickets":[]}`)
	s.instead(422, `{"error":"RecordInvalid","description":"Record validation errors","details":{"priority":[{"error":"InvalidValue"}]}}`)
	r.verdict(webhook.Refused, rules.AlarmFired)

	// A ticket that was closed for good takes nothing more: the next one is made.
	later := func(e *rules.Event) { e.Alarm.Episode, e.ID = "ep_LATER", "evt_2" }
	r.accepted(rules.AlarmFired, later)
	d.states[d.last] = "closed"
	r.accepted(rules.AlarmEscalated, later, func(e *rules.Event) { e.ID, e.Because = "evt_3", "{{ticket.requester.email}}" })
	same(t, "the new one", d.states[d.last], "open")
	if text := text(s.last().json("$.ticket.comment.body")); strings.Contains(text, "{{") || !strings.Contains(text, "ticket.requester.email") {
		t.Errorf("a placeholder: %s", text)
	}
	r.accepted(rules.AlarmReminder, later, func(e *rules.Event) { e.Title = "{{dc.secret}}" })
	if text := text(s.last().json("$.ticket.comment.body")); strings.Contains(text, "{{") || !strings.Contains(text, "dc.secret") {
		t.Errorf("a placeholder: %s", text)
	}
	same(t, "the priority of a reminder", s.last().json("$.ticket.priority"), nil) // people may have changed it
}

func TestFreshdeskTicketFollowsItsEpisode(t *testing.T) {
	d := newDesk()
	indexed := 0 // what a search finds: it lags behind
	handle := func(w http.ResponseWriter, c call) {
		number, _ := strings.CutPrefix(c.path, "/api/v2/tickets/")
		number, action, _ := strings.Cut(number, "/")
		n, _ := strconv.Atoi(number)
		switch {
		case basicAuth(c) != "canary-key:X":
			reply(w, 401, `{"code":"invalid_credentials"}`)
		case c.path == "/api/v2/search/tickets":
			for n, key := range d.keys {
				if n <= indexed && d.states[n] == "open" && c.query.Get("query") == `"tag:'tocsin-`+hash(key)+`' AND (status:<3 OR status:>6)"` {
					reply(w, 200, fmt.Sprintf(`{"total":1,"results":[{"id":%d}]}`, n))
					return
				}
			}
			reply(w, 200, `{"total":0,"results":[]}`)
		case c.path == "/api/v2/tickets" && c.method == http.MethodGet:
			if d.last == 0 { // nobody has this address
				reply(w, 400, `{"description":"Validation failed","errors":[{"field":"email","message":"There is no contact matching the given email","code":"invalid_value"}]}`)
				return
			}
			var recent []string
			for n := d.last; n > indexed; n-- {
				if key := d.keys[n]; key != "" {
					recent = append(recent, fmt.Sprintf(`{"cc_emails":[],"id":%d,"status":%d,"tags":["tocsin","tocsin-%s"]}`, n, map[string]int{"open": 2, "closed": 4}[d.states[n]], hash(key)))
				}
			}
			reply(w, 200, "["+strings.Join(recent, ",")+"]")
		case c.path == "/api/v2/tickets" && c.method == http.MethodPost:
			if text(c.json("$.email")) == "" || text(c.json("$.description")) == "" || text(c.json("$.status")) != "2" {
				reply(w, 400, `{"description":"Validation failed"}`)
				return
			}
			for _, key := range episodes() {
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
	follows(t, s, r, d, handle, 2, 3)
	s.instead(429, "", "Retry-After", "30")
	r.waits(30*time.Second, rules.AlarmFired)
	s.instead(200, `[]`)
	s.instead(200, `{"total":0,"results":[]}`)
	s.instead(400, `{"description":"Validation failed","errors":[{"field":"priority","code":"invalid_value"}]}`)
	r.verdict(webhook.Refused, rules.AlarmFired)

	again := func(e *rules.Event) { e.Alarm.Episode = "ep_LATER" }
	r.accepted(rules.AlarmFired, again)
	indexed, r.kept = d.last, nil
	r.accepted(rules.AlarmResolved, again)
	same(t, "a ticket that only the search finds", d.states[d.last], "closed")

	markup := func(e *rules.Event) { e.Alarm.Episode, e.Because = "ep_LINES", `<img src=x onerror="alert(1)">&` }
	r.accepted(rules.AlarmFired, markup)
	if text := text(s.last().json("$.description")); !strings.HasPrefix(text, "<p>&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;</p>") {
		t.Errorf("HTML: %s", text)
	}
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
			query, _ := strings.CutPrefix(c.query.Get("sysparm_query"), "correlation_id=")
			key, filter, _ := strings.Cut(query, "^")
			if n := d.find(key); n > 0 && filter == "active=true^state!=6" {
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
	s.instead(429, `{"error":{"message":"Rate limit exceeded"},"status":"failure"}`, "Retry-After", "600")
	r.waits(10*time.Minute, rules.AlarmFired)
	s.instead(403, `{"error":{"message":"Operation Failed","detail":"ACL Exception Insert Failed due to security constraints"},"status":"failure"}`)
	r.verdict(webhook.Retry, rules.AlarmFired) // a role that is missing is given

	r.accepted(rules.AlarmFired)
	r.accepted(rules.AlarmEscalated, escalate(rules.Critical), func(e *rules.Event) { e.Title = "[code]<b>x</b>[/code]" })
	same(t, "urgency", s.last().json("$.urgency"), "1")
	if notes := text(s.last().json("$.work_notes")); strings.Contains(notes, "[code]") || !strings.Contains(notes, "<b>x</b>") {
		t.Errorf("work notes: %s", notes)
	}
	r.accepted(rules.AlarmReminder)
	same(t, "urgency of a reminder", s.last().json("$.urgency"), nil) // people may have changed it
}

func TestIntercomTicketFollowsItsEpisode(t *testing.T) {
	d, known := newDesk(), map[string]string{} // cases by what stands for them
	for _, key := range episodes() {
		known[hash(key)] = key
	}
	handle := func(w http.ResponseWriter, c call) {
		number, _ := strings.CutPrefix(c.path, "/tickets/")
		n, _ := strconv.Atoi(number)
		_, key, _ := strings.Cut(text(c.json("$.ticket_attributes._default_description_")), "\n\ntocsin-")
		switch {
		case c.header.Get("Authorization") != "Bearer canary-token" || c.header.Get("Intercom-Version") != "2.11":
			reply(w, 401, `{"type":"error.list","errors":[{"code":"unauthorized","message":"Access Token Invalid"}]}`)
		case c.path == "/tickets/search" && text(c.json("$.query.value[1]")) == "field=state, operator=!=, value=resolved":
			key, _ := strings.CutPrefix(text(c.json("$.query.value[field=description].value")), "tocsin-")
			if n := d.find(known[key]); n > 0 {
				reply(w, 200, fmt.Sprintf(`{"type":"ticket.list","tickets":[{"type":"ticket","id":"%d","ticket_id":"7"}],"total_count":1}`, n))
				return
			}
			reply(w, 200, `{"type":"ticket.list","tickets":[],"total_count":0}`)
		case utf8.RuneCountInString(text(c.json("$.ticket_attributes._default_title_"))) > 255:
			reply(w, 422, `{"type":"error.list","errors":[{"code":"parameter_invalid"}]}`)
		case c.path == "/tickets" && text(c.json("$.ticket_type_id")) == "1234" && text(c.json("$.contacts[0].external_id")) == "site-12" && key != "":
			reply(w, 200, fmt.Sprintf(`{"type":"ticket","id":"%d","ticket_id":"7"}`, d.create(known[key])))
		case d.keys[n] == "" || c.method != http.MethodPut:
			reply(w, 404, `{"type":"error.list","errors":[{"code":"ticket_not_found","message":"Ticket not found"}]}`)
		case text(c.json("$.state")) == "resolved":
			d.states[n] = "closed"
			fallthrough
		default:
			d.changes[n]++
			reply(w, 200, `{"type":"ticket"}`)
		}
	}
	s := serve(t, handle)
	r := connect(t, s, Options{Preset: "intercom", With: map[string]Value{"token": Hidden("canary-token"), "ticket_type": Plain(int64(1234)), "contact": Plain("site-12")}})
	follows(t, s, r, d, handle, 1, 3)
	r.accepted(rules.AlarmFired, func(e *rules.Event) { e.Alarm.Episode, e.Title = "ep_LONG", strings.Repeat("é{", 400) })
	s.instead(429, `{"type":"error.list","errors":[{"code":"rate_limit_exceeded"}]}`, "X-RateLimit-Reset", strconv.FormatInt(time.Now().Add(40*time.Second).Unix(), 10))
	r.waits(40*time.Second, rules.AlarmFired)
	s.instead(200, `{"tickets":[]}`)
	s.instead(422, `{"type":"error.list","errors":[{"code":"parameter_invalid"}]}`)
	r.verdict(webhook.Refused, rules.AlarmFired)
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
