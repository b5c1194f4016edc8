package api

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

// A DeliveryView is one event owed, or once owed, to one endpoint.
type DeliveryView struct {
	ID        string               `json:"id" doc:"of this delivery: that of the event, @, and the endpoint"`
	Event     string               `json:"event" doc:"the webhook-id"`
	Endpoint  string               `json:"endpoint"`
	Alarm     string               `json:"alarm,omitempty"`
	Type      rules.Type           `json:"type"`
	At        time.Time            `json:"at" doc:"of the event"`
	Committed time.Time            `json:"committed" doc:"since when it was owed"`
	State     bridge.DeliveryState `json:"state" enum:"waiting,delivered,dead,cancelled,superseded,dropped"`
	Tries     int                  `json:"tries" doc:"attempts made"`
	Due       time.Time            `json:"due,omitzero" doc:"of the next attempt"`
	Status    int                  `json:"status,omitempty" doc:"of the last attempt; left out when there was no answer"`
	Error     string               `json:"error,omitempty"`
	Ended     time.Time            `json:"ended,omitzero" doc:"of the last attempt"`
	SentAs    string               `json:"sent_as,omitempty" doc:"the webhook-id it was sent under, where that is another"`
}

// A DeliveryDetail is all that is kept of a delivery.
type DeliveryDetail struct {
	DeliveryView
	Data     json.RawMessage  `json:"data" doc:"the event"`
	Attempts []AttemptView    `json:"attempts"`
	Requests []bridge.Request `json:"requests" doc:"that tell the endpoint of it, as they would be made now; secrets and signatures are hidden"`
}

// An AttemptView is one attempt as the log has it.
type AttemptView struct {
	Number  int             `json:"number"`
	At      time.Time       `json:"at"`
	Took    string          `json:"took"`
	Timings json.RawMessage `json:"timings,omitempty" doc:"how long its parts took"`
	Status  int             `json:"status,omitempty"`
	Error   string          `json:"error,omitempty"`
	Answer  string          `json:"answer,omitempty" doc:"the beginning of what was answered: another's text, not to be trusted"`
	Cut     bool            `json:"cut,omitempty" doc:"answer is not the whole answer"`
}

func viewOf(d *bridge.DeliveryInfo) DeliveryView {
	return DeliveryView{
		ID: d.ID + "@" + d.Endpoint, Event: d.ID, Endpoint: d.Endpoint, Alarm: d.Alarm, Type: d.Type, At: d.At,
		Committed: d.Committed, State: d.State, Tries: d.Attempts, Due: d.Due, Status: d.Status, Error: d.Error,
		Ended: d.Ended, SentAs: d.SentAs,
	}
}

func detailOf(d *bridge.DeliveryDetail) DeliveryDetail {
	v := DeliveryDetail{DeliveryView: viewOf(&d.DeliveryInfo), Data: d.Data, Attempts: []AttemptView{}}
	for _, a := range d.Attempts {
		v.Attempts = append(v.Attempts, AttemptView{
			Number: a.Number, At: a.At, Took: a.Took.String(), Timings: a.Timings, Status: a.Status, Error: a.Error,
			Answer: strings.ToValidUTF8(string(a.Answer), "\uFFFD"), Cut: a.Cut,
		})
	}
	return v
}

// addDeliveries adds the log of deliveries and what can be done with it.
func (c *control) addDeliveries() {
	type deliveryListing struct {
		Page
		Endpoint string    `query:"endpoint" doc:"its name"`
		Alarm    string    `query:"alarm" doc:"its key"`
		Device   string    `query:"device" doc:"its id"`
		Type     string    `query:"type" doc:"of the event"`
		State    string    `query:"state" enum:"waiting,delivered,dead,cancelled,superseded,dropped" doc:"of the delivery"`
		Since    time.Time `query:"since" doc:"owed since then or later"`
		Until    time.Time `query:"until" doc:"owed since before"`
	}
	type deliveryList struct {
		Deliveries []DeliveryView `json:"deliveries" doc:"the newest first; a page may be short, or empty, and not be the last"`
		Next       string         `json:"next,omitempty" doc:"the cursor of the next page; left out on the last one"`
	}
	type deliveryAsked struct {
		ID string `path:"id" doc:"of the delivery; that of its event is enough where one endpoint was told"`
	}
	reads(c, does{bridge.ScopeRead, "deliveries", "List deliveries"}, func(ctx context.Context, in *deliveryListing) (deliveryList, error) {
		page, err := c.bridge.Deliveries(ctx, bridge.DeliveryQuery{
			Endpoint: in.Endpoint, Alarm: in.Alarm, Device: in.Device, Type: rules.Type(in.Type),
			State: bridge.DeliveryState(in.State), Since: in.Since, Until: in.Until, Limit: in.Limit, Cursor: in.Cursor,
		})
		list := deliveryList{Deliveries: []DeliveryView{}, Next: page.Cursor}
		for i := range page.Deliveries {
			list.Deliveries = append(list.Deliveries, viewOf(&page.Deliveries[i]))
		}
		return list, err
	})
	reads(c, does{bridge.ScopeRead, "deliveries/{id}", "Show a delivery, with every attempt"}, func(ctx context.Context, in *deliveryAsked) (DeliveryDetail, error) {
		d, err := c.delivery(ctx, in.ID)
		if err != nil {
			return DeliveryDetail{}, err
		}
		detail := detailOf(&d)
		detail.Requests = append([]bridge.Request{}, c.bridge.Requests(&d)...)
		return detail, nil
	})
	acts(c, does{bridge.ScopeOps, "deliveries/{id}/replay", "Send a delivery again, under its id"}, func(ctx context.Context, in *struct {
		Caller
		ID string `path:"id" doc:"of the delivery, or of its event"`
	}) (struct{}, error) {
		d, err := c.delivery(ctx, in.ID)
		if err == nil {
			var n int
			n, err = c.bridge.Replay(ctx, bridge.Selection{Endpoint: d.Endpoint, ID: d.ID}, false)
			if n == 0 && err == nil {
				err = conflict("delivery %s is owed already (it is sent when its turn comes)", in.ID)
			}
		}
		c.audit(&in.Caller, err)
		return struct{}{}, err
	})
	c.addReplay()
}

