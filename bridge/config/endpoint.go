package config

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"time"

	"tocsin/rules"
)

func (l *loader) checkEndpoints() {
	if len(l.config.Endpoints) == 0 {
		l.needed([]string{"endpoint"}, "there is no endpoint, so nobody will be told of anything",
			`add one: [endpoint.ops] with url = "https://…" and secret = { file = "secrets/ops" }`)
	}
	for _, name := range slices.Sorted(maps.Keys(l.config.Endpoints)) {
		l.checkEndpoint([]string{"endpoint", name}, l.config.Endpoints[name])
	}
	l.checkFallbacks()
}

func (l *loader) checkEndpoint(path []string, e *Endpoint) {
	at := func(key ...string) []string { return under(path, key...) }
	l.checkDestination(path, e)
	l.checkSigning(path, e)
	l.checkTransport(path, e)
	l.checkMatch(at("match"), &e.Match)
	l.checkRetry(at("retry"), &e.Retry)
	l.checkLimits(at("limits"), &e.Limits)
	l.checkBreaker(at("breaker"), e.Breaker)
	l.checkBatch(at("batch"), e)
	l.checkBudget(at("budget"), e)
	for key, d := range map[string]time.Duration{"heartbeat": e.Heartbeat, "outage_digest": e.OutageDigest} {
		if d != 0 && (d < 10*time.Second || d > 24*time.Hour) {
			l.main.atValue(at(key), "must be between 10 seconds and a day", `write "1m", or leave it out`)
		}
	}
	if e.Stale != "" {
		l.oneOf(at("stale"), e.Stale, "all", "latest", "collapse")
	}
}

// needed reports that something is missing without which rules do nothing. A
// bridge without rules may start without it, and one whose operator has thought of
// registration may start without endpoints.
func (l *loader) needed(at []string, fact, remedy string) {
	if at[0] == "endpoint" && l.config.HTTP.Registration != nil {
		l.main.warnValue(at, "there is no endpoint in this file, so only those are told that are registered", "register one: tocsin endpoints add https://…")
		return
	}
	if len(l.config.RuleFiles) == 0 {
		l.main.warnValue(at, fact, remedy)
		return
	}
	l.main.atValue(at, fact, remedy)
}

// eventTypes are what an endpoint can be told of.
func eventTypes() []string {
	return []string{
		string(rules.AlarmFired), string(rules.AlarmEscalated), string(rules.AlarmDeescalated),
		string(rules.AlarmReminder), string(rules.AlarmReturned), string(rules.AlarmResolved),
		string(rules.AlarmCancelled), string(rules.AlarmOccurred), string(rules.AlarmFlapping),
		string(rules.AlarmFlapEnded), string(rules.AlarmStale), string(rules.AlarmAcked),
		string(rules.AlarmUnacked), string(rules.AlarmShelved), string(rules.AlarmUnshelved), string(rules.AlarmFlood),
		string(rules.DeviceOnline), string(rules.DeviceOffline), string(rules.DeviceNew), string(rules.DeviceChatty),
		string(rules.SourceDisconnected), string(rules.SourceReconnected),
		string(rules.DevicesNearLimit), string(rules.DevicesBelowLimit),
		string(rules.ReadingMatched), string(rules.ConfigRejected), string(rules.TestPing),
		string(rules.EndpointFailing), string(rules.EndpointDisabled), string(rules.EndpointRecovered), string(rules.EndpointDropped),
	}
}

func (l *loader) checkMatch(at []string, m *Match) {
	// Of these each endpoint has its own.
	unmatched := map[string]string{
		string(rules.AlarmSync):      "write sync = true in the table of the endpoint",
		string(rules.Heartbeat):      `write heartbeat = "1m" in the table of the endpoint`,
		string(rules.EndpointDigest): `write outage_digest = "10m" in the table of the endpoint that is to be told what it was not`,
	}
	for i, pattern := range m.Types {
		p := under(at, "types", strconv.Itoa(i))
		among := func(types []string) bool {
			return slices.ContainsFunc(types, func(t string) bool {
				ok, err := path.Match(pattern, t)
				return ok && err == nil
			})
		}
		fact := fmt.Sprintf("no event of this version has the type %q", pattern)
		switch {
		case among(eventTypes()):
		case unmatched[pattern] != "":
			l.main.atValue(p, fmt.Sprintf("no match selects %s, which is not of one alarm, device or source", pattern), unmatched[pattern])
		default:
			l.main.atValue(p, fact, suggest(pattern, eventTypes(), "the types are "))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Labels)) {
		if _, err := path.Match(m.Labels[name], ""); err != nil {
			l.main.atValue(under(at, "labels", name), fmt.Sprintf("%q is no pattern", m.Labels[name]),
				"close the bracket, or write \\[ for a plain one")
		}
	}
}

func (l *loader) checkRetry(path []string, r *Retry) {
	if len(r.Schedule) == 0 {
		l.main.atValue(under(path, "schedule"), "the schedule is empty", `write the waits before each attempt: ["0s", "5s", "1m", "1h"]`)
	}
	if len(r.Schedule) > 1 && r.Schedule[len(r.Schedule)-1] < time.Second {
		l.main.atValue(under(path, "schedule"), "the last wait repeats, and is shorter than a second", `end with a longer one, such as "1h"`)
	}
	l.oneOf(under(path, "jitter"), r.Jitter, "full", "none")
	if r.GiveUpAfter == 0 {
		l.main.atValue(under(path, "give_up_after"), "everything would be given up at once", `write how long to try, as in "72h"`)
	}
}

func (l *loader) checkLimits(path []string, m *Limits) {
	within(l, under(path, "concurrency"), m.Concurrency, 1000)
	within(l, under(path, "response_bytes"), m.ResponseBytes, 16<<20)
	if m.Timeout < 100*time.Millisecond {
		l.main.atValue(under(path, "timeout"), "is too short for an answer", `write at least "100ms"; the default is "15s"`)
	}
}
