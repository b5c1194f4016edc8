package bridge_test

import (
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bridge/webhook"
)

// A connection of HTTP/2 is used by one request after the other and outlives those that
// fail. That it was open already excuses one failure of a delivery, not all of them.
func TestFailuresOverOneConnectionAreFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		ops := w.endpoints["ops"]
		ops.answer = func(int, webhook.Message) webhook.Result {
			time.Sleep(time.Second)
			return webhook.Result{Verdict: webhook.Retry, Reused: true, Err: errBoom}
		}
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		time.Sleep(10 * time.Minute)
		ops.mu.Lock()
		attempts := len(ops.attempts)
		ops.mu.Unlock()
		if attempts > 40 {
			t.Errorf("%d attempts in ten minutes at a receiver that answers none", attempts)
		}
		if said := w.logged("endpoint failing"); len(said) != 1 {
			t.Errorf("the log tells %d times that the endpoint is failing, want once", len(said))
		}
		must(t, w.halt())
	})
}
