package main

import (
	"cmp"
	"net/url"
	"strings"

	"tocsin/bridge"
	"tocsin/bridge/config"
	"tocsin/bridge/preset"
)

// maxBacklog is how many deliveries may wait for an endpoint, however small they
// are. What they cost beside their events is some 100 bytes of disk each.
const maxBacklog = 5_000_000

// treat has an endpoint treated as it is configured: when it is asked, how often
// and how long.
func treat(to bridge.Endpoint, told *preset.Destination, e *config.Endpoint) bridge.Endpoint {
	to.Retry = bridge.RetryPolicy{Schedule: e.Retry.Schedule, Steady: e.Retry.Jitter == "none", GiveUpAfter: e.Retry.GiveUpAfter}
	to.Concurrency = e.Limits.Concurrency
	to.Backlog = bridge.Bounds{Bytes: int64(e.Limits.Backlog), Count: maxBacklog}
	to.Rate = cmp.Or(float64(e.Limits.Rate), told.Preset().Rate)
	if b := e.Breaker; b != nil {
		to.Breaker = bridge.Breaker{Failures: b.Failures, Window: b.Window, Open: b.Open, MaxOpen: b.MaxOpen}
	}
	if b := e.Batch; b != nil {
		to.Batch = bridge.Batching{Max: b.Max, Wait: b.Wait}
	}
	if f := e.Fallback; f != nil {
		to.Fallback = bridge.Fallback{To: f.To, After: f.After, Severity: f.Severity}
	}
	if b := e.Budget; b != nil {
		to.Budget = bridge.Budget{Events: b.Events, Per: b.Per, Except: b.Except, Digest: b.Digest}
	}
	to.Heartbeat, to.Digest = e.Heartbeat, e.OutageDigest
	switch e.Stale {
	case "latest":
		to.Stale = bridge.StaleLatest
	case "collapse":
		to.Stale = bridge.StaleCollapse
	}
	if u, err := url.Parse(told.URL()); err == nil {
		to.Host = strings.ToLower(u.Hostname())
	}
	return to
}
