// Package storetest says, as tests, what a bridge.Store means. Each store runs
// it: one meaning, several stores.
//
// It is not a test of how a store is built, of its speed, or of what it does
// when the power or the disk fails: those are each store's own tests.
//
// Concurrency: subtests run one after the other; some of them call the store
// from several goroutines, and are meant to be run under the race detector.
package storetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

// A Store is a bridge.Store that can be closed, so that it can be opened again.
type Store interface {
	bridge.Store
	Close() error
}

// An Opener opens the store that lives in dir, or makes one there. The suite
// closes what it opens.
type Opener func(t testing.TB, dir string) Store

// Run runs the suite.
func Run(t *testing.T, open Opener) {
	for _, s := range []struct {
		name string
		run  func(t *testing.T, f *fixture)
	}{
		{"CommittedIsThereAfterReopen", committedIsThereAfterReopen},
		{"LastStateOfABatchCounts", lastStateOfABatchCounts},
		{"EveryStateIsYielded", everyStateIsYielded},
		{"IterationOfStatesMayStop", iterationOfStatesMayStop},
		{"StatesComeInTheOrderOfTheirKeys", statesComeInTheOrderOfTheirKeys},
		{"KnownEventIsIgnored", knownEventIsIgnored},
		{"EmptyBatchIsCommitted", emptyBatchIsCommitted},
		{"EndedContextCommitsNothing", endedContextCommitsNothing},
		{"DeliveryCarriesItsEvent", deliveryCarriesItsEvent},
		{"BodyIsTheSameInEveryAttempt", bodyIsTheSameInEveryAttempt},
		{"UnknownEndpointIsOwedNothing", unknownEndpointIsOwedNothing},
		{"ClaimKeepsToTheLimit", claimKeepsToTheLimit},
		{"LeasedIsNotClaimedAgain", leasedIsNotClaimedAgain},
		{"LeaseEndsWithTheProcess", leaseEndsWithTheProcess},
		{"AlarmIsToldInOrder", alarmIsToldInOrder},
		{"AlarmIsToldInOrderAfterReopen", alarmIsToldInOrderAfterReopen},
		{"FailingAlarmHoldsNoOther", failingAlarmHoldsNoOther},
		{"RetryWaitsUntilItIsDue", retryWaitsUntilItIsDue},
		{"RetrySurvivesReopen", retrySurvivesReopen},
		{"ReleasedIsAsItWas", releasedIsAsItWas},
		{"DeadLetsTheNextThrough", deadLetsTheNextThrough},
		{"UnleasedOutcomeIsIgnored", unleasedOutcomeIsIgnored},
		{"DisabledEndpointKeepsEverything", disabledEndpointKeepsEverything},
		{"EnabledEndpointIsDueAtOnce", enabledEndpointIsDueAtOnce},
		{"EndpointStateSurvivesReopen", endpointStateSurvivesReopen},
		{"DeadEndpointHoldsNoOther", deadEndpointHoldsNoOther},
		{"RetriesAndNewTakeTurns", retriesAndNewTakeTurns},
		{"LongBacklogIsToldWhole", longBacklogIsToldWhole},
		{"EndedWithoutAnAttemptLetsTheNextThrough", endedWithoutAnAttemptLetsTheNextThrough},
		{"WhatIsKeptIsHandedOut", whatIsKeptIsHandedOut},
		{"WhatIsKeptSurvivesReopen", whatIsKeptSurvivesReopen},
		{"WhatIsKeptIsOfOneEndpointAndAlarm", whatIsKeptIsOfOneEndpointAndAlarm},
		{"WhatIsKeptGoesByTheKeyThatReceiversHave", whatIsKeptGoesByTheKeyThatReceiversHave},
		{"WhatIsKeptGoesWithItsAlarm", whatIsKeptGoesWithItsAlarm},
		{"LatestSendsTheNewestState", latestSendsTheNewestState},
		{"LatestKeepsWhatIsNoState", latestKeepsWhatIsNoState},
		{"CollapseTellsAnUnheardEpisodeWhole", collapseTellsAnUnheardEpisodeWhole},
		{"CollapseForgetsNothingThatWasHeard", collapseForgetsNothingThatWasHeard},
		{"CollapseLeavesWhatMayHaveBeenHeard", collapseLeavesWhatMayHaveBeenHeard},
		{"CollapsedStaysWhatItWas", collapsedStaysWhatItWas},
		{"LogSaysAsWhatItWasSent", logSaysAsWhatItWasSent},
		{"LongBacklogIsCondensed", longBacklogIsCondensed},
		{"DeliveriesAreListed", deliveriesAreListed},
		{"DeliveriesAreListedByTimeAndDevice", deliveriesAreListedByTimeAndDevice},
		{"DeliveryShowsEveryAttempt", deliveryShowsEveryAttempt},
		{"AttemptsAreBounded", attemptsAreBounded},
		{"ReplayedIsDeliveredAgain", replayedIsDeliveredAgain},
		{"ReplayIsInOrder", replayIsInOrder},
		{"ReplayComesAfterWhatIsOwed", replayComesAfterWhatIsOwed},
		{"ReplayOfTheLatest", replayOfTheLatest},
		{"ReplaySparesWhatIsUnderWay", replaySparesWhatIsUnderWay},
		{"DiscardedIsNotSent", discardedIsNotSent},
		{"DiscardOfAllButTheLatest", discardOfAllButTheLatest},
		{"AlsoOwedIsSentToo", alsoOwedIsSentToo},
		{"FoldedWaitsForItsDigest", foldedWaitsForItsDigest},
		{"FoldedIsTheEpisodeToItsEnd", foldedIsTheEpisodeToItsEnd},
		{"FoldShowsTheWorst", foldShowsTheWorst},
		{"WhatEndsAFoldIsReplayed", whatEndsAFoldIsReplayed},
		{"BoundDropsByWorth", boundDropsByWorth},
		{"BoundGoesByBytes", boundGoesByBytes},
		{"BoundKeepsTheEndOfWhatWasHeard", boundKeepsTheEndOfWhatWasHeard},
		{"BoundLeavesNoEndAlone", boundLeavesNoEndAlone},
		{"BacklogIsExact", backlogIsExact},
		{"TrimKeepsWhatIsOwed", trimKeepsWhatIsOwed},
		{"TrimDropsTheOldestOverTheLimit", trimDropsTheOldestOverTheLimit},
		{"NumbersAscendAfterTrimAndReopen", numbersAscendAfterTrimAndReopen},
		{"TokensSurviveReopen", tokensSurviveReopen},
		{"TokenIsForgotten", tokenIsForgotten},
		{"AuditIsListed", auditIsListed},
		{"RefusedPushesNothingOut", refusedPushesNothingOut},
		{"RegisteredSurvivesReopen", registeredSurvivesReopen},
		{"EverybodyAtOnce", everybodyAtOnce},
		{"AlarmIsToldWhole", alarmIsToldWhole},
		{"DoesWhatTheModelDoes", doesWhatTheModelDoes},
	} {
		t.Run(s.name, func(t *testing.T) {
			f := &fixture{t: t, open: open, dir: t.TempDir()}
			f.reopen()
			t.Cleanup(func() { f.close() })
			s.run(t, f)
		})
	}
}

