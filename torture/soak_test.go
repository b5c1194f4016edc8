//go:build linux

package torture

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	sim "tocsin/firmware-sim"
)

// soakTenths is how often what a process holds is taken down.
const soakTenths = 10

// soakConfig is added to the configuration: another fleet, with everything wrong, and
// so little room that something is trimmed each minute.
const soakConfig = `
[source.wrong]
topic   = "wrong/{device}/telemetry"
decoder = "json"
[source.zigbee]
topic   = "zigbee2mqtt/{device}"
decoder = "json"
[source.scalars]
topic   = "wrong/{device}/value/{metric}"
decoder = "scalar"
`

const soakRules = `
[rule.wrong-hot]
devices = ["json-*", "zigbee-*", "scalar-*"]
metric = "temperature"
above  = "28 °C"
clear  = "24 °C"
[rule.wrong-cold]
devices = ["json-*", "zigbee-*", "scalar-*"]
metric = "temperature"
below  = "10 °C"
clear  = "14 °C"
`

// A day of a fleet with which everything is wrong is played in as long as TOCSIN_SOAK
// says, while retention trims all the time and a receiver fails now and then. What the
// process holds and what lies on its disk is as much in the end as it was in the
// beginning.
func TestSoakHoldsNoMoreInTheEndThanInTheBeginning(t *testing.T) {
	if !long() {
		t.Skip("SKIP F22 soak: takes long: set TOCSIN_TORTURE, and TOCSIN_SOAK=15m for how long")
	}
	lasts := 5 * time.Minute
	if text := os.Getenv("TOCSIN_SOAK"); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil {
			t.Fatalf("TOCSIN_SOAK: %v", err)
		}
	}
	s := set(t, &scene{row: "F22", name: "soak", config: soakConfig}, seeds(t)[0])
	config := strings.Replace(s.configuration(), "path = \"data\"\n", "path = \"data\"\nretention = { age = \"1m\", size = \"16MiB\" }\nhistory = { keep = \"1m\" }\n", 1)
	config = strings.Replace(config, `publish = ["plant/#"]`, "publish = [\"#\"]\nsubscribe = [\"#\"]", 1)
	s.write("tocsin.toml", config)
	ours := `devices = ["freezer-*", "cabinet-*", "canary-*"]` + "\n"
	loud, _, _ := strings.Cut(rules, "[rule.quiet]") // in the end the fleet is silent for as long as it takes to judge
	s.write("rules/rules.toml", strings.ReplaceAll(loud, "]\nmetric = ", "]\n"+ours+"metric = "))
	s.write("rules/wrong.toml", "schema = 1\n"+soakRules)
	s.startReady()
	s.play()
	wrong := s.playWrong(24 * time.Hour / lasts)
	s.eventually("the fleets are heard, and receivers are told", func() bool {
		return s.ops.accepted() > 100 && s.canary.accepted() > 100 && s.b.metric("tocsin_messages_received_total", `source="wrong"`) > 100
	})

	var held []holding
	for i := range soakTenths {
		s.ops.behave(answers(500))
		pause(lasts / soakTenths / 4)
		s.ops.behave(nil)
		pause(lasts / soakTenths * 3 / 4)
		h, err := s.holds()
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, h)
		if i == 0 {
			s.before = h.footprint
		}
		t.Logf("\n%s", table(held))
	}
	wrong()
	s.heals()
	s.goesOn()
	s.fleet.end(t)
	s.settle()
	v := &verdict{}
	v.flat(held)
	v.delivered(s.fleet.ledger, map[string]string{"ops": s.ops.path, "canary": s.canary.path})
	s.judgeStates(v)
	s.judgeFootprint(v)
	s.judgeSecrets(v)
	if code := s.b.stop(); code != 0 {
		v.complain(plain, "exit code %d after SIGTERM:\n%s", code, s.tail())
	}
	v.errors([]string{s.b.said()})
	for _, complaint := range v.complaints {
		t.Error(complaint)
	}
}

// playWrong starts the fleet with which everything is wrong, at that speed.
func (s *stage) playWrong(speed time.Duration) (end func()) {
	s.Helper()
	p, err := sim.Load("everything-wrong")
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.Context())
	done := make(chan error, 1)
	o := sim.Options{Broker: "mqtt://" + s.mqtt, QoS: 1, Seed: s.seed, Devices: 40, Speed: float64(speed), Username: "sensors", Password: password}
	go func() {
		_, err := sim.Run(ctx, p, o)
		done <- err
	}()
	s.Cleanup(cancel)
	return func() {
		cancel()
		select {
		case err := <-done:
			if err != nil && err != context.Canceled {
				s.Fatalf("firmware-sim: %v", err)
			}
		case <-time.After(deadline):
			s.Fatal("firmware-sim does not end")
		}
	}
}

