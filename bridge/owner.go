package bridge

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"net/http"
	"strings"
	"time"

	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// What an attempt tells of the endpoint.
type lesson uint8

const (
	toldNothing lesson = iota // it was cut off, went elsewhere, or was none
	accepted
	failed
	gone // the endpoint wants no more
)

// An endpoint is failing for its owner when it has accepted nothing for so long,
// over so many attempts, or for half the time that a delivery is tried: a receiver
// that is deployed anew wakes nobody.
const (
	failingAfter    = time.Minute
	failingAttempts = 5
)

// learn takes in what an attempt tells of the endpoint, and has what changed
// written and told.
func (l *lane) learn(now time.Time, a *attempt, how lesson) {
	l.mu.Lock()
	told, dirty := l.judge(now, a, how)
	l.mu.Unlock()
	if dirty {
		l.put(now, told)
	}
}

// judge changes the fortune by one attempt. told is what its owner is to be
// told, "" for nothing; dirty says that something has to be written. The caller
// holds mu.
func (l *lane) judge(now time.Time, a *attempt, how lesson) (told rules.Type, dirty bool) {
	until := now.Add(a.result.RetryAfter)
	if a.result.Held && until.After(l.floor) {
		l.floor = until
	}
	if how == toldNothing {
		l.breaker.abandon(a.era)
		l.plainProbe = l.plainProbe || a.is(rules.EndpointDigest) && !a.folded() && a.result.Verdict == webhook.Accepted
		return "", false
	}
	res := &a.result
	l.last = LastAttempt{At: stored(now), Accepted: how == accepted, Status: res.Status}
	if res.Err != nil {
		l.last.Error = res.Err.Error()
	}
	if res.RetryAfter > 0 && until.After(l.floor) {
		l.floor = until
	}
	switch how {
	case accepted:
		told = l.accept(now)
	case gone:
		l.breaker.abandon(a.era)
		if !l.state.Disabled {
			told = rules.EndpointDisabled
			l.disable(now, strings.TrimSpace(fmt.Sprintf("answered %d %s", res.Status, http.StatusText(res.Status))))
			l.log.Error("endpoint disabled by its answer; what it is owed is kept "+howToEnable, "status", res.Status, "error", l.last.Error)
		}
	default:
		told = l.miss(now, a)
	}
	return told, l.remember(now) || told != ""
}

// accept takes note of an attempt that was accepted.
func (l *lane) accept(now time.Time) (told rules.Type) {
	if l.breaker.succeed(now) {
		l.log.Info("endpoint probed with success: it is told again, slowly at first")
	}
	if l.failures > 0 {
		l.log.Info("endpoint accepting again", "failures", l.failures)
		l.breaker.ramp.restart(now) // where it runs since the last Retry-After, it has accepted its first
	}
	l.failures, l.memo.Failing = 0, time.Time{}
	l.heard, l.plainProbe = now, false
	if l.memo.Told != "" && !l.state.Disabled {
		return rules.EndpointRecovered
	}
	return ""
}

// miss takes note of an attempt that failed.
func (l *lane) miss(now time.Time, a *attempt) (told rules.Type) {
	e := l.endpoint.Load()
	if l.failures++; l.failures == 1 {
		l.log.Warn("endpoint failing", "status", l.last.Status, "error", l.last.Error)
	}
	if a.is(rules.EndpointDigest) && !a.folded() && a.result.Verdict == webhook.Refused {
		l.plainProbe = true
	}
	if l.memo.Failing.IsZero() {
		l.memo.Failing = stored(now)
	}
	switch {
	case a.result.RetryAfter > 0 && !l.breaker.isOpen():
		// It lives, and has said when it wants to be asked again. After enough of that
		// it has a backlog, which must not arrive all at once.
		if l.failures >= e.Breaker.Failures {
			l.breaker.ramp.begin(l.floor)
		}
	case l.breaker.fail(now, e.Breaker, a.era):
		l.log.Warn("endpoint left alone: it fails again and again; what it is owed waits", "until", l.breaker.until, "error", l.last.Error)
	}
	past := now.Sub(l.memo.Failing)
	long := past >= failingAfter && l.failures >= failingAttempts || past >= e.Retry.GiveUpAfter/2
	if l.memo.Told == "" && long {
		return rules.EndpointFailing
	}
	return ""
}

