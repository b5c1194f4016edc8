package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tocsin/bridge/webhook"
)

const stormRules = `schema = 1
[defaults]
late = "1s"
[metric.temperature]
unit = "°C"
range = [-60.0, 60.0]
[metric.door]
type = "text"
[rule.warm]
metric = "temperature"
above = 10
clear = 5
[rule.hot]
metric = "temperature"
above = 10
for = "700ms"
clear_for = "400ms"
[rule.hot.level.critical]
above = 20
[rule.mean]
metric = "temperature"
agg = "avg"
over = "3s"
above = 8
[rule.busy]
metric = "temperature"
agg = "count"
over = "2s"
above = 4
[rule.here]
devices = "label:room=r"
metric = "temperature"
above = 12
[rule.off]
metric = "temperature"
above = 12
[rule.off.override."label:room=s"]
enabled = false
[rule.moved]
metric = "door"
changed = true
hold = "1s"
[rule.open]
metric = "door"
is = "open"
retained = "use"
[rule.room]
across = "label:room"
metric = "temperature"
reduce = "median"
above = 9
clear = 7
quorum = 1
fresh = "3s"
[rule.gone]
silent = "3s"
[rule.flaps]
metric = "temperature"
above = 11
[rule.flaps.flap]
changes = 6
within = "4s"
hold = "2s"
`

// stormLength is how long the storm lasts: some seconds in every run, or as long as
// TOCSIN_STORM says.
func stormLength(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("TOCSIN_STORM")
	if text == "" {
		return 10 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("TOCSIN_STORM: %v", err)
	}
	return d
}

// Devices send late, in batches, again, with clocks that are wrong, from room to
// room; the bridge is killed at random moments and its rules are changed: an episode
// begins once, what follows is numbered, and an id has one body.
func TestEveryEpisodeBeginsOnceInAStorm(t *testing.T) {
	secret := webhook.NewSecret()
	l := startReceiver(t, secret, "500:0.05")
	addr := freeAddr(t)
	dir := plant(t, embedded(addr), secret, l.url)
	main := read(t, filepath.Join(dir, "tocsin.toml"))
	main = strings.Replace(main, "plant/{device}/telemetry", "plant/{room}/{device}/telemetry", 1)
	main = strings.Replace(main, `"$.ts"`, `"@.ts"`, 1)
	main = strings.Replace(main, "decoder = \"json\"\n", "decoder = \"json\"\nrecords = \"$.r[*]\"\n", 1)
	writeFiles(t, dir, map[string]string{"tocsin.toml": main, "rules/cold.toml": stormRules})

	_, draw := killing(t)
	p := startTocsin(t, dir)
	p.waitReady()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for i := range 10 {
		s := &squall{device: &device{addr: addr, id: fmt.Sprint("d", i)}, draw: rand.New(rand.NewPCG(draw.Uint64(), 3)), skew: []time.Duration{0, 0, 0, -90 * time.Second, 20 * time.Second}[i%5]}
		wg.Go(func() { s.blow(ctx) })
	}
	kills, reloads := 0, 0
	for end := time.Now().Add(stormLength(t)); time.Now().Before(end); {
		pause(time.Duration(draw.IntN(3000)) * time.Millisecond)
		if draw.IntN(2) == 0 {
			text := stormRules
			if draw.IntN(3) > 0 { // or as it was, or is
				text = strings.Replace(text, "above = 10\n", fmt.Sprintf("above = %d\n", 10+draw.IntN(3)), draw.IntN(3))
			}
			save(t, filepath.Join(dir, "rules", "cold.toml"), text)
			_ = p.cmd.Process.Signal(syscall.SIGHUP) // it may be dead already
			reloads++
			continue
		}
		p.kill()
		kills++
		p = startTocsin(t, dir)
	}
	p.waitReady()
	cancel()
	wg.Wait()
	l.behave()
	for quiet, was := 0, -1; quiet < 50; quiet++ { // five seconds in which nothing comes
		if n := l.requests(); n != was {
			quiet, was = 0, n
		}
		pause(100 * time.Millisecond)
	}
	if code := p.terminate(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, p.log())
	}
	begun := beginOnce(t, l)
	t.Logf("%d kills, %d reloads, %d events of %d episodes", kills, reloads, len(l.unique(t)), begun)
}