// delivery finds a delivery by its id, or by that of its event.
func (c *control) delivery(ctx context.Context, id string) (bridge.DeliveryDetail, error) {
	event, endpoint, whole := strings.Cut(id, "@")
	if whole {
		return c.bridge.Delivery(ctx, event, endpoint)
	}
	endpoints, err := c.bridge.Endpoints(ctx)
	if err != nil {
		return bridge.DeliveryDetail{}, err
	}
	var found []bridge.DeliveryDetail
	var names []string
	for _, e := range endpoints {
		d, err := c.bridge.Delivery(ctx, event, e.Name)
		switch {
		case err == nil:
			found, names = append(found, d), append(names, event+"@"+e.Name)
		case !errors.Is(err, bridge.ErrNoDelivery):
			return bridge.DeliveryDetail{}, err
		}
	}
	switch len(found) {
	case 0:
		return bridge.DeliveryDetail{}, nothing("there is no delivery %q (tocsin deliveries lists them)", id)
	case 1:
		return found[0], nil
	}
	return bridge.DeliveryDetail{}, badRequest("%s was owed to several endpoints (name one: %s)", event, strings.Join(names, ", "))
}

// Replayed says how many deliveries something was done to, or would be.
type Replayed struct {
	Deliveries int `json:"deliveries"`
}

// addReplay adds what acts on many deliveries.
func (c *control) addReplay() {
	type replaying struct {
		Caller
		Body struct {
			Endpoint string    `json:"endpoint"`
			Alarm    string    `json:"alarm,omitempty" doc:"only of this alarm"`
			Since    time.Time `json:"since,omitzero" doc:"only what was owed since then or later"`
			Until    time.Time `json:"until,omitzero" doc:"only what was owed since before"`
			Latest   bool      `json:"latest,omitempty" doc:"only the newest state of each alarm"`
			Dead     bool      `json:"dead,omitempty" doc:"only what was given up"`
			DryRun   bool      `json:"dry_run,omitempty" doc:"change nothing, only count"`
			Anyway   bool      `json:"anyway,omitempty" doc:"also for an endpoint that is not configured: it waits"`
		}
	}
	acts(c, does{bridge.ScopeOps, "replay", "Send an endpoint what it was sent before, or given up on"}, func(ctx context.Context, in *replaying) (Replayed, error) {
		b := &in.Body
		n, err := c.bridge.Replay(ctx, bridge.Selection{
			Endpoint: b.Endpoint, Alarm: b.Alarm, Since: b.Since, Until: b.Until, Latest: b.Latest, Dead: b.Dead, OnlySay: b.DryRun,
		}, b.Anyway)
		if b.DryRun {
			in.onlyAsks()
			return Replayed{n}, err
		}
		c.audit(&in.Caller, err, "endpoint", b.Endpoint, "alarm", b.Alarm, "deliveries", strconv.Itoa(n))
		return Replayed{n}, err
	})
	type discarding struct {
		Caller
		Name string `path:"name" doc:"of the endpoint"`
		Body struct {
			Alarm  string `json:"alarm,omitempty" doc:"only of this alarm"`
			Latest bool   `json:"latest,omitempty" doc:"keep the newest state of each alarm"`
			Reason string `json:"reason,omitempty" maxLength:"1000" doc:"why, for the log"`
			DryRun bool   `json:"dry_run,omitempty" doc:"change nothing, only count"`
		}
	}
	acts(c, does{bridge.ScopeOps, "endpoints/{name}/discard", "Do not send an endpoint what it is owed"}, func(ctx context.Context, in *discarding) (Replayed, error) {
		b := &in.Body
		n, err := c.bridge.Discard(ctx, bridge.Selection{Endpoint: in.Name, Alarm: b.Alarm, Latest: b.Latest, Reason: b.Reason, OnlySay: b.DryRun})
		if b.DryRun {
			in.onlyAsks()
			return Replayed{n}, err
		}
		c.audit(&in.Caller, err, "alarm", b.Alarm, "reason", b.Reason, "deliveries", strconv.Itoa(n))
		return Replayed{n}, err
	})
}
