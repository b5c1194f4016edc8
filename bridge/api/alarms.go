package api

import (
	"context"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

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
	type alarmListing struct {
		Page
		State    string    `query:"state" enum:"pending,firing,recovering,inactive,all" doc:"as it is now; without it, whatever is not inactive. What is inactive is shown with its last episode"`
		Severity string    `query:"severity" enum:"info,warning,major,critical" doc:"as it is now, or was last"`
		Device   string    `query:"device" doc:"its id, or the name of a group"`
		Rule     string    `query:"rule" doc:"its id"`
		Since    time.Time `query:"since" doc:"the episode, or the last, began then or later"`
	}
	type alarmList struct {
		Alarms []bridge.Alarm `json:"alarms" doc:"by key"`
		Next   string         `json:"next,omitempty" doc:"the cursor of the next page; left out on the last one"`
	}
	reads(c, does{bridge.ScopeRead, "alarms", "List alarms"}, func(ctx context.Context, in *alarmListing) (list alarmList, err error) {
		q := bridge.AlarmQuery{From: in.Cursor, Limit: in.Limit, State: in.State, Device: in.Device, Rule: in.Rule, Since: in.Since}
		if err = q.Severity.UnmarshalText([]byte(in.Severity)); in.Severity != "" && err != nil {
			return list, badRequest("severity: %v", err)
		}
		list.Alarms, list.Next, err = c.bridge.Alarms(ctx, q)
		return list, err
	})
	reads(c, does{bridge.ScopeRead, "alarms/{key}", "Tell all that is known of an alarm"}, c.alarm)
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

// An alarmDetail is an alarm, why it stands as it does, and who was told.
type alarmDetail struct {
	bridge.Alarm
	Explanation *rules.Explanation `json:"explanation,omitempty" doc:"left out where no rule makes the alarm any more"`
	Deliveries  []DeliveryView     `json:"deliveries" doc:"the newest 100 that tell of it"`
}

func (c *control) alarm(ctx context.Context, in *struct {
	Key string `path:"key" doc:"the alarm's key, percent-encoded"`
}) (d alarmDetail, err error) {
	if d.Alarm, err = c.bridge.Alarm(ctx, in.Key); err != nil {
		return d, err
	}
	why, err := c.bridge.Explain(ctx, d.Device, d.Rule)
	if err != nil {
		return d, err
	}
	for i := range why {
		if why[i].Rule.ID == d.Rule {
			d.Explanation = &why[i]
		}
	}
	told, err := c.bridge.Deliveries(ctx, bridge.DeliveryQuery{Alarm: in.Key, Limit: 100})
	d.Deliveries = []DeliveryView{} // a list, never null
	for i := range told.Deliveries {
		d.Deliveries = append(d.Deliveries, viewOf(&told.Deliveries[i]))
	}
	return d, err
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
	if said.By == "" && in.x.by.id != "" {
		said.By = in.x.by.name // a token of one's own says who it is
	}
	err := c.bridge.Command(ctx, rules.Command{Verb: verb, Key: in.Key, By: said.By, Reason: said.Reason, Until: until})
	c.audit(&in.Caller, err, "by", said.By, "reason", said.Reason)
	return err
}
