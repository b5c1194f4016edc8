package bridge_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bridge"
)

func TestEndpointIsNotToldMoreThanItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ops", "other")
		w.treat = func(e *bridge.Endpoint) {
			if e.Name == "ops" {
				e.Rate = 2
			}
		}
		w.start()
		for i := range 100 {
			w.mustSend(fmt.Sprintf("freezer-%d", i), "temperature", -12)
		}
		synctest.Wait()
		if n := len(w.endpoints["other"].list()); n != 100 {
			t.Fatalf("the other endpoint got %d of 100", n)
		}
		time.Sleep(10*time.Second - 150*time.Millisecond)
		if n := len(w.endpoints["ops"].list()); n < 20 || n > 22 {
			t.Fatalf("%d accepted in ten seconds at 2/s", n)
		}
		if list, err := w.Endpoints(t.Context()); err != nil || list[0].WaitsFor != "rate" {
			t.Errorf("%+v, %v", list[0], err)
		}
		time.Sleep(45 * time.Second)
		complete(t, w.endpoints["ops"], 100, []string{"alarm.fired"})
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestHostIsNotToldMoreBecauseItHasManyEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var names []string
		for i := range 100 {
			names = append(names, fmt.Sprintf("tenant-%d", i))
		}
		w := newWorld(t, names...)
		w.treat = func(e *bridge.Endpoint) { e.Host = "hooks.example.com" }
		w.hostRate = 10
		w.start()
		w.mustSend("freezer-1", "temperature", -12)
		begun := time.Now()
		count := func() (n int) {
			for _, name := range names {
				n += w.endpoints[name].tried()
			}
			return n
		}
		for second := 1; second <= 9; second++ {
			time.Sleep(time.Until(begun.Add(time.Duration(second)*time.Second - time.Millisecond)))
			if n := count(); n < 10*second || n > 10*second+10 {
				t.Fatalf("%d attempts at one host in %d s at 10/s", n, second)
			}
		}
		time.Sleep(time.Minute)
		for _, name := range names {
			equal(t, name, w.endpoints[name].types(), []string{"alarm.fired"})
		}
		if err := w.halt(); err != nil {
			t.Fatal(err)
		}
	})
}
