package main

import (
	"log/slog"
	"strings"
	"time"

	"github.com/lmittmann/tint"
)

// newLogger logs to standard error: for people on a terminal, otherwise JSON. The
// level may change while it runs.
func newLogger(e env, level slog.Leveler, format string) *slog.Logger {
	if format == "json" || format != "text" && !isTerminal(e.Stderr) {
		return slog.New(slog.NewJSONHandler(e.Stderr, &slog.HandlerOptions{Level: level, ReplaceAttr: plainDurations}))
	}
	return slog.New(tint.NewTextHandler(e.Stderr, &tint.Options{
		Level: level, TimeFormat: time.TimeOnly, NoColor: !bool(paletteFor(e.Stderr, e.LookupEnv)),
	}))
}

// plainDurations writes a duration as people, the configuration and webhooks write
// it ("1m30s"), and not as a number of nanoseconds.
func plainDurations(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// levelOf is the level of a configuration that has been checked.
func levelOf(name string) slog.Level {
	var l slog.Level
	_ = l.UnmarshalText([]byte(name)) // it is one of four; info otherwise
	return l
}

// relevel goes by another log level from now on, unless a flag decided it.
func (r *reloader) relevel(name string) {
	if r.level == nil || r.level.Level() == levelOf(name) {
		return
	}
	was := r.level.Level()
	r.level.Set(min(was, levelOf(name))) // or nobody would read it
	r.log.Info("log level changed", "from", strings.ToLower(was.String()), "to", name)
	r.level.Set(levelOf(name))
}