// A holding is what a process and its folder hold, and what it has done so far.
type holding struct {
	footprint
	heap                float64 // MiB in use after a collection
	store, history      float64 // MiB on disk
	messages, delivered float64
	events, refused     float64
}

func (s *stage) holds() (h holding, err error) {
	if status, text := s.b.get("/debug/pprof/heap?gc=1"); status != 200 {
		return h, fmt.Errorf("/debug/pprof/heap is answered %d: %.300s", status, text)
	}
	if h.footprint, err = s.b.footprint(); err != nil {
		return h, err
	}
	const mib = 1 << 20
	h.heap = s.b.metric("go_memstats_heap_alloc_bytes") / mib
	h.messages, h.events = s.b.metric("tocsin_messages_received_total"), s.b.metric("tocsin_events_total")
	h.delivered, h.refused = s.b.metric("tocsin_deliveries_total", `outcome="delivered"`), s.b.metric("tocsin_decode_problems_total")
	err = filepath.WalkDir(s.path("data"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // it may just have gone
		}
		info, err := d.Info()
		switch {
		case err != nil:
		case strings.Contains(path, "/history/"):
			h.history += float64(info.Size()) / mib
		default:
			h.store += float64(info.Size()) / mib
		}
		return nil
	})
	return h, err
}

func table(held []holding) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "tenth\tmessages\tproblems\tevents\tdelivered\tRSS MiB\theap MiB\tgoroutines\tfiles\tstore MiB\thistory MiB\t")
	for i, h := range held {
		fmt.Fprintf(w, "%d\t%.0f\t%.0f\t%.0f\t%.0f\t%d\t%.1f\t%d\t%d\t%.1f\t%.1f\t\n",
			i+1, h.messages, h.refused, h.events, h.delivered, h.rss, h.heap, h.goroutines, h.files, h.store, h.history)
	}
	_ = w.Flush() // into memory
	return text.String()
}

// flat judges P6 over a long time: the middle of the last three tenths is not above
// the middle of the second to the fourth by more than a quarter and a little. The
// first is for warming up.
func (v *verdict) flat(held []holding) {
	if len(held) < soakTenths {
		v.complain(bounded, "%d tenths are too few to tell", len(held))
		return
	}
	for _, q := range []struct {
		what  string
		of    func(holding) float64
		slack float64
	}{
		{"MiB resident", func(h holding) float64 { return float64(h.rss) }, 10},
		{"MiB of heap", func(h holding) float64 { return h.heap }, 3},
		{"goroutines", func(h holding) float64 { return float64(h.goroutines) }, slackRest},
		{"open files", func(h holding) float64 { return float64(h.files) }, slackRest},
		{"MiB of store", func(h holding) float64 { return h.store }, 4},
		{"MiB of history", func(h holding) float64 { return h.history }, 2},
	} {
		early, late := middle(held[1:4], q.of), middle(held[soakTenths-3:], q.of)
		if late > 1.25*early+q.slack {
			v.complain(bounded, "%.1f %s in the end, and %.1f in the beginning", late, q.what, early)
		}
	}
}

func middle(three []holding, of func(holding) float64) float64 {
	var list []float64
	for _, h := range three {
		list = append(list, of(h))
	}
	slices.Sort(list)
	return list[len(list)/2]
}

func TestSoakIsJudgedByWhatGrows(t *testing.T) {
	grown := func(grow func(h *holding, i int)) []string {
		var held []holding
		for i := range soakTenths {
			h := holding{footprint: footprint{rss: 60, goroutines: 100, files: 60}, heap: 12, store: 20, history: 1}
			if i == 0 {
				h.rss, h.store = 30, 1 // it warms up
			}
			grow(&h, i)
			held = append(held, h)
		}
		v := &verdict{}
		v.flat(held)
		return v.complaints
	}
	if complaints := grown(func(h *holding, i int) { h.rss += i % 3 * 5; h.store += float64(i % 2 * 4) }); len(complaints) > 0 {
		t.Errorf("what goes up and down is complained of: %q", complaints)
	}
	for what, grow := range map[string]func(*holding, int){
		"resident":   func(h *holding, i int) { h.rss += 8 * i },
		"heap":       func(h *holding, i int) { h.heap += float64(i) * 2 },
		"goroutines": func(h *holding, i int) { h.goroutines += 20 * i },
		"files":      func(h *holding, i int) { h.files += 15 * i },
		"store":      func(h *holding, i int) { h.store += float64(i) * 3 },
		"history":    func(h *holding, i int) { h.history += float64(i) },
	} {
		if complaints := grown(grow); len(complaints) != 1 || !strings.Contains(complaints[0], what) {
			t.Errorf("%s grows, and the judge says %q", what, complaints)
		}
	}
}