// A fixture is one store under test, and words to speak about it.
type fixture struct {
	Store
	t    testing.TB
	open Opener
	dir  string
	made int
}

func (f *fixture) close() {
	f.t.Helper()
	if f.Store == nil {
		return
	}
	if err := f.Close(); err != nil {
		f.t.Errorf("Close: %v", err)
	}
	f.Store = nil
}

// reopen is a restart of the process, a clean one.
func (f *fixture) reopen() {
	f.t.Helper()
	f.close()
	f.Store = f.open(f.t, f.dir)
}

// event makes an event of an alarm.
func event(id, alarm string, endpoints ...string) rules.Transition {
	rule, device, _ := strings.Cut(alarm, "/")
	at := time.Date(2026, 11, 22, 9, 41, 5, 123456789, time.UTC)
	return rules.Transition{
		State: rules.State{Key: alarm, Rule: rule, Device: device, Episode: id, LastAt: at},
		Events: []rules.Event{{
			ID: id, Type: rules.AlarmFired, At: at,
			Alarm:   rules.EventAlarm{Key: alarm, Episode: id, State: "firing", Severity: rules.Major, StartedAt: at},
			Because: "temperature is 4.2 °C, above <limit> & \"more\"", Title: "too warm",
			Endpoints: endpoints,
		}},
	}
}

// commit commits one event and returns its id.
func (f *fixture) commit(alarm string, endpoints ...string) string {
	f.t.Helper()
	f.made++
	id := fmt.Sprintf("event-%05d", f.made)
	f.commitAll(event(id, alarm, endpoints...))
	return id
}

func (f *fixture) commitAll(ts ...rules.Transition) {
	f.t.Helper()
	if err := f.Commit(context.Background(), bridge.Batch{Transitions: ts}); err != nil {
		f.t.Fatalf("Commit: %v", err)
	}
}

