package api

import (
	"context"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

const maxAlarms = 10_000 // in one answer

// A comment is what a person says with a command.
type comment struct {
	By     string     `json:"by,omitempty" maxLength:"1000" doc:"who takes care of it"`
	Reason string     `json:"reason,omitempty" maxLength:"1000"`
	Until  *time.Time `json:"until,omitempty" doc:"the end of a shelving"`
}

// commanded is a command on one alarm.
type commanded struct {
	Caller
	Key  string `path:"key" doc:"the alarm's key, percent-encoded"`
	Body *comment
}

// addAlarms adds what lists alarms and takes care of them.
func (c *control) addAlarms() {
	type alarmList struct {
		Alarms []bridge.Alarm `json:"alarms"`
		More   bool           `json:"more" doc:"there are more than one answer holds"`
	}
	reads(c, does{bridge.ScopeRead, "alarms", "List the alarms that are not inactive"}, func(ctx context.Context, _ *struct{}) (alarmList, error) {
		alarms, err := c.bridge.Alarms(ctx, maxAlarms)
		return alarmList{alarms, len(alarms) == maxAlarms}, err
	})
	for verb, says := range map[rules.Verb]string{
		rules.Ack: "Acknowledge an alarm", rules.Unack: "Take an acknowledgement back",
		rules.Shelve: "Tell nobody of an alarm for a while", rules.Unshelve: "End a shelving",
		rules.Reset: "End a latched alarm that is clear",
	} {
		acts(c, does{bridge.ScopeOps, "alarms/{key}/" + string(verb), says}, func(ctx context.Context, in *commanded) (struct{}, error) {
			return struct{}{}, c.command(ctx, in, verb)
		})
	}
}

func (c *control) command(ctx context.Context, in *commanded, verb rules.Verb) error {
	var said comment
	if in.Body != nil {
		said = *in.Body
	}
	var until time.Time
	if said.Until != nil {
		until = *said.Until
	}
	switch {
	case verb == rules.Shelve && !until.After(time.Now()):
		return badRequest(`until: shelving needs a time in the future (send {"until": "2026-01-02T15:04:05Z"} with one)`)
	case verb != rules.Shelve && !until.IsZero():
		return badRequest("until: only shelving has an end (leave it out)")
	}
	err := c.bridge.Command(ctx, rules.Command{Verb: verb, Key: in.Key, By: said.By, Reason: said.Reason, Until: until})
	c.audit(&in.Caller, err, "by", said.By, "reason", said.Reason)
	return err
}
