package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// stamp is a moment so many seconds into the test's day.
func stamp(second int) time.Time {
	return time.Date(2026, 11, 22, 9, 0, second, 0, time.UTC)
}

// A story is a ledger written by hand: one device, whose messages 1 to 6 are
// acknowledged and 7 and 8 are not.
func story(t *testing.T, extra ...Entry) string {
	t.Helper()
	limit := -15.0
	lines := []Entry{{Line: "run", At: stamp(0), Expect: map[string]Expect{"warm": {Metric: "x", Above: &limit}}}}
	crossings := map[uint64]Crossing{
		2: {Rule: "warm", Type: Fired, At: stamp(2), Started: stamp(2)},
		3: {Rule: "warm", Type: Resolved, At: stamp(3), Started: stamp(2)},
		5: {Rule: "warm", Type: Fired, At: stamp(5), Started: stamp(5)},
		7: {Rule: "warm", Type: Resolved, At: stamp(7), Started: stamp(5)},
		8: {Rule: "warm", Type: Fired, At: stamp(8), Started: stamp(8)},
	}
	for seq := uint64(1); seq <= 8; seq++ {
		e := Entry{Line: "sent", At: stamp(int(seq)), Device: "d", Boot: "b", Seq: seq}
		if c, crosses := crossings[seq]; crosses {
			e.Expected = []Crossing{c}
		}
		lines = append(lines, e)
		if seq <= 6 {
			lines = append(lines, Entry{Line: "acked", At: stamp(int(seq)), Device: "d", Boot: "b", Seq: seq})
		}
	}
	var b strings.Builder
	for _, e := range append(lines, extra...) {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	return b.String()
}

// hook is a line of a receiver: an event of the episode that began at a second.
func hook(id, kind string, began, seq int) string {
	return fmt.Sprintf(`{"id":%q,"at":%q,"verified":true,"body":{"type":%q,"timestamp":"x","data":{"id":%q,"alarm":{"key":"warm/d","episode":"ep_%d","seq":%d,"started_at":%q}}}}`,
		id, stamp(began).Format(time.RFC3339Nano), kind, id, began, seq, stamp(began).Format(time.RFC3339Nano)) + "\n"
}

// whole is everything that certainly has to arrive, and an escalation between.
func whole() []string {
	return []string{
		hook("e1", Fired, 2, 1),
		hook("e2", "alarm.escalated", 2, 2),
		hook("e3", Resolved, 2, 3),
		hook("e4", Fired, 5, 1),
	}
}

func TestVerifyFindsEachKindOfBrokenPromise(t *testing.T) {
	// plant changes what a faultless receiver would have got; want is what must be
	// found, as "kind alarm", sorted.
	f := func(name string, plant func(got []string) []string, want ...string) {
		t.Helper()
		r, err := Verify(strings.NewReader(story(t)), strings.NewReader(strings.Join(plant(whole()), "")))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		var found []string
		for _, f := range r.Findings {
			found = append(found, strings.TrimSpace(string(f.Kind)+" "+f.Alarm))
		}
		if !slices.Equal(found, want) {
			t.Errorf("%s: found %v, want %q", name, r.Findings, want)
		}
	}
	add := func(lines ...string) func([]string) []string {
		return func(got []string) []string { return append(got, lines...) }
	}
	drop := func(i int) func([]string) []string {
		return func(got []string) []string { return slices.Delete(got, i, i+1) }
	}
	swap := func(i, j int) func([]string) []string {
		return func(got []string) []string { got[i], got[j] = got[j], got[i]; return got }
	}

	f("nothing planted", add())
	f("fired is missing", drop(0), "lost warm/d")
	f("the level between is missing", drop(1), "lost warm/d")
	f("the end is missing", drop(2), "lost warm/d")
	f("everything is missing", func([]string) []string { return nil }, "lost warm/d", "lost warm/d", "lost warm/d")

	f("repeated", add(whole()[0], whole()[3]))
	f("repeated with another body", add(hook("e1", Fired, 3, 1)), "changed warm/d")
	f("repeated with other spaces only", add(strings.ReplaceAll(whole()[0], ":{", ": {")))
	f("under a second id", add(hook("e9", Fired, 5, 1)), "doubled warm/d")

	f("events swapped", swap(0, 1), "out of order warm/d")
	f("end before the beginning", swap(0, 2), "out of order warm/d", "out of order warm/d")
	f("a later episode first", func(got []string) []string { return append(got[3:], got[:3]...) },
		"out of order warm/d", "out of order warm/d", "out of order warm/d")
	f("a straggler after the next began", swap(2, 3), "out of order warm/d")

	f("an alarm that nothing called for", add(hook("e5", Fired, 6, 1)), "spurious warm/d")
	f("an end that nothing called for", func(got []string) []string {
		return append(got, strings.ReplaceAll(hook("e5", Resolved, 3, 1), "warm/d", "warm/other"))
	}, "spurious warm/other")
	f("an alarm of a device that was never played", add(strings.ReplaceAll(hook("e5", Fired, 2, 1), "warm/d", "warm/other")), "spurious warm/other")

	f("what was not acknowledged arrived", add(hook("e5", Resolved, 5, 2), hook("e6", Fired, 8, 1)))
	f("another rule, which the ledger does not know", add(strings.ReplaceAll(hook("e5", Fired, 4, 1), "warm/d", "other/d")))
	f("not an alarm", add(`{"id":"p1","body":{"type":"test.ping","data":{}}}`+"\n"))

	f("the signature was wrong", add(strings.Replace(hook("e7", Fired, 4, 1), "true", "false", 1)), "unverified")
	f("the body is no event", add(`{"id":"e7","body":"hello"}`+"\n", `{"id":"e8"}`+"\n"), "unreadable", "unreadable")
	f("the last line is being written", add(`{"id":"e7","bo`))
}

func TestVerifyCounts(t *testing.T) {
	got := strings.Join(append(whole(), whole()[0], `{"id":"p1","body":{"type":"test.ping"}}`+"\n"), "")
	r, err := Verify(strings.NewReader(story(t)), strings.NewReader(got))
	if err != nil {
		t.Fatal(err)
	}
	want := Report{Messages: 8, Acked: 6, Expected: 3, Open: 2, Received: 4, Other: 1, Repeats: 1}
	if !r.OK() || r.Messages != want.Messages || r.Acked != want.Acked || r.Expected != want.Expected ||
		r.Open != want.Open || r.Received != want.Received || r.Other != want.Other || r.Repeats != want.Repeats {
		t.Errorf("got %+v, want %+v", *r, want)
	}
}

// With a for, the bridge's own timer decides what the readings leave open.
func TestVerifyAllowsWhatTheReadingsLeaveOpen(t *testing.T) {
	sent := func(seq uint64, c ...Crossing) []Entry {
		e := Entry{Line: "sent", At: stamp(0), Device: "d", Boot: "b", Seq: seq, Expected: c}
		return []Entry{e, {Line: "acked", At: stamp(0), Device: "d", Boot: "b", Seq: seq}}
	}
	f := func(crossings []Crossing, got string, want int) {
		t.Helper()
		ledger := story(t)
		ledger = ledger[:strings.IndexByte(ledger, '\n')+1]
		for i, c := range crossings {
			c.Rule = "warm"
			for _, e := range sent(uint64(i+1), c) {
				line, err := json.Marshal(e)
				if err != nil {
					t.Fatal(err)
				}
				ledger += string(line) + "\n"
			}
		}
		r, err := Verify(strings.NewReader(ledger), strings.NewReader(got))
		if err != nil || len(r.Findings) != want {
			t.Errorf("%v against %s: %v, %v; want %d findings", crossings, got, r, err, want)
		}
	}
	began := Crossing{Type: Pending, At: stamp(1), Started: stamp(1)}
	over := Crossing{Type: Cancelled, At: stamp(2), Started: stamp(1)}
	f([]Crossing{began}, "", 0)
	f([]Crossing{began}, hook("e1", Fired, 1, 1), 0)
	f([]Crossing{began, over}, "", 0)
	f([]Crossing{began, over}, hook("e1", Fired, 1, 1), 1)
	maybe := []Crossing{
		began,
		{Type: Fired, At: stamp(4), Started: stamp(1), Maybe: true},
		{Type: Resolved, At: stamp(6), Started: stamp(1), Maybe: true},
	}
	f(maybe, "", 0)
	f(maybe, hook("e1", Fired, 1, 1)+hook("e2", Resolved, 1, 2), 0)
	f(maybe, hook("e1", Fired, 5, 1)+hook("e2", Resolved, 5, 2), 0)
	f(maybe, hook("e1", Fired, 7, 1), 1)
	sure := []Crossing{began, {Type: Fired, At: stamp(4), Started: stamp(1)}}
	f(sure, hook("e1", Fired, 1, 1), 0)
	f(sure, "", 1)
}

func TestVerifyRefusesWhatItCannotRead(t *testing.T) {
	f := func(ledger, got, want string) {
		t.Helper()
		if _, err := Verify(strings.NewReader(ledger), strings.NewReader(got)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	run := `{"line":"run"}` + "\n"
	f("", "", "reading the ledger: is empty")
	f("hello\n", "", "reading the ledger: line 1: not JSON of the expected shape")
	f(`{"line":"sent"}`+"\n", "", "line 1: does not begin with a run")
	f(run+run, "", "line 2: a second run begins here")
	f(run+`{"line":"heard"}`+"\n", "", `line 2: unknown line "heard"`)
	f(run+`{"line":"acked","device":"d","seq":3}`+"\n", "", "line 2: device d: message 3 is acknowledged but was not sent")
	f(run, "hello\n", "reading what was received: line 1: not JSON of the expected shape")
}

// Where payloads carry no time, an alarm begins when its message arrives.
func TestVerifyAllowsForArrival(t *testing.T) {
	f := func(name string, began int, fraction time.Duration, want ...Kind) {
		t.Helper()
		head, _, _ := strings.Cut(story(t), "\n")
		crossing := Crossing{Rule: "warm", Type: Fired, At: stamp(10), Started: stamp(10), Slack: Duration(30 * time.Second)}
		sent, err := json.Marshal(Entry{Line: "sent", At: stamp(10), Device: "d", Boot: "b", Seq: 1, Raw: []byte("nan"), Expected: []Crossing{crossing}})
		if err != nil {
			t.Fatal(err)
		}
		ledger := head + "\n" + string(sent) + "\n" + `{"line":"said","at":"2026-11-22T09:00:10Z","device":"d","topic":"x"}` + "\n" +
			`{"line":"control","at":"2026-11-22T09:00:10Z","did":"clear *"}` + "\n" + `{"line":"acked","at":"2026-11-22T09:00:10Z","device":"d","boot":"b","seq":1}` + "\n"
		got := strings.ReplaceAll(hook("e1", Fired, began, 1), stamp(began).Format(time.RFC3339Nano), stamp(began).Add(fraction).Format(time.RFC3339Nano))
		r, err := Verify(strings.NewReader(ledger), strings.NewReader(got))
		if err != nil {
			t.Fatal(err)
		}
		var found []Kind
		for _, f := range r.Findings {
			found = append(found, f.Kind)
		}
		if !slices.Equal(found, want) {
			t.Errorf("%s: found %v, want %v", name, r.Findings, want)
		}
	}
	f("at once", 10, 0)
	f("a little later", 12, 345*time.Millisecond)
	f("its time in whole seconds", 9, 999*time.Millisecond)
	f("much later", 41, 0, Lost, Spurious)
	f("before", 8, 0, Lost, Spurious)
}

// A copy that was not acknowledged makes nothing uncertain: the first was.
func TestVerifyKnowsCopiesAndBoots(t *testing.T) {
	head, _, _ := strings.Cut(story(t), "\n")
	fired := Crossing{Rule: "warm", Type: Fired, At: stamp(4), Started: stamp(4)}
	lines := []Entry{
		{Line: "sent", At: stamp(1), Device: "d", Boot: "a", Seq: 7},
		{Line: "acked", At: stamp(1), Device: "d", Boot: "a", Seq: 7},
		{Line: "sent", At: stamp(1), Device: "d", Boot: "a", Seq: 7, Copy: 1},
		{Line: "sent", At: stamp(4), Device: "d", Boot: "b", Seq: 1, Expected: []Crossing{fired}}, // a boot later
		{Line: "acked", At: stamp(4), Device: "d", Boot: "b", Seq: 1},
		{Line: "sent", At: stamp(5), Device: "d", Boot: "b", Seq: 2},
	}
	ledger := head + "\n"
	for _, e := range lines {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		ledger += string(line) + "\n"
	}
	r, err := Verify(strings.NewReader(ledger), strings.NewReader(""))
	if err != nil || len(r.Findings) != 1 || r.Findings[0].Kind != Lost || r.Expected != 1 || r.Open != 0 {
		t.Errorf("%+v, %v; want the alarm after the boot lost", r, err)
	}
}
