package rules

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// chattyHead bounds every device to ten readings, and one more each second. The
// stories begin with the ten.
const chattyHead = `
[defaults]
notify = ["ops"]
max_rate = "1/s"
[metric.level]
type = "number"
[metric.door]
type = "text"
[metric.pulses]
kind = "counter"
type = "number"
[metric.button]
kind = "event"
type = "text"
`

const tenReadings = "0ms..90ms/10ms p level=20\n"

func TestSpikeBeyondTheRateIsToldAtOnce(t *testing.T) {
	tell(t, chattyHead+"[rule.high]\nmetric = \"level\"\nabove = 50\n", tenReadings+`
		100ms..440ms/10ms p level=20
		455ms p level=99
		460ms..900ms/10ms p level=20
		2s tick`,
		"455ms fired warning high/p", "500ms resolved warning high/p")
}

func TestLastReadingOfATenthIsJudgedWhenItIsOver(t *testing.T) {
	tell(t, chattyHead+"[rule.low]\nmetric = \"level\"\nbelow = 10\n[rule.high]\nmetric = \"level\"\nabove = 50\n", tenReadings+`
		110ms p level=0
		120ms p level=99
		130ms p level=40
		140ms p level=41
		5s tick`,
		"110ms fired warning low/p", "120ms fired warning high/p", "120ms resolved warning low/p", "200ms resolved warning high/p")
}

// What waits is judged before anything newer: nothing is reordered.
func TestReadingThatWaitsIsJudgedBeforeANewerOne(t *testing.T) {
	tell(t, chattyHead+"[rule.fell]\nmetric = \"level\"\ndecreased_by = 30\nhold = \"1s\"\n", tenReadings+`
		110ms p level=20
		120ms p level=60
		130ms p level=50
		140ms p level=15
		20s tick`,
		"140ms fired warning fell/p", "1.14s resolved warning fell/p")
}

// An extreme that is older than what waits turns no limit, as it would not have
// without a rate; and what comes twice is counted once.
func TestOlderThanWhatWaitsIsLate(t *testing.T) {
	s := tell(t, chattyHead+"[rule.high]\nmetric = \"level\"\nabove = 50\n", tenReadings+`
		110ms p level=20
		120ms p level=20
		130ms p level=99 age=15ms
		1s tick`)
	s.play("1.01s p level=20\n1.02s p level=20\n1.03s p level=20\n1.04s p level=20\n")
	if len(s.out.Problems) != 1 {
		t.Errorf("problems %q", s.out.Problems)
	}
	s.play("1.05s p level=20 age=10ms +dup\n")
	if len(s.out.Problems) != 0 {
		t.Errorf("problems of a repetition %q", s.out.Problems)
	}
	s.play("1.06s p level=10\n1.07s p level=19\n1.08s p level=18\n1.085s p level=17 age=12ms\n2s tick\n")
	if c := s.e.devices["p"].channels[0]; c.last.value.num != 18 {
		t.Errorf("the last reading judged is %v, and the newest was 18", c.last.value.num)
	}
}

func TestWhatIsNewsIsNeverCoalesced(t *testing.T) {
	f := func(name, rule, story string, want ...string) {
		t.Helper()
		s := newScene(t, chattyHead+rule)
		s.play(tenReadings + story)
		known := len(s.told)
		for _, line := range want {
			if !slices.Contains(s.told, line) {
				t.Errorf("%s: told %q, want %q", name, s.told[:known], line)
			}
		}
	}
	const level = "[rule.any]\nmetric = \"level\"\nabove = 1000\n"
	f("a change of text", level+"[rule.door]\nmetric = \"door\"\nis = \"open\"\n", `
		110ms p door=shut
		120ms p door=shut
		130ms p door=open
		140ms p door=open
		150ms p door=shut`, "130ms fired warning door/p", "150ms resolved warning door/p")
	f("a momentary value", level+"[rule.button]\nmetric = \"button\"\nis = \"single\"\nrepeats = { count = 4, within = \"1m\" }\n",
		`110ms..140ms/10ms p button=single`, "140ms fired warning button/p")
	f("an invalid one", level+"[rule.bad]\nmetric = \"level\"\ninvalid = { count = 2, within = \"1m\" }\n", `
		110ms p level=!nan
		120ms p level=!nan`, "120ms fired warning bad/p")
}

// Of 30 counted up to a reset, none is lost though they were not judged.
func TestCounterBeyondTheRateCountsOnOverAReset(t *testing.T) {
	tell(t, chattyHead+"[rule.any]\nmetric = \"level\"\nabove = 1000\n[rule.many]\nmetric = \"pulses\"\ndelta_above = 34\nover = \"1m\"\n", tenReadings+`
		110ms p pulses=0
		120ms p pulses=10
		130ms p pulses=20
		140ms p pulses=30
		150ms p pulses=2
		160ms p pulses=5
		1s tick`,
		"200ms fired warning many/p")
}

