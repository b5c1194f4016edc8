package decode

import (
	"strconv"
	"testing"
	"time"
	_ "time/tzdata"

	"tocsin/broker"
)

func TestDeviceTimeCountsInsideItsWindowOnly(t *testing.T) {
	d := mustNew(t, Options{Topic: "{device}", Time: TimeOptions{Path: "$.at"}})
	f := func(at time.Time, trusted bool) {
		t.Helper()
		for _, text := range []string{
			strconv.FormatInt(at.UnixMilli(), 10),
			`"` + at.Format(time.RFC3339Nano) + `"`,
			`"` + at.In(time.FixedZone("", 5*3600+1800)).Format(time.RFC3339Nano) + `"`,
		} {
			got := read(t, d, "d", `{"t":1,"at":`+text+`}`)
			if trusted {
				want(t, got, "d t 1 @"+at.Format(time.RFC3339Nano))
			} else {
				want(t, got, "d t 1", "problem: clock ×1")
			}
		}
	}
	f(arrival, true)
	f(arrival.Add(time.Minute), true)
	f(arrival.Add(time.Minute+time.Millisecond), false)
	f(arrival.AddDate(1, 0, 0), false)
	f(arrival.Add(-30*24*time.Hour), true)
	f(arrival.Add(-30*24*time.Hour-time.Millisecond), false)
	f(time.Unix(0, 0).UTC(), false)
	f(time.Date(2000, 1, 1, 0, 0, 7, 0, time.UTC), false)
}

func TestClockOptionForcesOneSide(t *testing.T) {
	const old = `{"t":1,"at":"2001-01-01T00:00:00Z"}`
	device := mustNew(t, Options{Topic: "{device}", Time: TimeOptions{Path: "$.at"}, Clock: "device"})
	want(t, read(t, device, "d", old), "d t 1 @2001-01-01T00:00:00Z")
	want(t, read(t, device, "d", `{"t":1}`), "d t 1", "problem: clock ×1")
	want(t, read(t, device, "d", `{"t":1,"at":"soon"}`), "d t 1", "problem: clock ×1")
	want(t, read(t, device, "d", `{"t":1,"at":0}`), "d t 1", "problem: clock ×1")
	want(t, read(t, device, "d", `{"t":1,"at":"9999-01-01T00:00:00Z"}`), "d t 1", "problem: clock ×1")
	arrives := mustNew(t, Options{Topic: "{device}", Time: TimeOptions{Path: "$.at"}, Clock: "arrival"})
	want(t, read(t, arrives, "d", old), "d t 1")
	// In auto, a message without a time is not a fault of the clock.
	auto := mustNew(t, Options{Topic: "{device}", Time: TimeOptions{Path: "$.at"}})
	want(t, read(t, auto, "d", `{"t":1}`), "d t 1")
	want(t, read(t, auto, "d", `{"t":1,"at":null}`), "d t 1")
	want(t, read(t, auto, "d", `{"t":1,"at":true}`), "d t 1", "problem: clock ×1")
	want(t, read(t, auto, "d", `{"t":1,"at":{"x":5}}`), "d t 1", "problem: clock ×1")
}

func TestFormatsOfTime(t *testing.T) {
	const at = "2026-11-22T11:59:30.25Z"
	f := func(format, text, w string) {
		t.Helper()
		d := mustNew(t, Options{Topic: "{device}", Time: TimeOptions{Path: "$.at", Format: format}})
		got := read(t, d, "d", `{"t":1,"at":`+text+`}`)
		if w == "" {
			want(t, got, "d t 1", "problem: clock ×1")
		} else {
			want(t, got, "d t 1 @"+w)
		}
	}
	f("auto", `1795348770.25`, at)
	f("auto", `1795348770250`, at)
	f("auto", `1795348770250000`, at)
	f("auto", `1795348770250000000`, at)
	f("auto", `"1795348770.25"`, at)
	f("auto", `1.79534877025e9`, at)
	f("auto", `"`+at+`"`, at)
	f("unix", `1795348770.25`, at)
	f("unix", `1795348770250`, "") // milliseconds under the name of seconds
	f("unix_ms", `1795348770250`, at)
	f("unix_ms", `1795348770`, "")
	f("unix_us", `1795348770250000`, at)
	f("unix_ns", `1795348770250000000`, at)
	f("unix_ns", `1795348770250000001`, "2026-11-22T11:59:30.250000001Z")
	f("unix", `"`+at+`"`, "")
	f("rfc3339", `"`+at+`"`, at)
	f("rfc3339", `1795348770`, "")
	f("rfc3339", `"2026-11-22T12:59:30.25+01:00"`, at)
	f("rfc3339", `"2026-11-22T12:59:30.25+0100"`, at)
	f("rfc3339", `"2026-11-22 12:59:30.25+01"`, at)
	f("rfc3339", `"2026-11-22t11:59:30.25z"`, at)
	f("rfc3339", `"2026-11-22T11:58:60Z"`, "2026-11-22T11:59:00Z") // a leap second
	f("rfc3339", `"2026-11-22T11:59:30"`, "")                      // no zone
	f("auto", `"2026-11-22T11:59:30"`, "")
	for _, nonsense := range []string{
		`"2026-13-22T11:59:30Z"`, `"2026-11-22T25:59:30Z"`, `"2026-11-22"`, `"11:59"`, `""`, `"now"`, `"0x6A"`, `-5`, `1e300`, `"1e999"`,
		`99999999999999999999999`, `[1795348770]`, `"2026-11-22T11:59:30Zjunk"`, `"2026-11-22T11:59:30+9900"`,
	} {
		f("auto", nonsense, "")
	}
}

