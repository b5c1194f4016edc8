package bridge_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"tocsin/bridge"
	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// owned is a world whose endpoint ops has an owner, who is told of endpoints.
func owned(t *testing.T) (w *world, ops, owner *receiver) {
	w = newWorld(t, "ops", "owner")
	w.match = map[string]bridge.Match{"owner": {Types: []string{"endpoint.*"}}, "ops": {Types: []string{"alarm.*", "endpoint.*"}}}
	return w, w.endpoints["ops"], w.endpoints["owner"]
}

func (r *receiver) answering(f func(int, webhook.Message) webhook.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

func always(r webhook.Result) func(int, webhook.Message) webhook.Result {
	return func(int, webhook.Message) webhook.Result { return r }
}

func notice(t *testing.T, r received) rules.EventEndpoint {
	t.Helper()
	var body struct{ Data rules.Event }
	if err := json.Unmarshal([]byte(r.Body), &body); err != nil || body.Data.Endpoint == nil {
		t.Fatalf("%s: %v", r.Body, err)
	}
	return *body.Data.Endpoint
}

func TestOwnerIsToldOnceThatAnEndpointFailsAndOnceThatItAcceptsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ops, owner := owned(t)
		w.start()
		for i := range 20 {
			w.mustSend(fmt.Sprintf("freezer-%d", i), "temperature", -12)
		}
		synctest.Wait()
		for round := range 2 {
			ops.answering(always(failing(503)))
			begun := time.Now()
			for i := range 20 {
				w.mustSend(fmt.Sprintf("freezer-%d", i), "temperature", []float64{-18, -12}[round])
			}
			time.Sleep(30 * time.Minute)
			if round == 1 { // a restart tells nothing again
				if err := w.halt(); err != nil {
					t.Fatal(err)
				}
				w.start()
			}
			time.Sleep(30 * time.Minute)
			ops.answering(nil)
			time.Sleep(20 * time.Minute)
			got := owner.list()
			if len(got) != 2*round+2 || got[2*round].Type != "endpoint.failing" || got[2*round+1].Type != "endpoint.recovered" {
				t.Fatalf("round %d: the owner was told %q", round, owner.types())
			}
			failing, recovered := notice(t, got[2*round]), notice(t, got[2*round+1])
			if failing.Name != "ops" || failing.Owed == 0 || failing.Oldest == nil || !strings.Contains(failing.LastError, "503") {
				t.Errorf("failing: %+v", failing)
			}
			if since := failing.Since.Sub(begun); since < 0 || since > time.Minute || !recovered.Since.Equal(failing.Since) {
				t.Errorf("failing since %v, recovered since %v, begun at %v", failing.Since, recovered.Since, begun)
			}
		}
		for _, typ := range ops.types() {
			if strings.HasPrefix(typ, "endpoint.") {
				t.Errorf("the endpoint was told of itself: %s", typ)
			}
		}
		complete(t, ops, 20, []string{"alarm.fired", "alarm.resolved", "alarm.fired"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestReceiverThatIsDeployedAnewWakesNoOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ops, owner := owned(t)
		w.start()
		ops.answering(always(failing(502)))
		for i := range 50 {
			w.mustSend(fmt.Sprintf("freezer-%d", i), "temperature", -12)
		}
		time.Sleep(20 * time.Second)
		ops.answering(nil)
		time.Sleep(5 * time.Minute)
		complete(t, ops, 50, []string{"alarm.fired"})
		equal(t, "owner", owner.types(), nil)
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestOwnerIsToldOfAGoneEndpointAndOfItsReturnAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ops, owner := owned(t)
		w.targets["ops"] = "old"
		ops.answer = always(webhook.Result{Verdict: webhook.Gone, Status: 410, Err: errors.New("answered 410")})
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		time.Sleep(time.Minute)
		equal(t, "owner", owner.types(), []string{"endpoint.disabled"})
		ops.answering(nil)
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
		w.targets["ops"] = "new"
		w.start()
		time.Sleep(time.Minute)
		equal(t, "owner", owner.types(), []string{"endpoint.disabled", "endpoint.recovered"})
		equal(t, "ops", ops.types(), []string{"alarm.fired"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// What the owner is to be told waits for space, and is neither lost nor repeated.
func TestOwnerIsToldAlthoughTheStoreWasFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ops, owner := owned(t)
		full := w.fillable()
		w.start()
		ops.answering(always(failing(500)))
		w.mustSend("freezer-1", "temperature", -12)
		full.Store(true)
		time.Sleep(30 * time.Minute)
		equal(t, "owner while the store is full", owner.types(), nil)
		full.Store(false)
		time.Sleep(10 * time.Minute)
		equal(t, "owner", owner.types(), []string{"endpoint.failing"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

// A dead endpoint is asked now and then, not for everything it is owed, also
// after a restart; and when it is back, it is told all of it, slowly at first.
func TestDeadEndpointIsProbedAndToldAllWhenItIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		ops := w.endpoints["ops"]
		w.registry = prometheus.NewRegistry()
		w.start()
		ops.answering(always(failing(503)))
		const n = 300
		for i := range n {
			w.mustSend(fmt.Sprintf("freezer-%d", i), "temperature", -12)
		}
		time.Sleep(2 * time.Hour)
		if tried := ops.tried(); tried > 40 {
			t.Fatalf("%d attempts in two hours at an endpoint that answers nothing", tried)
		}
		if err := testutil.GatherAndCompare(w.registry, strings.NewReader(`# HELP tocsin_endpoint_state 1 for the state the endpoint is in.
# TYPE tocsin_endpoint_state gauge
tocsin_endpoint_state{endpoint="ops",state="active"} 0
tocsin_endpoint_state{endpoint="ops",state="disabled"} 0
tocsin_endpoint_state{endpoint="ops",state="failing"} 0
tocsin_endpoint_state{endpoint="ops",state="half_open"} 0
tocsin_endpoint_state{endpoint="ops",state="open"} 1
tocsin_endpoint_state{endpoint="ops",state="paused"} 0
tocsin_endpoint_state{endpoint="ops",state="unconfigured"} 0
`), "tocsin_endpoint_state"); err != nil {
			t.Error(err)
		}
		w.registry = nil
		before := ops.tried()
		for range 5 {
			if err := w.halt(); err != nil {
				t.Fatal(err)
			}
			w.start()
			time.Sleep(time.Second)
		}
		if tried := ops.tried(); tried > before+1 {
			t.Fatalf("five restarts made %d attempts: the breaker is forgotten", tried-before)
		}
		list, err := w.Endpoints(t.Context())
		if err != nil || len(list) != 1 || list[0].Owed != n || list[0].Condition != "open" || list[0].WaitsFor != "breaker" || list[0].Until.IsZero() {
			t.Fatalf("%+v, %v", list, err)
		}
		ops.answering(nil)
		time.Sleep(30 * time.Minute)
		complete(t, ops, n, []string{"alarm.fired"})
		got := ops.list()
		perSecond := map[int]int{}
		for _, r := range got {
			perSecond[int(r.At.Sub(got[0].At)/time.Second)]++
		}
		for second, most := 0, 2; most < n; second, most = second+1, 2*most { // the probe, and what the first second allows
			if perSecond[second] > most {
				t.Errorf("%d accepted in second %d after its return: %v", perSecond[second], second, perSecond)
			}
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestRetryAfterHoldsTheEndpointOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops")
		ops := w.endpoints["ops"]
		throttled := failing(429)
		throttled.RetryAfter = time.Hour
		ops.answer = always(throttled)
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		time.Sleep(time.Minute)
		ops.answering(nil)
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.mustSend("freezer-2", "temperature", -12) // which was never tried
		time.Sleep(58 * time.Minute)
		if n := ops.tried(); n != 1 {
			t.Fatalf("%d attempts in the hour the endpoint asked for", n)
		}
		if list, err := w.Endpoints(t.Context()); err != nil || list[0].WaitsFor != "retry_after" {
			t.Fatalf("%+v, %v", list, err)
		}
		time.Sleep(5 * time.Minute)
		complete(t, ops, 2, []string{"alarm.fired"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}