func TestCoalescedReadingsAreCountedAndAreContact(t *testing.T) {
	s := newScene(t, chattyHead+"[rule.high]\nmetric = \"level\"\nabove = 50\n[rule.n]\nmetric = \"level\"\nagg = \"count\"\nover = \"1m\"\nabove = 13\n[rule.gone]\nsilent = \"2m\"\n")
	s.play(tenReadings)
	counted := 0
	for ms := 110; ms < 200; ms += 10 {
		now := start.Add(time.Duration(ms) * time.Millisecond)
		sample := reading(now, 20)
		sample.Device, sample.Metric = "p", "level"
		s.step(Input{Now: now, Sample: sample})
		counted += len(s.out.Problems)
		if slices.ContainsFunc(s.out.Problems, func(p string) bool { return p != "chatty" }) {
			t.Errorf("problems %q", s.out.Problems)
		}
	}
	if counted != 7 { // of nine, the first and the last are judged
		t.Errorf("%d readings were coalesced, want 7", counted)
	}
	s.play("2m0.18s tick\n2m1s tick")
	s.expect("2m0.19s fired warning gone/p")
}

func TestDeviceThatIsChattyIsToldOnceUntilItHasBeenQuiet(t *testing.T) {
	p := compileText(chattyHead + "[device.calm]\nmax_rate = false\n[rule.high]\nmetric = \"level\"\nabove = 50\n")
	r := newRun(t, p, Options{Route: func(ev *Event) []string { return []string{"admin"} }})
	send := func(device string, from, to time.Duration) {
		for at := from; at < to; at += 10 * time.Millisecond {
			sample := reading(start.Add(at), 20)
			sample.Device, sample.Metric = device, "level"
			r.step(Input{Now: start.Add(at), Sample: sample})
		}
	}
	send("p", 0, 3*time.Second)
	r.revive(p)
	send("p", 3*time.Second, 4*time.Second)
	send("calm", 4*time.Second, 5*time.Second)
	send("p", 13*time.Second, 13*time.Second+50*time.Millisecond)
	send("p", 30*time.Second, 31*time.Second)
	var got []string
	for i := range r.events {
		if ev := &r.events[i]; ev.Type == DeviceChatty {
			got = append(got, brief(ev)+": "+ev.Title+": "+ev.Because)
		}
	}
	if len(got) != 2 || !strings.HasPrefix(got[0], "110ms device.chatty p to=admin: p is chatty: 12 readings within 110ms (109/s), and max_rate is 1/s") || !strings.HasPrefix(got[1], "30.11s ") {
		t.Errorf("told\n%s", strings.Join(got, "\n"))
	}
}

// The readings of a message that are of the past are judged one by one, whatever
// the rate; those of now in the order of their time.
func TestPastIsNeverCoalesced(t *testing.T) {
	const rules = "[rule.n]\nmetric = \"level\"\nagg = \"count\"\nover = \"1h\"\nat_least = 60\n[rule.high]\nmetric = \"level\"\nabove = 50\n"
	s := newScene(t, chattyHead+rules)
	in := Input{Now: start.Add(time.Hour)}
	for i := range 60 {
		sample := *reading(in.Now.Add(-time.Duration(i)*10*time.Millisecond-10*time.Minute), 20)
		sample.Device, sample.Metric = "p", "level"
		in.Batch = append(in.Batch, sample)
	}
	last := in.Batch[0]
	last.At = in.Now
	in.Batch = append(in.Batch, last)
	s.step(in)
	if len(s.out.Problems) > 0 || len(s.events) != 1 {
		t.Errorf("problems %q, %d events", s.out.Problems, len(s.events))
	}
	tell(t, chattyHead+rules, `
		1m batch p level -29ms=20 -28ms=20 -27ms=20 -26ms=20 -25ms=20 -24ms=20 -23ms=20 -22ms=20 -21ms=20 -20ms=20 -9ms=25 -8ms=25 -7ms=24 -5ms=24 -6ms=99 -4ms=30 -3ms=40
		2m tick`,
		"1m fired warning high/p", "1m0.1s resolved warning high/p")
}

func TestReadingThatWaitsSurvives(t *testing.T) {
	const rules = chattyHead + "[rule.high]\nmetric = \"level\"\nabove = 50\n"
	const story = tenReadings + "110ms p level=99\n120ms p level=10\n130ms p level=30\n%\n2m tick\n"
	for how, ended := range map[string]time.Duration{
		"140ms tick": 200 * time.Millisecond, "140ms restart": 200 * time.Millisecond, "140ms reload": 200 * time.Millisecond,
		"1m gap 59.86s": time.Minute,
	} {
		s := newScene(t, rules)
		s.play(strings.ReplaceAll(story, "%", how))
		if want := []string{"110ms fired warning high/p", "120ms resolved warning high/p"}; !slices.Equal(s.told[:2], want) {
			t.Errorf("%s: told %q", how, s.told)
		}
		c := s.e.devices["p"].channels[0]
		if judged := wall(c.at).Sub(start); c.last.value.num != 30 || judged != ended {
			t.Errorf("%s: the last reading judged is %v, at %s, want 30 at %s", how, c.last.value.num, judged, ended)
		}
	}
}