func (f *fixture) set(s bridge.EndpointState) {
	f.t.Helper()
	if err := f.Commit(context.Background(), bridge.Batch{Endpoints: []bridge.EndpointState{s}}); err != nil {
		f.t.Fatalf("Commit of an endpoint: %v", err)
	}
}

func (f *fixture) claim(endpoint string, limit int) []bridge.Delivery {
	f.t.Helper()
	due, _ := f.claimNext(endpoint, limit)
	return due
}

func (f *fixture) claimNext(endpoint string, limit int) ([]bridge.Delivery, time.Time) {
	f.t.Helper()
	return f.ask(bridge.Ask{Endpoint: endpoint, Limit: limit})
}

func (f *fixture) ask(ask bridge.Ask) ([]bridge.Delivery, time.Time) {
	f.t.Helper()
	endpoint := ask.Endpoint
	due, next, err := f.Claim(context.Background(), ask)
	if err != nil {
		f.t.Fatalf("Claim(%s): %v", endpoint, err)
	}
	if !slices.IsSortedFunc(due, func(a, b bridge.Delivery) int { return int(a.Event - b.Event) }) {
		f.t.Errorf("Claim(%s) is not in order of commit: %v", endpoint, ids(due))
	}
	return due, next
}

// wants claims everything that is due and compares the ids.
func (f *fixture) wants(endpoint string, want ...string) []bridge.Delivery {
	f.t.Helper()
	due := f.claim(endpoint, 100)
	if got := ids(due); !slices.Equal(got, want) {
		f.t.Fatalf("Claim(%s) = %v, want %v", endpoint, got, want)
	}
	return due
}

func (f *fixture) finish(fate bridge.Fate, due time.Time, ds ...bridge.Delivery) {
	f.t.Helper()
	var out []bridge.Outcome
	for _, d := range ds {
		o := bridge.Outcome{Event: d.Event, Endpoint: d.Endpoint, Fate: fate, Due: due, Attempt: d.Attempt + 1, Status: 500, At: time.Now()}
		if fate == bridge.Delivered {
			o.Status = 200
		}
		out = append(out, o)
	}
	if err := f.Finish(context.Background(), out); err != nil {
		f.t.Fatalf("Finish: %v", err)
	}
}

func (f *fixture) deliver(ds ...bridge.Delivery) {
	f.t.Helper()
	f.finish(bridge.Delivered, time.Time{}, ds...)
}

func (f *fixture) backlog(endpoint string) bridge.Backlog {
	f.t.Helper()
	b, err := f.Log().Backlog(context.Background(), endpoint)
	if err != nil {
		f.t.Fatalf("Backlog(%s): %v", endpoint, err)
	}
	return b
}

func (f *fixture) wantsBacklog(endpoint string, count, dead int) {
	f.t.Helper()
	if b := f.backlog(endpoint); b.Count != count || b.Dead != dead || b.Oldest.IsZero() != (count == 0) {
		f.t.Errorf("Backlog(%s) = %+v, want %d owed and %d dead", endpoint, b, count, dead)
	}
}

func (f *fixture) states() map[string]rules.State {
	f.t.Helper()
	all := make(map[string]rules.State)
	for s, err := range f.States(context.Background(), "") {
		if err != nil {
			f.t.Fatalf("States: %v", err)
		}
		if _, twice := all[s.Key]; twice {
			f.t.Errorf("state of %s is yielded twice", s.Key)
		}
		all[s.Key] = s
	}
	return all
}

// trim deletes everything that is settled. Outcomes are made durable before, so
// that a store may count from what is written.
func (f *fixture) trim(before time.Time, maxBytes int64) {
	f.t.Helper()
	f.commitAll()
	if err := f.Log().Trim(context.Background(), before, maxBytes); err != nil {
		f.t.Fatalf("Trim: %v", err)
	}
}

func ids(ds []bridge.Delivery) []string {
	var out []string
	for _, d := range ds {
		out = append(out, d.ID)
	}
	return out
}

func sameDelivery(t testing.TB, got, want bridge.Delivery) {
	t.Helper()
	if got.Event != want.Event || got.ID != want.ID || got.Endpoint != want.Endpoint || got.Alarm != want.Alarm ||
		got.Type != want.Type || !got.At.Equal(want.At) || !got.Owed.Equal(want.Owed) || !bytes.Equal(got.Data, want.Data) {
		t.Errorf("delivery changed:\n got %+v\nwant %+v", got, want)
	}
}
