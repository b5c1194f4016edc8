package bridge

import (
	"strconv"
	"time"

	"tocsin/bridge/webhook"
)

// timings are the parts of an attempt as the log keeps them: JSON, in
// milliseconds. What did not happen is left out.
func timings(t webhook.Timing) []byte {
	b := []byte{'{'}
	for _, part := range []struct {
		name string
		took time.Duration
	}{{"lookup", t.Lookup}, {"connect", t.Connect}, {"tls", t.TLS}, {"answer", t.Answer}} {
		if part.took <= 0 {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, part.name...)
		b = append(b, '"', ':')
		b = strconv.AppendFloat(b, float64(part.took.Microseconds())/1000, 'f', -1, 64)
	}
	if len(b) == 1 {
		return nil
	}
	return append(b, '}')
}
