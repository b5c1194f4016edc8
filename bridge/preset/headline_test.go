package preset

import (
	"net/http"
	"strings"
	"testing"

	"tocsin/rules"
)

// People in a chat read the first words, and a title alone says how things stand
// and not what has happened: an alarm that went stale looked like another one.
func TestFirstWordsSayWhatHasHappened(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, c call) {
		if strings.HasPrefix(c.path, "/services/") {
			reply(w, 200, "ok")
			return
		}
		reply(w, 200, `{"ok":true,"status":1,"id":"1","ts":"1","channel":"C","result":{"message_id":1}}`)
	})
	const title = "freezer-07 at -11.2 °C, limit -12 °C"
	because := func(reason string) func(*rules.Event) {
		return func(e *rules.Event) { e.Reason = reason }
	}
	told := []struct {
		typ   rules.Type
		alter func(*rules.Event)
		want  string
	}{
		{rules.AlarmFired, because(""), "Major: " + title},
		{rules.AlarmEscalated, escalate(rules.Critical), "Now critical: " + title},
		{rules.AlarmDeescalated, escalate(rules.Warning), "Down to warning: " + title},
		{rules.AlarmReminder, because(""), "Still major: " + title},
		{rules.AlarmReturned, because(""), "Back to normal, not acknowledged: " + title},
		{rules.AlarmStale, because(""), "No data: " + title},
		{rules.AlarmFlapping, because(""), "Flapping: " + title},
		{rules.AlarmFlapEnded, because(""), "No longer flapping: " + title},
		{rules.AlarmAcked, because(""), "Acknowledged: " + title},
		{rules.AlarmUnacked, because(""), "No longer acknowledged: " + title},
		{rules.AlarmShelved, because(""), "Shelved: " + title},
		{rules.AlarmUnshelved, because(""), "No longer shelved: " + title},
		{rules.AlarmOccurred, because(""), "Was in alarm: " + title},
		{rules.AlarmResolved, because("cleared"), "Resolved: " + title},
		{rules.AlarmResolved, because("rule_changed"), "Ended, rule changed: " + title},
		{rules.AlarmResolved, because("schedule"), "Ended, outside of its schedule: " + title},
		{rules.AlarmResolved, because("no_data"), "Ended, no data: " + title},
		{rules.AlarmResolved, because("reset"), "Ended, reset: " + title},
		{rules.AlarmCancelled, because("rule_removed"), title}, // of these the title says it
		{rules.SourceDisconnected, because(""), title},
		{rules.ReadingMatched, because(""), "Reading: " + title},
	}
	for preset, said := range map[string]func(call) string{
		"slack":     func(c call) string { return text(c.json("$.blocks[0].text.text")) + "\n" + text(c.json("$.text")) },
		"slack-bot": func(c call) string { return text(c.json("$.blocks[0].text.text")) + "\n" + text(c.json("$.text")) },
		"discord":   func(c call) string { return text(c.json("$.embeds[0].title")) },
		"teams":     func(c call) string { return text(c.json("$.attachments[0].content.body[0].text")) },
		"telegram":  func(c call) string { line, _, _ := strings.Cut(text(c.json("$.text")), "\n"); return line },
		"ntfy":      func(c call) string { return text(c.json("$.title")) },
		"pushover":  func(c call) string { return c.form("title") },
		"twilio":    func(c call) string { return c.form("Body") },
	} {
		p, err := Find(preset)
		if err != nil {
			t.Fatal(err)
		}
		o := Options{Preset: preset, With: with(p)}
		if preset == "slack" {
			o.URL = "/services/T/B/X"
		}
		r := connect(t, s, o)
		for _, e := range told {
			sent := len(s.calls)
			r.accepted(e.typ, e.alter)
			if len(s.calls) == sent {
				continue // it asks for none of it
			}
			plain := strings.NewReplacer(`\`, "", "<b>", "", "</b>", "").Replace(said(s.last()))
			if strings.HasPrefix(e.want, "Ended") && strings.Contains(plain, "✅") {
				t.Errorf("%s: %q, and all is not well", preset, plain)
			}
			for line := range strings.Lines(plain) {
				if at := strings.Index(line, e.want); at < 0 || at > len("ℹ️ ") {
					t.Errorf("%s: %s begins with %q, want %q", preset, e.typ, line, e.want)
				}
			}
		}
	}
}
