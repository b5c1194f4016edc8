package bridge_test

import (
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bridge"
	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// backed is a world whose endpoint ops has a fallback, sms, that is told of
// nothing else, and sms has one, boss.
func backed(t *testing.T) (w *world, ops, sms, boss *receiver) {
	w = newWorld(t, "ops", "sms", "boss")
	never := bridge.Match{Types: []string{"config.rejected"}}
	w.match = map[string]bridge.Match{"sms": never, "boss": never}
	w.treat = func(e *bridge.Endpoint) {
		e.Retry.Steady = true // when there is an attempt must not be drawn: a fallback's time is near
		switch e.Name {
		case "ops":
			e.Fallback = bridge.Fallback{To: "sms", After: 2 * time.Minute}
		case "sms":
			e.Fallback = bridge.Fallback{To: "boss", After: 5 * time.Minute}
		}
	}
	return w, w.endpoints["ops"], w.endpoints["sms"], w.endpoints["boss"]
}

func TestAlarmThatIsNotAcceptedInTimeIsToldElsewhereToItsEnd(t *testing.T) {
	for name, trouble := range map[string]func(int, webhook.Message) webhook.Result{
		"fails": always(failing(503)), "hangs": always(webhook.Result{Status: hang}),
		"refuses": always(webhook.Result{Verdict: webhook.Refused, Status: 400, Err: errBoom}),
		"gone":    always(webhook.Result{Verdict: webhook.Gone, Status: 410, Err: errBoom}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, ops, sms, boss := backed(t)
				ops.answer = trouble
				w.start()
				w.mustSend("freezer-1", "temperature", -12)
				time.Sleep(2 * time.Minute)
				equal(t, "sms before its time", sms.types(), nil)
				time.Sleep(15 * time.Second)
				equal(t, "sms", sms.types(), []string{"alarm.fired"})
				w.mustSend("freezer-1", "temperature", -18)
				time.Sleep(20 * time.Minute)
				equal(t, "sms", sms.types(), []string{"alarm.fired", "alarm.resolved"})
				equal(t, "boss, since sms has accepted", boss.types(), nil)
				if err := w.halt(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

func TestAlarmThatIsAcceptedInTimeIsToldNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ops, sms, _ := backed(t)
		ops.answer = always(failing(503))
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		time.Sleep(30 * time.Second)
		ops.answering(nil)
		time.Sleep(time.Hour)
		equal(t, "ops", ops.types(), []string{"alarm.fired"})
		ops.answering(always(failing(503)))
		w.mustSend("freezer-2", "temperature", -12)
		time.Sleep(time.Minute)
		w.mustSend("freezer-2", "temperature", -18) // it is over before anybody need be woken
		time.Sleep(time.Hour)
		equal(t, "sms", sms.types(), nil)
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFallbackHasAFallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ops, sms, boss := backed(t)
		ops.answer, sms.answer = always(failing(503)), always(failing(503))
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		time.Sleep(6 * time.Minute)
		equal(t, "boss, with sms asked for four minutes", boss.types(), nil)
		time.Sleep(2 * time.Minute)
		equal(t, "boss", boss.types(), []string{"alarm.fired"})
		w.mustSend("freezer-1", "temperature", -18)
		time.Sleep(time.Minute)
		equal(t, "boss", boss.types(), []string{"alarm.fired", "alarm.resolved"})
		ops.answering(nil)
		sms.answering(nil)
		time.Sleep(time.Hour)
		for name, r := range map[string]*receiver{"ops": ops, "sms": sms, "boss": boss} {
			complete(t, r, 1, []string{"alarm.fired", "alarm.resolved"})
			if n := len(r.list()); n != 2 {
				t.Errorf("%s accepted %d events", name, n)
			}
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFallbackIsForTheSeveritiesThatItNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ops, sms, _ := backed(t)
		w.treat = func(e *bridge.Endpoint) {
			if e.Name == "ops" {
				e.Fallback = bridge.Fallback{To: "sms", After: 2 * time.Minute, Severity: []rules.Severity{rules.Major}}
			}
		}
		ops.answer = always(failing(503))
		w.start()
		w.mustSend("freezer-1", "temperature", -12) // a warning
		w.mustSend("cellar", "humidity", 90)        // major, after ten minutes
		time.Sleep(20 * time.Minute)
		equal(t, "sms", alarms(sms), []string{"slow/cellar alarm.fired"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// Whenever the process dies, the fallback is told, once, and of the end as well.
func TestFallbackSurvivesACrash(t *testing.T) {
	for _, at := range []time.Duration{time.Second, time.Minute, 119 * time.Second, 2*time.Minute + 5*time.Second, 3 * time.Minute} {
		t.Run(at.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, ops, sms, _ := backed(t)
				w.remembers = true
				ops.answer = always(failing(503))
				w.start()
				w.mustSend("freezer-1", "temperature", -12)
				time.Sleep(at)
				w.crash()
				time.Sleep(time.Minute)
				w.start()
				time.Sleep(4 * time.Minute)
				for range 3 { // and with what is remembered of before
					if err := w.halt(); err != nil {
						t.Fatal(err)
					}
					w.start()
					time.Sleep(time.Minute)
				}
				w.mustSend("freezer-1", "temperature", -18)
				time.Sleep(time.Minute)
				complete(t, sms, 1, []string{"alarm.fired", "alarm.resolved"})
				if n := len(sms.list()); n > 3 { // one may have been accepted just before the crash
					t.Errorf("sms accepted %d", n)
				}
				if err := w.halt(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// What was written down at a stop is older than what the store holds after a
// crash, and must not make the fallback forgotten.
func TestFallbackIsToldTheEndAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ops, sms, _ := backed(t)
		w.remembers = true
		ops.answer = always(failing(503))
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		time.Sleep(time.Second)
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
		w.start()
		time.Sleep(3 * time.Minute)
		equal(t, "sms", sms.types(), []string{"alarm.fired"})
		w.crash()
		w.start()
		w.mustSend("freezer-1", "temperature", -18)
		time.Sleep(time.Minute)
		complete(t, sms, 1, []string{"alarm.fired", "alarm.resolved"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// A deadline is kept by whoever's clock was set back while nobody looked: for what
// waited then it begins anew, and for what comes it is as long as ever.
func TestFallbackIsToldInTimeByAClockThatWasSetBack(t *testing.T) {
	for _, by := range []time.Duration{-time.Hour, -365 * 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			w, ops, sms, _ := backed(t)
			ops.answer = always(failing(503))
			w.start()
			w.mustSend("freezer-1", "temperature", -12)
			time.Sleep(time.Minute)
			must(t, w.halt())
			setClock(t, w.dir, by)
			w.start()
			time.Sleep(30 * time.Second)
			w.mustSend("freezer-2", "temperature", -12)
			time.Sleep(2*time.Minute + 20*time.Second)
			equal(t, "sms", alarms(sms), []string{"warm/freezer-1 alarm.fired", "warm/freezer-2 alarm.fired"})
			must(t, w.halt())
		})
	}
}
