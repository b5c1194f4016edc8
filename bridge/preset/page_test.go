package preset

import (
	"net/http"
	"testing"

	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// A login, the notice of an instance that sleeps, a proxy's own words: they come
// with 200, and nobody has been told.
func TestPageForPeopleAcceptsNothing(t *testing.T) {
	const pageOfLogin = "\ufeff\r\n<!-- <b>x</b> --><?xml version=\"1.0\"?><!DOCTYPE HTML PUBLIC \"x\"><HTML><title>Log in</title></HTML>"
	s := serve(t, func(w http.ResponseWriter, _ call) { reply(w, 200, pageOfLogin) })
	for _, name := range Names() {
		p, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		r := connect(t, s, Options{Preset: name, With: with(p)})
		want := webhook.Retry
		if name == Default || p.Pages {
			want = webhook.Accepted // its answer is for whoever set it up to choose
		}
		if reply := r.tell(rules.AlarmFired); reply.Verdict != want {
			t.Errorf("%s: %s (%v), expected %s", name, reply.Verdict, reply.Err, want)
		}
	}
}

// A lookup that answers something else has not said that there is no ticket.
func TestLookupWithoutAnAnswerMakesNoTicket(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ call) { reply(w, 200, "please wait") })
	for _, name := range []string{"freshdesk", "intercom", "jira", "jira-datacenter", "servicenow", "zendesk"} {
		p, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		r := connect(t, s, Options{Preset: name, With: with(p)})
		before := len(s.calls)
		r.verdict(webhook.Retry, rules.AlarmFired)
		if n := len(s.calls) - before; n != 1 {
			t.Errorf("%s: %d requests", name, n)
		}
	}
}

// A ticket that was made has a name.
func TestTicketWithoutANameIsNone(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ call) { reply(w, 200, `{"ok":false,"error":"read only until six"}`) })
	for _, name := range []string{"freshdesk", "intercom", "jira", "jira-datacenter", "servicenow", "zendesk"} {
		p, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		connect(t, s, Options{Preset: name, With: with(p)}).verdict(webhook.Retry, rules.AlarmFired)
	}
}
