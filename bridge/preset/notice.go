package preset

import (
	"context"
	"time"

	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// A Notice is one event that an endpoint is to be told of. What is sent depends
// on nothing else, so that every attempt carries the same bytes.
type Notice struct {
	ID      string            // of the event: the webhook-id
	Type    rules.Type        // of the event
	Alarm   string            // alarm key
	At      time.Time         // of the event
	Data    []byte            // the event as JSON
	Attempt int               // attempts made before this one
	Kept    map[string]string // what was kept of earlier answers about the same alarm; not to be changed
}

// A Reply is how an attempt ended.
type Reply struct {
	webhook.Result
	// Keep replaces what is kept for the alarm: the numbers of tickets and messages
	// that later requests need. Nil leaves it as it is, an empty map forgets it.
	Keep map[string]string
}

// Standard tells a receiver of Standard Webhooks, one event a request.
func Standard(send func(context.Context, webhook.Message) webhook.Result) func(context.Context, []Notice) Reply {
	return func(ctx context.Context, batch []Notice) Reply {
		n := &batch[0]
		return Reply{Result: send(ctx, webhook.Message{ID: n.ID, Body: n.Envelope()})}
	}
}

// Envelope is the event in the envelope that Standard Webhooks recommends.
func (n *Notice) Envelope() []byte {
	body := make([]byte, 0, len(n.Data)+96)
	body = append(body, `{"type":"`...)
	body = append(body, n.Type...)
	body = append(body, `","timestamp":"`...)
	body = n.At.UTC().AppendFormat(body, time.RFC3339Nano)
	body = append(body, `","data":`...)
	body = append(body, n.Data...)
	return append(body, '}')
}
