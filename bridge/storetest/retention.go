package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

func backlogIsExact(t *testing.T, f *fixture) {
	before := time.Now().Truncate(time.Millisecond)
	for i := range 20 {
		f.commit(fmt.Sprintf("rule/%d", i%4), "x", "y")
	}
	between := time.Now()
	f.wantsBacklog("x", 20, 0)
	if o := f.backlog("x").Oldest; o.Before(before) || o.After(between) {
		t.Errorf("oldest = %v, want one of %v to %v", o, before, between)
	}
	due := f.claim("x", 4)
	f.deliver(due[:2]...)
	f.finish(bridge.Dead, time.Time{}, due[2])
	f.finish(bridge.Retry, time.Now().Add(far), due[3])
	for range 2 {
		f.wantsBacklog("x", 17, 1)
		f.wantsBacklog("y", 20, 0)
		f.reopen()
	}
}

func trimKeepsWhatIsOwed(t *testing.T, f *fixture) {
	done := f.commit("rule/a", "x", "y")
	owed := f.commit("rule/b", "x", "y")
	dead := f.commit("rule/c", "x")
	retried := f.commit("rule/d", "x")
	f.commit("rule/e") // for the history alone
	due := f.wants("x", done, owed, dead, retried)
	f.deliver(due[0], due[1])
	f.finish(bridge.Dead, time.Time{}, due[2])
	f.finish(bridge.Retry, time.Now(), due[3])
	f.deliver(f.wants("y", done, owed)[0])
	last := f.commit("rule/f", "z")
	f.trim(time.Now().Add(-far), 0) // nothing is that old
	f.wantsBacklog("x", 1, 1)
	f.trim(time.Now().Add(far), 1) // everything is
	f.wantsBacklog("x", 1, 0)
	f.wantsBacklog("y", 1, 0)
	f.wants("x", retried)
	f.reopen()
	f.wants("x", retried)
	f.wants("y", owed)
	f.wants("z", last)
	f.wantsBacklog("x", 1, 0)
	f.wantsBacklog("y", 1, 0)
	if n := len(f.states()); n != 6 {
		t.Errorf("%d states after a trim, want 6", n)
	}
}

func trimDropsTheOldestOverTheLimit(t *testing.T, f *fixture) {
	commit := func(n int) {
		for i := 0; i < n; i += 100 {
			var ts []rules.Transition
			for range 100 {
				f.made++
				ts = append(ts, event(fmt.Sprintf("event-%05d", f.made), "rule/a", "x"))
			}
			f.commitAll(ts...)
		}
	}
	commit(2000)
	for {
		due := f.claim("x", 100)
		if len(due) == 0 {
			break
		}
		f.deliver(due...)
	}
	f.commit("rule/b", "x")
	f.reopen()
	full, err := f.Log().Size()
	if err != nil {
		t.Fatal(err)
	}
	f.trim(time.Now().Add(-far), 1<<40)
	if same, _ := f.Log().Size(); same < full/2 {
		t.Errorf("size %d of %d, though nothing had to go", same, full)
	}
	f.trim(time.Now().Add(-far), 1)
	f.reopen()
	less, err := f.Log().Size()
	if err != nil || less >= full {
		t.Errorf("size %d after trimming %d (%v)", less, full, err)
	}
	f.wantsBacklog("x", 1, 0)
}

func numbersAscendAfterTrimAndReopen(t *testing.T, f *fixture) {
	a := f.commit("rule/a", "x")
	due := f.wants("x", a)
	f.deliver(due...)
	f.trim(time.Now().Add(far), 1)
	f.reopen()
	b := f.commit("rule/a", "x")
	if next := f.wants("x", b)[0]; next.Event <= due[0].Event {
		t.Errorf("event %d comes after event %d", next.Event, due[0].Event)
	}
}

func everybodyAtOnce(t *testing.T, f *fixture) {
	const events = 300
	ctx := context.Background()
	endpoints := []string{"a", "b", "c"}
	var wg sync.WaitGroup
	committed := make(chan struct{})
	wg.Go(func() {
		defer close(committed)
		for i := range events {
			tr := event(fmt.Sprintf("e%05d", i), fmt.Sprintf("rule/%d", i%11), endpoints...)
			if err := f.Commit(ctx, bridge.Batch{Transitions: []rules.Transition{tr}}); err != nil {
				t.Errorf("Commit: %v", err)
				return
			}
		}
	})
	for _, name := range endpoints {
		wg.Go(func() { deliverAll(t, f, name, events) })
	}
	stop := make(chan struct{})
	var log sync.WaitGroup
	log.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			for _, err := range f.States(ctx, "") {
				if err != nil {
					t.Errorf("States: %v", err)
				}
			}
			if _, err := f.Log().Backlog(ctx, "a"); err != nil {
				t.Errorf("Backlog: %v", err)
			}
			if err := f.Log().Trim(ctx, time.Now().Add(far), 1<<40); err != nil {
				t.Errorf("Trim: %v", err)
			}
		}
	})
	<-committed
	wg.Wait()
	close(stop)
	log.Wait()
	for _, name := range endpoints {
		f.wantsBacklog(name, 0, 0)
	}
}

// deliverAll is a lane: every third attempt fails once.
func deliverAll(t *testing.T, f *fixture, name string, events int) {
	ctx := context.Background()
	last := make(map[string]string)
	deadline := time.Now().Add(20 * time.Second)
	for done := 0; done < events; {
		due, _, err := f.Claim(ctx, bridge.Ask{Endpoint: name, Limit: 7})
		if err != nil || time.Now().After(deadline) {
			t.Errorf("%s got %d of %d: %v", name, done, events, err)
			return
		}
		if len(due) == 0 {
			<-time.After(time.Millisecond)
		}
		for _, d := range due {
			o := bridge.Outcome{Event: d.Event, Endpoint: name, Attempt: d.Attempt + 1, At: time.Now()}
			if d.Attempt == 0 && d.Event%3 == 0 {
				o.Fate, o.Due = bridge.Retry, time.Now()
			} else {
				done++
				if d.ID <= last[d.Alarm] {
					t.Errorf("%s is told %s after %s", d.Alarm, d.ID, last[d.Alarm])
				}
				last[d.Alarm] = d.ID
			}
			if err := f.Finish(ctx, []bridge.Outcome{o}); err != nil {
				t.Errorf("Finish: %v", err)
				return
			}
		}
	}
}
