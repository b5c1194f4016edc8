package sim

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// over plays a profile of one device over a wire and returns what happened on it.
func over(t *testing.T, w *wire, limit int, toml string) (events []string, ledger string) {
	t.Helper()
	p, err := solo("status = \"{device}/status\"\n"+toml, "test.toml")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w.begun = time.Now()
		var b bytes.Buffer
		if _, err := Run(t.Context(), p, Options{Seed: 7, QoS: 1, Limit: limit, Dial: w.dial, Ledger: &b, StartAt: time.Unix(1_800_000_000, 0)}); err != nil {
			t.Error(err)
		}
		w.serving.Wait()
		ledger = b.String()
	})
	return w.events, ledger
}

const signalX = "[model.m.signal.x]\nbase = 20.0\n"

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func seqs(events []string) []string {
	all := slices.Clone(events)
	for i, e := range all {
		if head, rest, found := strings.Cut(e, ` {"ts"`); found {
			_, rest, _ = strings.Cut(rest, `"seq":`)
			n, _, _ := strings.Cut(rest, ",")
			all[i] = head + " #" + n
		}
	}
	return all
}

func TestPowerCutLeavesTheWillToTheBroker(t *testing.T) {
	events, ledger := over(t, &wire{}, 4, signalX+"[fault.f]\ndevice = \"*\"\nkind = \"power-cut\"\nat = \"5s\"\nfor = \"12s\"")
	same(t, seqs(events),
		"0 connect will=dev-1/status:offline",
		"0 dev-1/status q0 dup=false online",
		"0 dev-1 q1 dup=false #1",
		"5 broken",
		"17 connect will=dev-1/status:offline",
		"17 dev-1/status q0 dup=false online",
		"20 dev-1 q1 dup=false #1",
		"30 dev-1 q1 dup=false #2",
		"30 goodbye")
	if n := strings.Count(ledger, `{"line":"said"`); n != 2 {
		t.Errorf("the ledger has %d births, want 2:\n%s", n, ledger)
	}
}

func TestLostAcknowledgementIsSentAgainAsDUP(t *testing.T) {
	events, ledger := over(t, &wire{}, 2, signalX+"[fault.f]\ndevice = \"*\"\nkind = \"lost-ack\"\nfor = \"5s\"")
	got := seqs(events)
	var messages []string
	for _, e := range got {
		if strings.Contains(e, "#") {
			_, what, _ := strings.Cut(e, " ")
			messages = append(messages, what)
		}
	}
	same(t, messages, "dev-1 q1 dup=false #1", "dev-1 q1 dup=true #1", "dev-1 q1 dup=false #2")
	if strings.Count(ledger, `{"line":"sent"`) != 2 || strings.Count(ledger, `{"line":"acked"`) != 2 {
		t.Errorf("the ledger has not two messages, sent and acknowledged once each:\n%s", ledger)
	}
}

func TestStormReconnectsAtOnceOrWithinJitter(t *testing.T) {
	connects := func(jitter string) []string {
		events, _ := over(t, &wire{}, 3, signalX+"[fault.f]\ndevice = \"*\"\nkind = \"reconnect\"\nat = \"5s\""+jitter)
		var all []string
		for _, e := range events {
			if at, what, _ := strings.Cut(e, " "); strings.HasPrefix(what, "connect") {
				all = append(all, at)
			}
		}
		return all
	}
	same(t, connects(""), "0", "5")
	if all := connects("\njitter = \"4s\""); len(all) != 2 || all[1] <= "5" || all[1] >= "9" {
		t.Errorf("connected at %q, want once again between 5 and 9", all)
	}
}

func TestDeviceObeysAndAnswers(t *testing.T) {
	w := &wire{orders: []string{
		`dev-1/config {"id":"c1","every":"4s"}`, `dev-1/config {"every":"0s"}`, `dev-1/config nonsense`,
		`dev-1/command {"id":"c2","do":"ping"}`, `dev-1/command {"id":"c3","do":"fly"}`,
	}}
	events, _ := over(t, w, 3, "config = \"{device}/config\"\ncommand = \"{device}/command\"\nreply = \"{device}/reply\"\n"+signalX)
	var answers, readings []string
	for _, e := range events {
		if at, rest, found := strings.Cut(e, " dev-1/reply q1 dup=false "); found {
			if _, told, found := strings.Cut(rest, `"boot":`); found {
				answers = append(answers, at+" "+told[strings.IndexByte(told, ',')+1:])
			}
		}
		if at, _, found := strings.Cut(e, " dev-1 q1"); found {
			readings = append(readings, at)
		}
	}
	slices.Sort(answers) // on two topics
	same(t, answers,
		`3 "id":"c1","every":"4s","ok":true}`,
		`3 "id":"c2","do":"ping","ok":true}`,
		`3 "id":"c3","do":"fly","ok":false,"error":"there is nothing to do but ping and reboot"}`,
		`3 "ok":false,"error":"every is missing or shorter than 10ms"}`,
		`3 "ok":false,"error":"not an object with the keys id, do and every"}`)
	same(t, readings, "0", "7", "11")
}

