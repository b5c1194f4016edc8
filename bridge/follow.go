package bridge

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"tocsin/bridge/preset"
	"tocsin/bridge/trace"
	"tocsin/bridge/webhook"
	"tocsin/broker"
	"tocsin/rules"
)

// An event can be followed from the message that decided it to the answer that
// accepted it: by its id in the log at level debug, and by its trace. Who follows
// nothing pays for a look at each decision, and for none at a reading.

// An origin is where some transitions of a group come from.
type origin struct {
	from, to int // of the group's transitions
	judged   time.Time

	source string         // "": no message decided it, but time or a person
	m      broker.Message // without its payload
	size   int            // of the payload
}

// following reports whether anybody wants to know where decisions come from.
func (b *Bridge) following() bool {
	return b.tracer != nil || b.log.Enabled(context.Background(), slog.LevelDebug)
}

// origin takes down where what is being decided comes from; nil when nobody wants
// to know. Without a message s and m are nil.
func (b *Bridge) origin(s *intake, m *broker.Message) *origin {
	if !b.following() {
		return nil
	}
	o := &origin{judged: time.Now()}
	if m != nil {
		o.source, o.m, o.size = s.Name(), *m, len(m.Payload)
		o.m.Payload = nil
	}
	return o
}

// started is when a decision began to be made.
func (o *origin) started() time.Time {
	if o.source != "" {
		return o.m.Received
	}
	return o.judged
}

// originOf is where a group's transition comes from; nil when that is not known.
func (g *group) originOf(transition int) *origin {
	for i := range g.origins {
		if o := &g.origins[i]; o.from <= transition && transition < o.to {
			return o
		}
	}
	return nil
}

// follow tells of the events of a group that is on disk.
func (b *Bridge) follow(g *group) {
	if !b.following() {
		return
	}
	now := time.Now()
	for i := range g.batch.Transitions {
		o := g.originOf(i)
		for j := range g.batch.Transitions[i].Events {
			ev := &g.batch.Transitions[i].Events[j]
			if o == nil { // of the bridge itself
				o = &origin{judged: ev.At}
			}
			b.followEvent(ev, o, now)
		}
	}
}

// followEvent tells of an event that is on disk.
func (b *Bridge) followEvent(ev *rules.Event, o *origin, now time.Time) {
	if b.log.Enabled(context.Background(), slog.LevelDebug) {
		b.log.Debug("event stored", "event", ev.ID, "type", ev.Type, "alarm", ev.Alarm.Key, "rule", ev.Rule.ID, "device", ev.Device.ID,
			"source", o.source, "topic", o.m.Topic, "client", o.m.Client, "after", now.Sub(o.started()), b.tracer.Attr(ev.ID))
	}
	root := trace.Of(ev.ID)
	if !b.tracer.Sampled(root.Trace) {
		return
	}
	s := trace.Span{
		Context: root, Name: string(ev.Type), Start: o.started(), End: now,
		Attrs: []slog.Attr{
			slog.String("tocsin.event.id", ev.ID), slog.String("tocsin.event.type", string(ev.Type)),
			slog.String("tocsin.alarm", ev.Alarm.Key), slog.String("tocsin.episode", ev.Alarm.Episode),
			slog.String("tocsin.rule", ev.Rule.ID), slog.String("tocsin.device", ev.Device.ID),
		},
	}
	if ev.Alarm.Key != "" {
		s.Attrs = append(s.Attrs, slog.String("tocsin.severity", ev.Alarm.Severity.String()))
	}
	if o.source != "" {
		s.Kind = trace.Consumer
		s.Attrs = append(s.Attrs, slog.String("tocsin.source", o.source),
			slog.String("messaging.system", "mqtt"), slog.String("messaging.operation.type", "process"), slog.String("messaging.operation.name", "process"),
			slog.String("messaging.destination.name", o.m.Topic), slog.String("messaging.client.id", o.m.Client), slog.Int("messaging.message.body.size", o.size))
		if sender, ok := trace.ParseParent(o.m.Trace); ok {
			s.Links = []trace.Context{sender}
		}
	}
	b.tracer.Record(s)
	b.tracer.Record(trace.Span{Context: trace.Commit(ev.ID), Parent: root.Span, Name: "commit", Start: o.judged, End: now})
}

// A pursuit is what is followed of an attempt.
type pursuit struct {
	begun time.Time
	span  trace.Context
}

// try makes an attempt and takes its result down.
func (l *lane) try(ctx context.Context, e *Endpoint, a *attempt, notices []preset.Notice) {
	first := &notices[0]
	if l.tracer != nil {
		a.begun = time.Now()
		a.span = trace.Of(first.ID) // of what is not stored the attempt is all there is
		if a.passed == nil {
			a.span = a.span.Child()
		}
		first.Trace = l.tracer.Parent(a.span)
	}
	if l.log.Enabled(ctx, slog.LevelDebug) {
		l.log.Debug("attempt begins", "event", first.ID, "type", first.Type, "attempt", first.Attempt+1, "events", len(notices), l.tracer.Attr(first.ID))
	}
	a.result = e.Send(ctx, notices)
}

// followAttempt tells how an attempt ended. What it was an attempt at is its first
// event; others of its batch are linked.
func (l *lane) followAttempt(a *attempt, outcome string) {
	debug := l.log.Enabled(context.Background(), slog.LevelDebug)
	if l.tracer == nil && !debug {
		return
	}
	e, res := l.endpoint.Load(), &a.result
	id, number := "", 1
	if a.passed != nil {
		id = a.passed.ID
	} else {
		id, number = a.batch[0].ID, a.batch[0].Attempt+1
	}
	text := ""
	if res.Err != nil {
		text = res.Err.Error()
	}
	if debug {
		l.log.Debug("attempt ended", "event", id, "attempt", number, "outcome", outcome, "status", res.Status, "took", res.Took, "error", text, l.tracer.Attr(id))
	}
	if !l.tracer.Sampled(a.span.Trace) || res.Held || res.Status == 0 && res.Verdict == webhook.Accepted {
		return // nothing was asked
	}
	s := trace.Span{
		Context: a.span, Kind: trace.Client, Name: "deliver " + e.Name, Start: a.begun, End: a.begun.Add(res.Took), Failed: res.Err != nil, Error: text,
		Attrs: []slog.Attr{
			slog.String("tocsin.event.id", id), slog.String("tocsin.endpoint", e.Name), slog.Int("tocsin.attempt", number),
			slog.String("tocsin.outcome", outcome), slog.String("server.address", e.Host),
		},
	}
	if a.passed == nil {
		s.Parent = trace.Of(id).Span
	}
	if res.Status != 0 {
		s.Attrs = append(s.Attrs, slog.Int("http.response.status_code", res.Status))
	}
	if s.Failed {
		s.Attrs = append(s.Attrs, slog.String("error.type", errorType(res)))
	}
	for i := 1; i < len(a.batch); i++ {
		s.Links = append(s.Links, trace.Of(a.batch[i].ID))
	}
	l.tracer.Record(s)
}

// errorType is the class of a failure.
func errorType(res *preset.Reply) string {
	switch {
	case res.Status != 0:
		return strconv.Itoa(res.Status)
	case errors.Is(res.Err, context.DeadlineExceeded):
		return "timeout"
	}
	return "_OTHER"
}