// disable switches the endpoint off. The caller holds mu.
func (l *lane) disable(now time.Time, reason string) {
	e := l.endpoint.Load()
	l.state = EndpointState{Name: e.Name, Disabled: true, Reason: reason, Target: e.Target, Since: stored(now)}
}

const howToEnable = "(correct its url, or: tocsin endpoints enable, or start with --enable, and its name)"

// put writes how the endpoint stands, together with what its owner is told of
// that: after a crash it was both or neither. The notice goes to other endpoints.
func (l *lane) put(now time.Time, told rules.Type) *group {
	var backlog Backlog
	if told != "" {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		var err error
		if backlog, err = l.store.Log().Backlog(ctx, l.endpoint.Load().Name); err != nil {
			l.log.Warn("counting what the endpoint is owed", "error", err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var ev *rules.Event
	if told != "" {
		ev = l.announce(now, told, backlog)
	}
	return l.write(change{l.form(), ev})
}

// A change is an endpoint's state and what its owner is told of it, if anything.
type change struct {
	state EndpointState
	event *rules.Event
}

// announce makes the event of a notice, and takes it down as told. The caller
// holds mu.
func (l *lane) announce(now time.Time, told rules.Type, backlog Backlog) *rules.Event {
	name := l.endpoint.Load().Name
	ev := rules.Event{Type: told, At: stored(now), Endpoint: &rules.EventEndpoint{
		Name: name, Reason: l.state.Reason, Since: l.state.Since,
		Owed: backlog.Count, LastError: l.last.Error,
	}}
	n := ev.Endpoint
	if backlog.Count > 0 {
		oldest := stored(backlog.Oldest)
		n.Oldest = &oldest
	}
	owed := fmt.Sprintf("%d deliveries wait for it", backlog.Count)
	switch told {
	case rules.EndpointFailing:
		n.Reason, n.Since = "accepts nothing", l.memo.Failing
		ev.Title = fmt.Sprintf("endpoint %s is failing: %s", name, cmp.Or(l.last.Error, "no answer"))
		ev.Because = fmt.Sprintf("it has accepted nothing since %s; %s", clockTime(n.Since), owed)
	case rules.EndpointDisabled:
		ev.Title = fmt.Sprintf("endpoint %s is switched off: %s", name, n.Reason)
		ev.Because = owed + ", and are kept until it is enabled"
	default:
		n.Reason, n.Since, n.LastError = "accepts again", l.memo.ToldAt, ""
		ev.Title = fmt.Sprintf("endpoint %s accepts again", name)
		ev.Because = fmt.Sprintf("it was %s since %s; %s", wasWhat(l.memo.Told), clockTime(n.Since), owed)
	}
	ev.ID = idOf(string(told), name, n.Since.Format(time.RFC3339Nano))
	l.memo.Told, l.memo.ToldAt = told, n.Since
	if told == rules.EndpointRecovered {
		l.memo.Told, l.memo.ToldAt = "", time.Time{}
	}
	return &ev
}

func wasWhat(told rules.Type) string {
	if told == rules.EndpointDisabled {
		return "switched off"
	}
	return "failing"
}

func clockTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// idOf derives an event's id from what happened.
func idOf(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d %s", len(part), part)
	}
	return "evt_" + base32.StdEncoding.EncodeToString(h.Sum(nil)[:15])
}

// enable switches the endpoint on: what it is owed is due.
func (l *lane) enable(now time.Time) *group {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log.Info("endpoint enabled", "was", l.state.Reason)
	e := l.endpoint.Load()
	l.state = EndpointState{Name: e.Name, Target: e.Target, Since: stored(now)}
	l.memo.Paused, l.floor, l.failures = false, time.Time{}, 0
	l.breaker.reset(now)
	l.remember(now)
	return l.write(change{state: l.form()})
}

// change has the lane go on by another configuration. Another URL is another
// endpoint, which has not failed yet; a pause holds for both.
func (l *lane) change(e Endpoint, h *host) {
	moved := l.endpoint.Swap(e.withDefaults()).Target != e.Target
	l.host.Store(h)
	l.mu.Lock()
	l.bucket.set(e.Rate)
	anew := moved && !l.memo.Paused && (l.state.Disabled || l.breaker.isOpen() || l.floor.After(time.Now()))
	l.mu.Unlock()
	if anew {
		l.enable(time.Now())
	}
	l.notify()
}
