package bridge_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bridge/webhook"
)

// Who has asked for time again and again (503 with Retry-After, or 429) has a
// backlog when it accepts: that comes as slowly as after an open breaker.
func TestBacklogBehindRetryAfterArrivesInASlowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		ops := w.endpoints["ops"]
		ops.answer = always(webhook.Result{Status: 503, RetryAfter: time.Second, Err: errBoom})
		w.start()
		const owed = 100
		for i := range owed {
			w.mustSend(fmt.Sprint("freezer-", i), "temperature", -12)
		}
		time.Sleep(time.Minute)
		ops.answering(nil)
		time.Sleep(time.Minute)
		got := ops.list()
		if len(got) != owed {
			t.Fatalf("%d of %d were accepted", len(got), owed)
		}
		for i, r := range got {
			second := int(r.At.Sub(got[0].At) / time.Second)
			if second < 10 && i+1 > 2<<second {
				t.Fatalf("%d came within %d s, a slow start lets %d through", i+1, second+1, 2<<second)
			}
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}
