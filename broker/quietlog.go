package broker

import (
	"context"
	"log/slog"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// quietLog passes the library's log on without what must not be in ours. The
// library logs whole packets, a CONNECT and its password among them, and it
// warns about whatever a client does wrong.
type quietLog struct{ next slog.Handler }

func quietLevel(l slog.Level) slog.Level {
	if l >= slog.LevelError {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

func (q quietLog) Enabled(ctx context.Context, l slog.Level) bool {
	return q.next.Enabled(ctx, quietLevel(l))
}

func (q quietLog) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, quietLevel(r.Level), "mqtt: "+r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if !secretAttr(a) {
			out.AddAttrs(a)
		}
		return true
	})
	return q.next.Handle(ctx, out)
}

func (q quietLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	var kept []slog.Attr
	for _, a := range attrs {
		if !secretAttr(a) {
			kept = append(kept, a)
		}
	}
	return quietLog{q.next.WithAttrs(kept)}
}

func (q quietLog) WithGroup(name string) slog.Handler { return quietLog{q.next.WithGroup(name)} }

// secretAttr says whether an attribute may hold a payload or a password. Only
// plain values and errors pass; a structure might hold anything tomorrow.
func secretAttr(a slog.Attr) bool {
	switch a.Key {
	case "pk", "packet", "will", "password", "payload":
		return true
	}
	if a.Value.Kind() != slog.KindAny {
		return false
	}
	switch a.Value.Any().(type) {
	case packets.Packet, *packets.Packet, mqtt.Will:
		return true
	case error:
		return false
	}
	return true
}