func TestRebootOnCommandIsABoot(t *testing.T) {
	w := &wire{orders: []string{`dev-1/command {"do":"reboot"}`}}
	w.onPub = func(int, bool) (ack, cut bool) {
		if len(w.arrived) > 3 {
			w.orders = nil // once is enough
		}
		return true, false
	}
	events, _ := over(t, w, 2, "command = \"{device}/command\"\nreply = \"{device}/reply\"\n"+signalX)
	got := seqs(events)
	for i := range got {
		got[i] = strings.TrimSuffix(got[i], " ")
	}
	got = slices.DeleteFunc(got, func(e string) bool { return e == "3 broken" }) // when the broker sees it is its own affair
	same(t, got[:8],
		"0 connect will=dev-1/status:offline", "0 dev-1/status q0 dup=false online", "0 subscribe dev-1/command", "0 dev-1 q1 dup=false #1",
		"3 dev-1/reply q1 dup=false #2",
		"3 connect will=dev-1/status:offline", "3 dev-1/status q0 dup=false online", "3 subscribe dev-1/command")
	if last := got[len(got)-2]; !strings.HasSuffix(last, "dev-1 q1 dup=false #1") {
		t.Errorf("after the boot the first reading is %q", last)
	}
}

func TestAcknowledgementsOfNothingChangeNothing(t *testing.T) {
	for range 20 { // which of two comes first is chance
		events, ledger := over(t, &wire{twice: true}, 5, signalX)
		if n := strings.Count(ledger, `{"line":"acked"`); n != 5 || len(events) != 1+1+5+1 {
			t.Fatalf("%d are acknowledged, want 5:\n%s", n, strings.Join(events, "\n"))
		}
	}
}

// The broker of a half-open connection hears nothing, not even its end, until
// the device is back on another one.
func TestHalfOpenConnectionIsNotEndedButReplaced(t *testing.T) {
	half := signalX + "[fault.f]\ndevice = \"*\"\nkind = \"half-open\"\nat = \"5s\"\nfor = \"100s\"\nkeep = 1"
	events, _ := over(t, &wire{}, 12, half)
	back, gone := slices.Index(events, "105 connect will=dev-1/status:offline"), slices.Index(events, "105 broken")
	if back < 0 || gone < back {
		t.Errorf("the old connection is not broken after the new one is made: %q", events)
	}
	same(t, slices.DeleteFunc(seqs(events), func(e string) bool { return e == "105 broken" }),
		"0 connect will=dev-1/status:offline",
		"0 dev-1/status q0 dup=false online",
		"0 dev-1 q1 dup=false #1",
		"105 connect will=dev-1/status:offline",
		"105 dev-1/status q0 dup=false online",
		"105 dev-1 q1 dup=false #2",
		"110 dev-1 q1 dup=false #3",
		"110 goodbye")
	// One whose end nobody lives to see.
	events, _ = over(t, &wire{}, 2, half)
	same(t, seqs(events)[2:], "0 dev-1 q1 dup=false #1", "10 broken")
}

func TestSlowLineLetsBytesThroughInTime(t *testing.T) {
	slow := signalX + "[fault.f]\ndevice = \"*\"\nkind = \"trickle\"\nbytes = 20.0\nat = \"5s\"\nfor = \"10s\""
	events, ledger := over(t, &wire{}, 4, slow)
	var arrived []float64
	size := 0
	for _, e := range events {
		var at float64
		if _, text, found := strings.Cut(e, " dev-1 q1 dup=false "); found {
			if _, err := fmt.Sscanf(e, "%g", &at); err != nil {
				t.Fatal(err)
			}
			arrived, size = append(arrived, at), len(text)+len("\x30\x00\x00\x05dev-1\x00\x01")
		}
	}
	if len(arrived) != 4 || arrived[0] != 0 || arrived[2] != 20 || arrived[3] != 30 {
		t.Fatalf("messages arrived at %v", arrived)
	}
	if took := arrived[1] - 10; took < float64(size-2)/20 || took > float64(size)/20 {
		t.Errorf("%d bytes took %v s at 20 a second", size, took)
	}
	if n := strings.Count(ledger, `{"line":"acked"`); n != 4 {
		t.Errorf("%d are acknowledged, want 4", n)
	}
}

func TestSlowLineDoesNotHoldUpTheEnd(t *testing.T) {
	p, err := solo(signalX+"[fault.f]\ndevice = \"*\"\nkind = \"trickle\"\nbytes = 0.1\nfor = \"10h\"", "test.toml")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := &wire{begun: time.Now()}
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		if _, err := Run(ctx, p, Options{Seed: 7, QoS: 1, Dial: w.dial}); err != nil {
			t.Error(err)
		}
		if took := time.Since(w.begun); took != 90*time.Second {
			t.Errorf("the run ended after %s", took)
		}
		w.serving.Wait()
	})
}

// A broker that is there and says nothing is noticed, and a device that has
// nothing to say comes back at once.
func TestSilentBrokerIsNoticed(t *testing.T) {
	events, _ := over(t, &wire{mute: 1}, 2, signalX+
		"[fault.f]\ndevice = \"*\"\nkind = \"slow\"\ndelay = \"1000s\"\nat = \"10s\"\nfor = \"5s\"")
	var all []string
	for _, e := range events {
		if at, what, _ := strings.Cut(e, " "); strings.HasPrefix(what, "connect") || what == "ping" {
			at, _, _ = strings.Cut(at, ".") // the pause before it is drawn
			all = append(all, at+" "+strings.Fields(what)[0])
		}
	}
	if len(all) < 3 {
		t.Fatalf("%q", all)
	}
	same(t, all[:3], "0 connect", "30 ping", "45 connect")
}
