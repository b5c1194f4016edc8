package api

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"strings"
)

// serverLog takes what net/http has to say of connections. Most of it is what
// clients do wrong; a panic of a handler is our own fault.
type serverLog struct{ log *slog.Logger }

func newServerLog(l *slog.Logger) *log.Logger { return log.New(serverLog{l}, "", 0) }

func (s serverLog) Write(line []byte) (int, error) {
	level := slog.LevelDebug
	if bytes.Contains(line, []byte("panic serving")) {
		level = slog.LevelError
	}
	s.log.Log(context.Background(), level, "http server", "error", strings.TrimSpace(string(line)))
	return len(line), nil
}