// A clock that was wrong, or a rate that was low, does not keep a device waiting.
func TestRateStartsAnewWhereItsTimeIsAnother(t *testing.T) {
	const rules = chattyHead + "[rule.high]\nmetric = \"level\"\nabove = 50\n"
	s := newScene(t, rules)
	s.play(tenReadings + "110ms p level=99\n120ms p level=10\n130ms p level=30\n")
	back := start.Add(-time.Hour)
	s.step(Input{Now: back, Gap: &Gap{From: start.Add(140 * time.Millisecond), To: back}})
	s.step(Input{Now: back.Add(100 * time.Millisecond)})
	if c := s.e.devices["p"].channels[0]; c.last.value.num != 30 || s.e.excess.due != 0 {
		t.Errorf("an hour back, what waited still waits: %v was judged", c.last.value.num)
	}
	if b := s.e.devices["p"].bucket; b.full > back.Add(10*time.Second).UnixNano() {
		t.Error("an hour back, the bucket is empty for an hour")
	}
	low := newScene(t, strings.Replace(rules, "1/s", "1/h", 1))
	low.play(tenReadings + "110ms p level=20\n")
	low.file.Defaults.MaxRate.Per = time.Second
	low.play("1s reload")
	if b := low.e.devices["p"].bucket; b.full > start.Add(11*time.Second).UnixNano() {
		t.Error("with another rate, the bucket is as empty as it was with the first")
	}
}

// A device that sends what it has kept, one message each, tells of another time
// with every reading: none is skipped, and nobody hears that it is chatty.
func TestKeptReadingsAreJudgedHoweverFastTheyCome(t *testing.T) {
	const rules = chattyHead + "[rule.high]\nmetric = \"level\"\nabove = 50\nfor = \"5m\"\n"
	s := newScene(t, rules)
	s.e.options.Route = func(ev *Event) []string { return []string{"ops"} }
	in := Input{Now: start.Add(2 * time.Hour)}
	for i := range 120 {
		sample := *reading(start.Add(time.Duration(i)*time.Minute), 20)
		sample.Device, sample.Metric = "p", "level"
		if i%30 == 1 || i%30 > 20 { // a single one, and ten minutes
			sample.Num = 99
		}
		in.Sample, in.Now = &sample, in.Now.Add(time.Millisecond)
		s.step(in)
		if len(s.out.Problems) > 0 {
			t.Fatalf("reading %d: %q", i, s.out.Problems)
		}
	}
	fired := 0
	for i := range s.events {
		if s.events[i].Type == AlarmFired {
			fired++
		}
		if s.events[i].Type == DeviceChatty {
			t.Error("it is chatty")
		}
	}
	if fired != 4 {
		t.Errorf("%d alarms fired, want 4", fired)
	}
}

func TestRateThatTheDeviceExceedsByItselfIsSuspect(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, list := Compile(readFile(t, text+"[rule.high]\nmetric = \"level\"\nabove = 50\n"))
		if got := problems(list); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
	f("[device.a]\nevery = \"30s\"\nmax_rate = \"1/min\"\n", "warning device.a.max_rate: max_rate (1/min) is lower than what a sends: a reading every 30s, of each metric (")
	f("[defaults]\nmax_rate = \"1/min\"\n[device.a]\nevery = \"30s\"\nmax_rate = \"1/s\"\n[device.b]\nevery = \"10s\"\n[device.c]\nevery = \"20s\"\n",
		"warning defaults.max_rate: max_rate (1/min) is lower than what b sends: a reading every 10s")
	f("[defaults]\nmax_rate = \"1/min\"\n[device.a]\nevery = \"30s\"\nmax_rate = false\n[device.b]\nevery = \"1m\"\n", "")
}

func TestRateThatIsRefusedSaysWhy(t *testing.T) {
	f := func(v any, want string) {
		t.Helper()
		var r MaxRate
		var got string
		if err := r.UnmarshalTOML(v); err != nil {
			got = err.Error()
		} else {
			got = r.String()
		}
		if got != want {
			t.Errorf("%v is %s, want %s", v, got, want)
		}
	}
	f("50/s", "50/s")
	f(" 1.5 / min", "1.5/min")
	f("1000000/s", "1000000/s")
	f("1/h", "1/h")
	f(false, "none")
	for _, text := range []string{"", "50", "/s", "50/d", "x/s", "50/s/s", "1e/s"} {
		f(text, `"`+text+`" is no rate (a number of readings per s, min or h, such as "50/s")`)
	}
	for _, text := range []string{"0/s", "-1/s", "0.01/h"} {
		f(text, `"`+text+`" is less than one reading a day (write a higher rate, or false for none)`)
	}
	f("1000001/s", `"1000001/s" is more than a million readings a second (write false for none)`)
	f(true, `true is no rate (write "50/s", or false for none)`)
	f(int64(50), `is a int64 (a rate such as "50/s", or false)`)
}
