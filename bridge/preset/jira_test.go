package preset

import (
	"fmt"
	"html"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// A jira is one of Atlassian's, or with api 2 one of a company's own.
type jira struct {
	*desk
	api         string
	who         string // what its Authorization has to be
	transitions string // what it offers for an open issue
	described   string // the last description or comment, as people see it
}

func (j *jira) handle(w http.ResponseWriter, c call) {
	base, search := "/rest/api/"+j.api+"/", "search"
	if j.api == "3" {
		search = "search/jql"
	}
	what, _ := strings.CutPrefix(c.path, base)
	key, action, _ := strings.Cut(strings.TrimPrefix(what, "issue/"), "/")
	n, _ := strconv.Atoi(strings.TrimPrefix(key, "OPS-"))
	switch {
	case c.header.Get("Authorization") != j.who:
		reply(w, 401, `{"errorMessages":["You do not have permission"]}`)
	case what == search:
		j.search(w, text(c.json("$.jql")))
	case j.api == "3" && what == "search":
		reply(w, 410, `{"errorMessages":["The requested API has been removed."]}`)
	case what == "issue":
		j.make(w, c)
	case j.keys[n] == "":
		reply(w, 404, `{"errorMessages":["Issue does not exist or you do not have permission to see it."],"errors":{}}`)
	case action == "":
		reply(w, 200, fmt.Sprintf(`{"fields":{"status":{"statusCategory":{"key":"%s"}}}}`, map[string]string{"open": "new", "closed": "done"}[j.states[n]]))
	case action == "comment":
		if !j.describe(c, "$.body") {
			reply(w, 400, `{"errorMessages":["INVALID_INPUT"]}`)
			return
		}
		j.changes[n]++
		reply(w, 201, `{"id":"10"}`)
	case c.method == http.MethodGet:
		reply(w, 200, `{"expand":"transitions","transitions":[`+j.transitions+`]}`)
	case text(c.json("$.transition.id")) == "31":
		j.changes[n]++
		j.states[n] = "closed"
		w.WriteHeader(204)
	default:
		reply(w, 400, `{"errorMessages":["It seems that you have tried to perform a workflow operation that is not valid for the current state of this issue."]}`)
	}
}

func (j *jira) search(w http.ResponseWriter, jql string) {
	for n, key := range j.keys {
		if j.states[n] == "open" && jql == `project = "OPS" and labels = "tocsin-`+hash(key)+`" and statusCategory != Done` {
			reply(w, 200, fmt.Sprintf(`{"issues":[{"id":"1","key":"OPS-%d"}]}`, n))
			return
		}
	}
	reply(w, 200, `{"issues":[]}`)
}

func (j *jira) make(w http.ResponseWriter, c call) {
	if strings.ContainsAny(text(c.json("$.fields.summary")), "\r\n") {
		reply(w, 400, `{"errorMessages":[],"errors":{"summary":"The summary is invalid because it contains newline characters."}}`)
		return
	}
	if !j.describe(c, "$.fields.description") || text(c.json("$.fields.issuetype.name")) != "Incident" {
		reply(w, 400, `{"errorMessages":[],"errors":{"description":"Operation value must be an Atlassian Document (see the Atlassian Document Format)"}}`)
		return
	}
	for _, key := range episodes() {
		if text(c.json("$.fields.labels[1]")) == "tocsin-"+hash(key) {
			reply(w, 201, fmt.Sprintf(`{"id":"1","key":"OPS-%d"}`, j.create(key)))
		}
	}
}

// describe reads a text in the form that the service takes.
func (j *jira) describe(c call, path string) bool {
	if j.api == "3" {
		j.described = text(c.json(path + ".content[0].content[0].text"))
		return text(c.json(path+".type")) == "doc" && j.described != ""
	}
	s, ok := c.json(path).(string)
	if strings.ContainsAny(s, "{}[]\\|!*_^~?") { // which its wiki markup would take
		return false
	}
	j.described = html.UnescapeString(s)
	return ok && s != ""
}

func TestJiraIssueFollowsItsEpisode(t *testing.T) {
	const todo, done = `{"id":"11","name":"Zu erledigen","to":{"statusCategory":{"key":"new"}}}`, `{"id":"31","name":"Fertig","to":{"statusCategory":{"key":"done"}}}`
	for _, f := range []struct {
		preset, api string
		with        map[string]Value
		auth        webhook.Auth
		who         string
	}{
		{"jira", "3", map[string]Value{"email": Plain("ana@example.com"), "token": Hidden("canary-token")}, webhook.Auth{}, "Basic " + basic("ana@example.com", "canary-token")},
		{"jira-datacenter", "2", map[string]Value{}, webhook.Bearer(webhook.NewCredential("canary-pat")), "Bearer canary-pat"},
	} {
		t.Run(f.preset, func(t *testing.T) {
			j := &jira{desk: newDesk(), api: f.api, who: f.who, transitions: todo + "," + done}
			s := serve(t, j.handle)
			f.with["project"] = Plain("OPS")
			r := connectAs(t, s, Options{Preset: f.preset, With: f.with}, f.auth)
			follows(t, s, r, j.desk, j.handle, 1, 3)
			s.instead(429, `{"errorMessages":["Rate limit exceeded."]}`, "Retry-After", "45")
			r.waits(45*time.Second, rules.AlarmFired)
			s.instead(200, `{"issues":[]}`)
			s.instead(400, `{"errorMessages":[],"errors":{"issuetype":"Specify a valid issue type"}}`)
			r.verdict(webhook.Refused, rules.AlarmFired)

			lines := func(e *rules.Event) {
				e.Alarm.Episode, e.Title, e.Because = "ep_LINES", "a\nb", `[~ana] {code} \\{x} !http://x/y.png! &amp; "freezer-07"`
			}
			r.accepted(rules.AlarmFired, lines)
			same(t, "the description", j.described, `[~ana] {code} \\{x} !http://x/y.png! &amp; "freezer-07"`)
			j.transitions = todo
			if reply := r.tell(rules.AlarmResolved, lines); reply.Verdict != webhook.Retry || !strings.Contains(reply.Err.Error(), "with.done") {
				t.Errorf("without the transition: %s: %v", reply.Verdict, reply.Err)
			}
			j.states[j.last] = "closed" // by hand
			r.accepted(rules.AlarmResolved, lines)

			j.transitions = `{"id":"32","name":"Rejected","to":{"statusCategory":{"key":"done"}}},{"id":"31","name":"Done","to":{"statusCategory":{"key":"done"}}}`
			f.with["done"] = Plain("Done")
			r = connectAs(t, s, Options{Preset: f.preset, With: f.with}, f.auth)
			later := func(e *rules.Event) { e.Alarm.Episode = "ep_LATER" }
			r.accepted(rules.AlarmFired, later)
			r.accepted(rules.AlarmResolved, later)
			same(t, "of two ways to be done, the one that is named", j.states[j.last], "closed")
		})
	}
}
