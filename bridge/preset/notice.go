package preset

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"slices"
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
	Trace   string            // traceparent of the attempt; "": there is none
}

// A Reply is how an attempt ended.
type Reply struct {
	webhook.Result
	// Keep replaces what is kept for the alarm: the numbers of tickets and messages
	// that later requests need. Nil leaves it as it is, an empty map forgets it.
	Keep map[string]string
}

// Standard tells a receiver of Standard Webhooks: an event as it is, several as one
// message of the type batch.
func Standard(send func(context.Context, webhook.Message) webhook.Result) func(context.Context, []Notice) Reply {
	return func(ctx context.Context, batch []Notice) Reply {
		m := webhook.Message{ID: batch[0].ID, Body: batch[0].Envelope()}
		if len(batch) > 1 {
			m = batched(batch)
		}
		m.Trace = batch[0].Trace
		return Reply{Result: send(ctx, m)}
	}
}

// batched is several events as one message. Its id is made of theirs, so that the
// same batch has the same one; its data are the messages that they would be.
func batched(batch []Notice) webhook.Message {
	ids := sha256.New()
	var body []byte
	var newest time.Time
	for i := range batch {
		n := &batch[i]
		_, _ = fmt.Fprintf(ids, "%d %s", len(n.ID), n.ID)
		if n.At.After(newest) {
			newest = n.At
		}
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, n.Envelope()...)
	}
	head := `{"type":"batch","timestamp":"` + newest.UTC().Format(time.RFC3339Nano) + `","data":[`
	return webhook.Message{
		ID:   "bat_" + base32.StdEncoding.EncodeToString(ids.Sum(nil)[:15]),
		Body: slices.Concat([]byte(head), body, []byte("]}")),
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
