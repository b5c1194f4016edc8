package config

import "time"

// How an endpoint is treated: package bridge's lanes go by it.

func (l *loader) checkBreaker(path []string, b *Breaker) {
	if b == nil {
		return
	}
	within(l, under(path, "failures"), b.Failures, 1_000_000)
	for _, d := range []struct {
		key   string
		value time.Duration
	}{{"window", b.Window}, {"open", b.Open}, {"max_open", b.MaxOpen}} {
		if d.value < time.Second || d.value > 24*time.Hour {
			l.main.atValue(under(path, d.key), "must be between a second and a day", `write "30s" or "15m"`)
		}
	}
	if b.MaxOpen < b.Open {
		l.main.atValue(under(path, "max_open"), "the longest wait is shorter than the first, open", "write one that is at least as long")
	}
}

func (l *loader) checkBatch(path []string, e *Endpoint) {
	b := e.Batch
	if b == nil {
		return
	}
	if o := e.Destination(path[1]); e.Preset != "standard" || o.Payload == "thin" || len(o.Override) > 0 {
		l.main.atKey(path, "only preset standard, with its own body, takes several events in one message", "remove batch")
	}
	within(l, under(path, "max"), b.Max, 1000)
	if b.Wait > time.Minute {
		l.main.atValue(under(path, "wait"), "an alarm would wait more than a minute", `write "1s"`)
	}
}