func TestTimeWithoutZoneIsReadInTheConfiguredOne(t *testing.T) {
	f := func(received, text, w string) {
		t.Helper()
		d := mustNew(t, Options{Topic: "{device}", Time: TimeOptions{Path: "$.at", Zone: "Europe/Paris"}})
		r, err := time.Parse(time.RFC3339, received)
		if err != nil {
			t.Fatal(err)
		}
		want(t, readMessage(t, d, broker.Message{Topic: "d", Payload: []byte(`{"t":1,"at":"` + text + `"}`), Received: r}), "d t 1 @"+w)
	}
	f("2026-11-22T12:00:00Z", "2026-11-22T12:59:30", "2026-11-22T11:59:30Z")
	f("2026-07-22T12:00:00Z", "2026-07-22T13:59:30", "2026-07-22T11:59:30Z")
	// 02:30 comes twice on 25 October 2026.
	f("2026-10-25T00:30:05Z", "2026-10-25T02:30:00", "2026-10-25T00:30:00Z")
	f("2026-10-25T01:30:05Z", "2026-10-25T02:30:00", "2026-10-25T01:30:00Z")
	// A zone in the stamp goes before the configured one.
	f("2026-11-22T12:00:00Z", "2026-11-22T11:59:30Z", "2026-11-22T11:59:30Z")
}

func TestSamplesOfAMessageAreOrderedByTime(t *testing.T) {
	d := mustNew(t, Options{Topic: "{device}", Records: "$[*]", Value: "@.v", Time: TimeOptions{Path: "@.at"}})
	want(t, read(t, d, "d", `[{"v":3,"at":1795348770},{"v":1,"at":1795348760},{"v":2,"at":1795348760},{"v":4,"at":1795348770.001},{"v":5}]`),
		"d v 1 @2026-11-22T11:59:20Z", "d v 2 @2026-11-22T11:59:20Z", "d v 3 @2026-11-22T11:59:30Z", "d v 4 @2026-11-22T11:59:30.001Z", "d v 5")
}

// Well-known keys are the time when they look like one, and metrics when not.
func TestWellKnownTimeKeys(t *testing.T) {
	d := mustNew(t, Options{Topic: "{device}"})
	f := func(payload string, lines ...string) {
		t.Helper()
		want(t, read(t, d, "d", payload), lines...)
	}
	f(`{"ts":1795348770250,"t":1}`, "d t 1 @2026-11-22T11:59:30.25Z")
	f(`{"t":1,"time":"2026-11-22T11:59:30Z"}`, "d t 1 @2026-11-22T11:59:30Z")
	f(`{"t":1,"timestamp":"1795348770"}`, "d t 1 @2026-11-22T11:59:30Z")
	// A wrong clock is told, and does not make a metric of its stamp.
	f(`{"ts":1700000000,"t":1}`, "d t 1", "problem: clock ×1")
	f(`{"time":"2026-11-22T11:59:30","t":1}`, "d t 1", "problem: clock ×1")
	// Not a stamp: uptime, a duration, a word.
	f(`{"ts":35,"t":1}`, "d ts 35", "d t 1")
	f(`{"time":12.5,"timestamp":"noon","t":1}`, "d time 12.5", `d timestamp "noon"`, "d t 1")
	f(`{"ts":null,"t":1}`, `d ts invalid(null) "null"`, "d t 1")
	// Only the first of them, only at the top, only in this spelling.
	f(`{"timestamp":1795348000,"ts":1795348770,"t":1}`, "d timestamp 1.795348e+09 @2026-11-22T11:59:30Z", "d t 1 @2026-11-22T11:59:30Z")
	f(`{"a":{"ts":1795348770},"Time":1795348770}`, "d a.ts 1.79534877e+09", "d Time 1.79534877e+09")
	// A time path leaves them alone.
	p := mustNew(t, Options{Topic: "{device}", Time: TimeOptions{Path: "$.at"}})
	want(t, read(t, p, "d", `{"ts":1795348770,"at":1795348780}`), "d ts 1.79534877e+09 @2026-11-22T11:59:40Z")
	// With clock = "arrival" they are not metrics either.
	a := mustNew(t, Options{Topic: "{device}", Clock: "arrival"})
	want(t, read(t, a, "d", `{"ts":1795348770,"t":1}`), "d t 1")
	// The record's own before the document's.
	r := mustNew(t, Options{Topic: "{device}", Records: "$.r[*]"})
	want(t, read(t, r, "d", `{"ts":1795348770,"r":[{"t":1,"ts":1795348760},{"t":2}]}`), "d t 1 @2026-11-22T11:59:20Z", "d t 2 @2026-11-22T11:59:30Z")
	// A message with nothing but a time reports nothing.
	f(`{"ts":1795348770}`, "rejected: value")
}
