package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"tocsin/bridge/preset"
	"tocsin/rules"
)

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

func (l *loader) checkBudget(path []string, e *Endpoint) {
	b := e.Budget
	if b == nil {
		return
	}
	if b.Events < 1 || b.Events > 100_000 {
		l.main.atValue(under(path, "events"), "must be between 1 and 100000", "write how many events it may be told one by one in an hour: events = 30")
	}
	if b.Per < time.Minute || b.Per > 31*24*time.Hour {
		l.main.atValue(under(path, "per"), "must be between a minute and 31 days", `write "1h" or "24h"`)
	}
	if b.Digest < 10*time.Second || b.Digest > 24*time.Hour {
		l.main.atValue(under(path, "digest"), "must be between 10 seconds and a day", `write "15m"`)
	}
	if told, _ := preset.New(e.Destination(path[1])); told != nil && !told.Tells(rules.EndpointDigest) {
		l.main.atKey(path, fmt.Sprintf("preset %q has no request for endpoint.digest: nobody would be told what is beyond the budget", e.Preset),
			"name a request for on.note, or remove budget")
	}
	if f := e.Fallback; f != nil && b.Digest >= f.After {
		l.main.atValue(under(path, "digest"), fmt.Sprintf("is not shorter than fallback.after (%v): an alarm that waits for a digest would be told to the fallback first", f.After),
			"write a shorter digest, or a longer fallback.after")
	}
}

// checkFallbacks checks that every fallback is another endpoint, and that following
// them comes to an end.
func (l *loader) checkFallbacks() {
	all := l.config.Endpoints
	names := slices.Sorted(maps.Keys(all))
	for _, name := range names {
		f := all[name].Fallback
		if f == nil {
			continue
		}
		at := []string{"endpoint", name, "fallback"}
		if f.After < time.Second || f.After > 24*time.Hour {
			l.main.atValue(under(at, "after"), "must be between a second and a day", `write "2m"`)
		}
		switch next := all[f.To]; {
		case f.To == "":
			l.main.atValue(under(at, "to"), "no endpoint is named", `write to = "NAME"`)
		case next == nil:
			l.main.atValue(under(at, "to"), fmt.Sprintf("there is no endpoint %q", f.To), suggest(f.To, names, "the endpoints are "))
		case l.leadsBack(name):
			l.main.atValue(under(at, "to"), "the fallbacks go round in a circle, and come back to "+strconv.Quote(name), "end them with an endpoint that has none")
		}
	}
}

// leadsBack reports whether following the fallbacks of an endpoint leads to it.
func (l *loader) leadsBack(name string) bool {
	at := name
	for range l.config.Endpoints {
		e := l.config.Endpoints[at]
		if e == nil || e.Fallback == nil {
			return false
		}
		if at = e.Fallback.To; at == name {
			return true
		}
	}
	return false
}
