package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"tocsin/bridge/webhook"
)

// killing says how often the bridge is killed: short in every run, 200 times
// with TOCSIN_TORTURE set. TOCSIN_SEED repeats a run's moments.
func killing(t *testing.T) (kills int, moments *rand.Rand) {
	t.Helper()
	kills = 12
	if os.Getenv("TOCSIN_TORTURE") != "" {
		kills = 200
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("TOCSIN_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("TOCSIN_SEED: %v", err)
		}
	}
	t.Logf("repeat with TOCSIN_SEED=%d", seed)
	return kills, rand.New(rand.NewPCG(seed, 1))
}

// Fifty devices cross the limit up and down at QoS 1 while the bridge is killed
// at random moments, its start-up included. A device repeats a reading until it
// is acknowledged and counts its crossings then. Whatever was killed when: each
// acknowledged crossing is one event, received in order, always with one body.
func TestKilledAtRandomMomentsEveryAcknowledgedCrossingIsToldOnce(t *testing.T) {
	for _, mode := range []string{"embedded", "external"} {
		t.Run(mode, func(t *testing.T) {
			secret := webhook.NewSecret()
			l := startReceiver(t, secret, "500:0.1")
			addr := freeAddr(t)
			broker := embedded(addr)
			if mode == "external" {
				addr = startMosquitto(t)
				broker = external(addr, "tocsin-test")
			}
			dir := plant(t, broker, secret, l.url)
			first := startTocsin(t, dir)
			first.waitReady() // the subscription exists before anything is published
			fleet := startFleet(t, addr, 50)

			kills, moments := killing(t)
			p := first
			for range kills {
				pause(time.Duration(moments.IntN(700)) * time.Millisecond)
				p.kill()
				p = startTocsin(t, dir)
			}
			p.waitReady()
			fleet.stop()

			owed := fleet.crossings()
			total := 0
			for _, n := range owed {
				total += n
			}
			waitFor(t, l, total)
			if code := p.terminate(); code != 0 {
				t.Errorf("exit code %d after SIGINT:\n%s", code, p.log())
			}
			judge(t, l, owed)
			t.Logf("%d kills, %d readings acknowledged, %d crossings, %d events, %d requests", kills, fleet.readings(), total, len(l.unique(t)), l.requests())
		})
	}
}

// waitFor waits until n events have arrived, for as long as requests come in.
func waitFor(t *testing.T, l *ledger, n int) {
	t.Helper()
	for {
		have, requests := len(l.unique(t)), l.requests()
		if have >= n {
			return
		}
		eventually(t, fmt.Sprintf("a request after the %dth, with %d of %d events received", requests, have, n), func() bool { return l.requests() > requests })
	}
}

// judge compares the ledger of acknowledgements with the ledger of what was
// received.
func judge(t *testing.T, l *ledger, owed map[string]int) {
	t.Helper()
	told := map[string][]record{}
	for _, r := range l.unique(t) {
		told[r.Alarm] = append(told[r.Alarm], r)
	}
	for device, crossings := range owed {
		got := told["warm/"+device]
		if len(got) != crossings {
			t.Errorf("%s: %d crossings acknowledged, %d events received", device, crossings, len(got))
		}
		for i, r := range got {
			want, seq := "alarm.fired", 1
			if i%2 == 1 {
				want, seq = "alarm.resolved", 2
			}
			if r.Type != want || r.Seq != seq {
				t.Errorf("%s: event %d is %s with seq %d, want %s with seq %d", device, i, r.Type, r.Seq, want, seq)
				break
			}
			if i%2 == 1 && r.Episode != got[i-1].Episode {
				t.Errorf("%s: event %d ends episode %s, but %s was open", device, i, r.Episode, got[i-1].Episode)
				break
			}
		}
	}
	for alarm := range told {
		if _, ok := owed[alarm[len("warm/"):]]; !ok {
			t.Errorf("%s was told, and nobody crossed", alarm)
		}
	}
}

// A fleet publishes until it is stopped.
type fleet struct {
	cancel context.CancelFunc
	enough chan struct{} // closed: finish the reading under way
	wg     sync.WaitGroup

	mu    sync.Mutex
	acked map[string][]float64 // values acknowledged, in order
	errs  []error
	t     *testing.T
}

func startFleet(t *testing.T, addr string, devices int) *fleet {
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	f := &fleet{t: t, cancel: cancel, enough: make(chan struct{}), acked: map[string][]float64{}}
	t.Cleanup(cancel)
	for i := range devices {
		id := fmt.Sprintf("freezer-%02d", i)
		f.wg.Go(func() {
			d := &device{addr: addr, id: id, topic: "plant/" + id + "/telemetry"}
			defer d.close()
			f.publish(ctx, d, rand.New(rand.NewPCG(uint64(i), 2)))
		})
	}
	return f
}

// publish takes a device's temperature to and fro over the limit. Some devices
// cross with every reading, so that no later reading makes up for a lost one;
// the others linger above, below and in the deadband.
func (f *fleet) publish(ctx context.Context, d *device, draw *rand.Rand) {
	values := []float64{-12, -18}
	if draw.IntN(4) == 0 {
		values = []float64{-20, -12, -16, -11, -18, -19}
	}
	for n := 0; ; n++ {
		value := values[n%len(values)]
		stamp := time.Now().UTC().Format(time.RFC3339Nano)
		err := d.deliver(ctx, fmt.Sprintf(`{"ts":%q,"temperature":%v}`, stamp, value))
		f.mu.Lock()
		if err != nil {
			f.errs = append(f.errs, fmt.Errorf("%s: %w", d.id, err))
		} else {
			f.acked[d.id] = append(f.acked[d.id], value)
		}
		f.mu.Unlock()
		select {
		case <-f.enough:
			return
		case <-time.After(time.Duration(draw.IntN(10)) * time.Millisecond):
		}
		if err != nil {
			return
		}
	}
}

// stop lets each device finish: a reading in flight is repeated until it is
// acknowledged.
func (f *fleet) stop() {
	f.t.Helper()
	close(f.enough)
	f.wg.Wait()
	f.cancel()
	if err := errors.Join(f.errs...); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) readings() int {
	n := 0
	for _, values := range f.acked {
		n += len(values)
	}
	return n
}

// crossings counts, by an obvious model, the events that the acknowledged
// readings must make.
func (f *fleet) crossings() map[string]int {
	count := map[string]int{}
	for device, values := range f.acked {
		firing, n := false, 0
		for _, v := range values {
			if crossed := !firing && v > -15 || firing && v < -17; crossed {
				firing = !firing
				n++
			}
		}
		count[device] = n
	}
	return count
}

func TestRestartByItselfTellsNothing(t *testing.T) {
	secret := webhook.NewSecret()
	l := startReceiver(t, secret, "")
	addr := freeAddr(t)
	dir := plant(t, embedded(addr), secret, l.url)
	p := startTocsin(t, dir)
	p.waitReady()
	d := &device{addr: addr, id: "freezer-1", topic: "plant/freezer-1/telemetry"}
	defer d.close()
	if err := d.deliver(t.Context(), `{"temperature":-12}`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the alarm was told", func() bool { return len(l.unique(t)) == 1 })
	for range 5 {
		p.kill()
		p = startTocsin(t, dir)
		p.waitReady()
	}
	if err := d.deliver(t.Context(), `{"temperature":-18}`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its end was told", func() bool { return len(l.unique(t)) >= 2 })
	if got, want := l.of(t, "warm/freezer-1"), []string{"alarm.fired", "alarm.resolved"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}