// beginOnce fails for each episode that is not told whole and in order, and counts
// the episodes.
func beginOnce(t *testing.T, l *ledger) int {
	t.Helper()
	last := map[string]record{}
	for _, r := range l.unique(t) {
		if r.Episode == "" {
			continue
		}
		was, known := last[r.Episode]
		last[r.Episode] = r
		switch begins := r.Type == "alarm.fired" || r.Type == "alarm.occurred"; {
		case begins != (r.Seq == 1), begins == known:
			t.Errorf("%s of %s is told as %s %d after %s %d", r.Episode, r.Alarm, r.Type, r.Seq, was.Type, was.Seq)
		case known && (r.Seq != was.Seq+1 || was.Type == "alarm.resolved" || was.Type == "alarm.cancelled" || was.Type == "alarm.occurred"):
			t.Errorf("%s of %s is told as %s %d after %s %d", r.Episode, r.Alarm, r.Type, r.Seq, was.Type, was.Seq)
		}
	}
	return len(last)
}

// A squall is a device that reports in every way that goes wrong.
type squall struct {
	device *device
	draw   *rand.Rand
	skew   time.Duration
	value  float64
	kept   []reading
}

type reading struct {
	At   string  `json:"ts"`
	Warm float64 `json:"temperature,omitempty"`
	Door string  `json:"door,omitempty"`
}

func (s *squall) blow(ctx context.Context) {
	defer s.device.close()
	away := 0
	for ctx.Err() == nil {
		at := time.Now().Add(s.skew)
		if s.draw.IntN(12) == 0 {
			at = at.Add(-time.Duration(s.draw.IntN(6000)) * time.Millisecond) // it was held up
		}
		if s.draw.IntN(4) == 0 {
			s.value = []float64{-5, 3, 7, 11, 14, 25}[s.draw.IntN(6)]
		}
		r := reading{At: at.UTC().Format(time.RFC3339Nano), Warm: s.value}
		if s.draw.IntN(5) == 0 {
			r.Door = []string{"open", "shut"}[s.draw.IntN(2)]
		}
		s.kept = append(s.kept, r)
		if away == 0 && s.draw.IntN(60) == 0 {
			away = s.draw.IntN(60)
		}
		if away > 0 {
			away--
		} else if err := s.send(ctx); err != nil && !errors.Is(err, context.Canceled) {
			panic(err)
		}
		select {
		case <-time.After(time.Duration(40+s.draw.IntN(160)) * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// send reports what was kept: whole or in two parts, in whatever order, some of it
// again.
func (s *squall) send(ctx context.Context) error {
	parts := [][]reading{s.kept}
	if n := len(s.kept); n > 1 {
		if s.draw.IntN(2) == 0 {
			s.draw.Shuffle(n, func(i, j int) { s.kept[i], s.kept[j] = s.kept[j], s.kept[i] })
		}
		cut := s.draw.IntN(n)
		parts = [][]reading{s.kept[cut:], s.kept[:cut]}
	}
	if s.draw.IntN(15) == 0 {
		parts = append(parts, parts[0])
	}
	for _, part := range parts {
		body, err := json.Marshal(map[string]any{"r": part})
		if err != nil || len(part) == 0 {
			continue
		}
		s.device.topic = fmt.Sprintf("plant/%s/%s/telemetry", []string{"r", "r", "r", "s"}[s.draw.IntN(4)], s.device.id)
		if s.draw.IntN(10) == 0 && s.device.conn != nil && s.device.conn.IsConnectionOpen() {
			s.device.conn.Publish(s.device.topic, 1, true, body).WaitTimeout(time.Second)
		}
		if err := s.device.deliver(ctx, string(body)); err != nil {
			return err
		}
	}
	s.kept = nil
	return nil
}
