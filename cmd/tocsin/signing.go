package main

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tocsin/bridge/config"
	"tocsin/bridge/webhook"
)

// What the outside may know of the secrets and keys that messages are signed with:
// the public halves, how many there are, and when one ends.

// A keySet is what /.well-known/tocsin-keys.json shows, a set of JSON Web Keys.
type keySet struct {
	Keys []webhook.PublicKey `json:"keys"`
}

// publicKeys are those of all endpoints that sign now, each once.
func publicKeys(endpoints map[string]*config.Endpoint, now time.Time) keySet {
	set := keySet{Keys: []webhook.PublicKey{}} // a list, never null
	for _, name := range slices.Sorted(maps.Keys(endpoints)) {
		for _, k := range endpoints[name].Keys {
			if ended(k.NotAfter(), now) || slices.Contains(set.Keys, k.Public()) {
				continue
			}
			set.Keys = append(set.Keys, k.Public())
		}
	}
	return set
}

func ended(notAfter, now time.Time) bool { return !notAfter.IsZero() && now.After(notAfter) }

// ends are when what an endpoint signs with ends; the zero time is never.
func ends(e *config.Endpoint) map[string][]time.Time {
	of := map[string][]time.Time{}
	for _, s := range e.Secrets {
		of["secret"] = append(of["secret"], s.NotAfter())
	}
	for _, k := range e.Keys {
		of["key"] = append(of["key"], k.NotAfter())
	}
	return of
}

func countLive(list []time.Time, now time.Time) (n int) {
	for _, end := range list {
		if !ended(end, now) {
			n++
		}
	}
	return n
}

// signingKeys is the gauge of how many secrets and keys an endpoint has.
type signingKeys struct {
	desc    *prometheus.Desc
	current func() map[string]*config.Endpoint
}

func newSigningKeys(current func() map[string]*config.Endpoint) *signingKeys {
	return &signingKeys{current: current, desc: prometheus.NewDesc("tocsin_endpoint_signing_keys",
		"Secrets and private keys that sign an endpoint's messages now: above 1 while one is being replaced.", []string{"endpoint", "kind"}, nil)}
}

func (c *signingKeys) Describe(to chan<- *prometheus.Desc) { to <- c.desc }

func (c *signingKeys) Collect(to chan<- prometheus.Metric) {
	now := time.Now()
	for name, e := range c.current() {
		for kind, list := range ends(e) {
			to <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(countLive(list, now)), name, kind)
		}
	}
}

// watchSecrets tells when a secret or a key ends, until ctx does. The wall clock
// is asked at least once a minute, since it may be set.
func watchSecrets(ctx context.Context, log *slog.Logger, current func() map[string]*config.Endpoint) {
	var seen time.Time // up to when ends were told
	for ctx.Err() == nil {
		now, wait := time.Now(), time.Minute
		for name, e := range current() {
			for kind, list := range ends(e) {
				for _, end := range list {
					switch {
					case end.IsZero():
					case !ended(end, now):
						wait = min(wait, end.Sub(now)+time.Millisecond)
					case !seen.IsZero() && !ended(end, seen):
						tellEnd(log, name, kind, countLive(list, now))
					}
				}
			}
		}
		seen = now
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

func tellEnd(log *slog.Logger, endpoint, kind string, left int) {
	if left == 0 {
		log.Error("the last one to sign with has expired, and nothing is sent unsigned (add a new one to the endpoint's list)",
			"endpoint", endpoint, "kind", kind)
		return
	}
	log.Info("what an endpoint's messages are signed with has expired in part: it can be removed from the list",
		"endpoint", endpoint, "kind", kind, "left", left)
}
