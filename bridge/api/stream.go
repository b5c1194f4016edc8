package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"tocsin/bridge"
)

const (
	beatEvery   = 15 * time.Second // a comment, when there is nothing else: proxies cut what is silent
	writeWithin = 10 * time.Second
	maxStreams  = 16 // of one bearer
)

// A crowd is how many streams each bearer has open: nobody takes the places of all.
type crowd struct {
	mu sync.Mutex
	of map[bearer]int
}

// enter reports whether one more is let in. Who is has to leave.
func (c *crowd) enter(by bearer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[by] >= maxStreams {
		return false
	}
	c.of[by]++
	return true
}

func (c *crowd) leave(by bearer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[by]--; c.of[by] == 0 {
		delete(c.of, by)
	}
}

type streaming struct {
	Caller
	Kinds    []string `query:"kinds" enum:"event,delivery,reading" doc:"what to tell of, joined by commas; left out: events and deliveries"`
	Device   string   `query:"device" doc:"only of this device"`
	Rule     string   `query:"rule" doc:"only of this rule"`
	Endpoint string   `query:"endpoint" doc:"only what this endpoint is told, or is told of it"`
	After    string   `header:"Last-Event-ID" doc:"the id of the last that was seen: what came since is told first, or a gap where that is not known any more"`
}

// addStream adds what tells of things as they happen.
func (c *control) addStream() {
	op := huma.Operation{Method: http.MethodGet}
	op.Responses = map[string]*huma.Response{"200": {
		Description: "Server-sent events: event, delivery, reading, gap and, when the server ends the stream, end with the reason. Their data is JSON; those that have an id can be gone on from.",
		Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}},
	}}
	d := does{bridge.ScopeRead, "stream", "Tell of events, deliveries and readings as they happen"}
	c.describe(&op, d, "get-stream")
	huma.Register(c.api, op, func(_ context.Context, in *streaming) (*huma.StreamResponse, error) {
		by := in.x.by
		if !c.crowd.enter(by) {
			return nil, asProblem(fmt.Errorf("%w with the token %q: %d do (end another one first)", bridge.ErrWatches, by.name, maxStreams))
		}
		watch, err := c.bridge.Watch(bridge.WatchQuery{Kinds: in.Kinds, Device: in.Device, Rule: in.Rule, Endpoint: in.Endpoint, After: in.After})
		if err != nil {
			c.crowd.leave(by)
			return nil, asProblem(err)
		}
		return &huma.StreamResponse{Body: func(ctx huma.Context) {
			defer c.crowd.leave(by)
			defer watch.Close()
			c.stream(ctx, watch)
		}}, nil
	})
}

// stream writes what happens until the client goes, is too slow, or may not watch
// any more, or the server stops.
func (c *control) stream(ctx huma.Context, watch *bridge.Watch) {
	r, w := humago.Unwrap(ctx)
	x, ok := w.(*exchange)
	if !ok {
		return // authorize has made sure of it
	}
	control := http.NewResponseController(w)
	send := func(text []byte) bool {
		// The connection's own deadline is for requests that end.
		if err := control.SetWriteDeadline(time.Now().Add(writeWithin)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return false
		}
		_, err := w.Write(text)
		return err == nil && control.Flush() == nil
	}
	end := func(reason string) {
		data, _ := json.Marshal(map[string]string{"reason": reason}) // texts can be encoded
		send(message("end", "", data))
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for alive := send([]byte("retry: 2000\n\n")); alive; {
		select {
		case <-r.Context().Done():
			return
		case <-c.ending:
			end("the server stops")
			return
		case <-beat.C:
			if !c.gate.lets(x.by) {
				end("the token is not good any more")
				return
			}
			alive = send([]byte(":\n\n"))
		case m, more := <-watch.C:
			if !more {
				end(watch.Err().Error())
				return
			}
			if !c.gate.lets(x.by) {
				end("the token is not good any more")
				return
			}
			data, err := json.Marshal(m)
			if err != nil {
				c.log.Error("what happened cannot be written", "kind", m.Kind, "error", err)
				continue
			}
			alive = send(message(m.Kind, m.ID, data))
		}
	}
}

// message is one server-sent event. The data is JSON, which has no line breaks.
func message(kind, id string, data []byte) []byte {
	var b bytes.Buffer
	if id != "" {
		b.WriteString("id: " + id + "\n")
	}
	b.WriteString("event: " + kind + "\ndata: ")
	b.Write(data)
	b.WriteString("\n\n")
	return b.Bytes()
}
