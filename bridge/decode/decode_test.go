package decode

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tocsin/broker"
	"tocsin/rules"
)

var arrival = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func mustNew(t testing.TB, o Options) *Decoder {
	t.Helper()
	if o.Name == "" {
		o.Name = "plant"
	}
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// read decodes one message and writes what came of it: a sample a line, then
// problems, or the rejection.
func read(t testing.TB, d *Decoder, topic, payload string) string {
	t.Helper()
	return readMessage(t, d, broker.Message{Topic: topic, Payload: []byte(payload), Received: arrival})
}

func readMessage(t testing.TB, d *Decoder, m broker.Message) string {
	t.Helper()
	var b Batch
	if err := d.Decode(m, &b); err != nil {
		r, ok := errors.AsType[*Rejection](err)
		if !ok || r.Detail == "" || len(b.Samples)+len(b.Problems) > 0 {
			t.Fatalf("%T %v with %d samples", err, err, len(b.Samples))
		}
		return "rejected: " + r.Reason
	}
	var lines []string
	for i := range b.Samples {
		lines = append(lines, show(&b.Samples[i]))
	}
	for _, p := range b.Problems {
		lines = append(lines, fmt.Sprintf("problem: %s ×%d", p.Reason, p.Count))
	}
	return strings.Join(lines, "\n")
}

func show(s *rules.Sample) string {
	line := s.Device + " " + s.Metric
	switch {
	case s.Invalid != "":
		line += " invalid(" + s.Invalid + ") " + strconv.Quote(s.Text)
	case s.Kind == rules.Text:
		line += " " + strconv.Quote(s.Text)
	case s.Kind == rules.Bool:
		line += " " + strconv.FormatBool(s.Num == 1)
	default:
		line += " " + strconv.FormatFloat(s.Num, 'g', -1, 64)
	}
	if s.Unit != "" {
		line += " " + s.Unit
	}
	if s.Clock != rules.ClockArrival {
		line += " @" + s.At.Format(time.RFC3339Nano)
	}
	return line
}

func want(t *testing.T, got string, lines ...string) {
	t.Helper()
	if w := strings.Join(lines, "\n"); got != w {
		t.Errorf("got:\n%s\nwant:\n%s", got, w)
	}
}

func TestObjectIsFlattenedInItsOwnOrder(t *testing.T) {
	d := mustNew(t, Options{Topic: "plants/{site}/{device}/telemetry"})
	want(t, read(t, d, "plants/lyon/f1/telemetry",
		`{"temperature":-18.25,"door":{"open":true,"count":7},"probe":[4,{"t":5}],"mode":"eco","empty":{},"none":[]}`),
		`f1 temperature -18.25`,
		`f1 door.open true`,
		`f1 door.count 7`,
		`f1 probe.0 4`,
		`f1 probe.1.t 5`,
		`f1 mode "eco"`)
}

func TestSampleCarriesWhatTheTransportKnows(t *testing.T) {
	d := mustNew(t, Options{Name: "acme", Topic: "a/{device}"})
	var b Batch
	received := time.Now()
	m := broker.Message{Topic: "a/f1", Payload: []byte(`{"t":1}`), Received: received, Retained: true, Dup: true}
	if err := d.Decode(m, &b); err != nil {
		t.Fatal(err)
	}
	s := b.Samples[0]
	if s.Source != "acme" || s.Flags != rules.Retained|rules.Dup || !s.Received.Equal(received) || !s.At.Equal(received) || s.Clock != rules.ClockArrival {
		t.Errorf("%+v", s)
	}
	if s.At != s.At.Round(0).UTC() {
		t.Error("the event time carries a monotonic reading or a zone")
	}
}

func TestNamesInATopicAreLabels(t *testing.T) {
	f := func(topic, sent, labels string) {
		t.Helper()
		d := mustNew(t, Options{Topic: topic, Decoder: "scalar"})
		var b Batch
		if err := d.Decode(broker.Message{Topic: sent, Payload: []byte("1"), Received: arrival}, &b); err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(b.Samples[0].Labels)
		for _, p := range b.Problems {
			got += " " + p.Reason
		}
		if got != labels {
			t.Errorf("%s: %s, want %s", sent, got, labels)
		}
	}
	f("plants/{site}/{device}/{metric}", "plants/lyon/f1/t", "map[site:lyon]")
	f("{a}/{device}/{b}/+/#", "x/f1/y/z/w", "map[a:x b:y]")
	f("{a}/{device}/{b}", "/f1/y", "map[b:y]")
	f("{a}/{device}/{b}", "x/f1/y\n", "map[a:x] label")
	f("plants/+/{device}", "plants/lyon/f1", "map[]")
}

func TestLabelsOfATopicAreNotMadeAgain(t *testing.T) {
	d := mustNew(t, Options{Topic: "{site}/{line}/{device}", Decoder: "scalar"})
	var b Batch
	for i := range 3 * labelSlots { // more than are kept
		topics := []string{"lyon/a/f1", "lyo/na/f1", fmt.Sprintf("s%d/b/f2", i)}
		for _, topic := range topics {
			b.Reset()
			m := broker.Message{Topic: topic, Payload: []byte("1"), Received: arrival}
			if err := d.Decode(m, &b); err != nil {
				t.Fatal(err)
			}
			if l := b.Samples[0].Labels; l["site"]+"/"+l["line"]+"/"+b.Samples[0].Device != topic {
				t.Fatalf("%s has labels %v", topic, l)
			}
		}
	}
	m := broker.Message{Topic: "lyon/a/f1", Payload: []byte("1"), Received: arrival}
	allocated := testing.AllocsPerRun(100, func() {
		b.Reset()
		if err := d.Decode(m, &b); err != nil {
			t.Fatal(err)
		}
	})
	if allocated != 0 {
		t.Errorf("%v allocations a message", allocated)
	}
}

func TestRecordsMakeOneSampleEach(t *testing.T) {
	d := mustNew(t, Options{
		Topic:   "acme/+/batch",
		Records: "$.readings[*]", Device: "$.dev.eui", Metric: "@.name", Value: "@.v", Unit: "@.u",
		Time:   TimeOptions{Path: "@.ts", Format: "unix_ms"},
		Rename: map[string]string{"t1": "temperature", "rh": "humidity"},
	})
	want(t, read(t, d, "acme/x/batch", `{"dev":{"eui":"A1"},"readings":[
		{"name":"t1","v":21.5,"u":"°C","ts":1795348795000},
		{"name":"rh","v":"44","u":null,"ts":1795348790000},
		{"name":"rh","ts":1795348790000},
		{"name":"a.b","v":{"x":1}},
		{"v":1},
		{"name":"p","v":3,"u":7}]}`),
		`A1 humidity "44" @2026-11-22T11:59:50Z`,
		`A1 temperature 21.5 °C @2026-11-22T11:59:55Z`,
		`A1 a.b invalid(type) "an object"`,
		`A1 p invalid(unit) ""`,
		`problem: value ×1`,
		`problem: metric ×1`)
}

func TestRecordsOfManyDevices(t *testing.T) {
	d := mustNew(t, Options{Topic: "gw/+", Records: "$.gw[*].nodes[*]", Device: "@.id"})
	want(t, read(t, d, "gw/1", `{"gw":[{"nodes":[{"id":"n1","t":1},{"id":17,"t":2}]},{},{"nodes":[{"t":3},{"id":"n4","t":4}]}]}`),
		`n1 t 1`, `17 t 2`, `n4 t 4`, `problem: device ×1`)
}

func TestValueIsNamedByMetricPathTopicOrItsKey(t *testing.T) {
	byTopic := mustNew(t, Options{Topic: "h/{device}/{metric}", Value: "$.state.v"})
	want(t, read(t, byTopic, "h/d1/temperature", `{"state":{"v":20}}`), `d1 temperature 20`)
	byKey := mustNew(t, Options{Topic: "h/{device}", Value: "$.state.temp[0]"})
	want(t, read(t, byKey, "h/d1", `{"state":{"temp":[20,21]}}`), `d1 temp 20`)
	none := mustNew(t, Options{Topic: "h/{device}", Records: "$[*]", Value: "@"})
	want(t, read(t, none, "h/d1", `[1,2]`), `d1 value 1`, `d1 value 2`)
}

func TestMetricOfTheTopicComesFirst(t *testing.T) {
	d := mustNew(t, Options{Topic: "{device}/status/{metric}", Rename: map[string]string{"switch:0.apower": "power"}})
	want(t, read(t, d, "shelly/status/switch:0", `{"id":0,"apower":12.5}`), `shelly switch:0.id 0`, `shelly power 12.5`)
	want(t, read(t, d, "shelly/status/online", `true`), `shelly online true`)
}

func TestConfiguredPlacesAreNotMetrics(t *testing.T) {
	d := mustNew(t, Options{Topic: "x", Device: "$.meta.id", Time: TimeOptions{Path: "$.when"}})
	want(t, read(t, d, "x", `{"meta":{"id":"d1","fw":3},"when":"2026-11-22T11:59:00Z","t":1}`),
		`d1 meta.fw 3 @2026-11-22T11:59:00Z`, `d1 t 1 @2026-11-22T11:59:00Z`)
	// Also where the time does not count.
	d = mustNew(t, Options{Topic: "x", Device: "$.meta.id", Time: TimeOptions{Path: "$.when"}, Clock: "arrival"})
	want(t, read(t, d, "x", `{"meta":{"id":"d1"},"when":null,"t":1}`), `d1 t 1`)
}

func TestKeysWithDotsDoNotCollide(t *testing.T) {
	d := mustNew(t, Options{Topic: "{device}"})
	want(t, read(t, d, "d", `{"a.b":1,"a":{"b":2},"a\\":{"b":3},"__proto__":4,"7":5,"T":6,"t":7}`),
		`d a\.b 1`, `d a.b 2`, `d a\\.b 3`, `d __proto__ 4`, `d 7 5`, `d T 6`, `d t 7`)
	quoted := mustNew(t, Options{Topic: "{device}", Value: `$['a.b']`})
	want(t, read(t, quoted, "d", `{"a":{"b":2},"a.b":1}`), `d a.b 1`)
}

func TestUnusableNamesAreProblemsNotSamples(t *testing.T) {
	d := mustNew(t, Options{Topic: "{device}"})
	want(t, read(t, d, "d", `{"":1,"a\u0000b":2,"x\u202ey":3,"`+strings.Repeat("k", 257)+`":4,"ok":5}`),
		`d ok 5`, `problem: metric ×4`)
}

// What a device sends to say that it has nothing to say.
func TestAbsentValuesAreInvalidAndKeepWhatWasSent(t *testing.T) {
	d := mustNew(t, Options{Topic: "{device}"})
	for payload, invalid := range map[string]string{
		`null`: `null`, `"None"`: `null`, `"null"`: `null`,
		`"nan"`: `nan`, `"NaN"`: `nan`, `"-nan"`: `nan`, `nan`: `nan`, `NaN`: `nan`, ` -nan `: `nan`,
		`"Infinity"`: `inf`, `"-inf"`: `inf`, `inf`: `inf`, `-Infinity`: `inf`, `+inf`: `inf`,
		`"unknown"`: `unknown`, `"unavailable"`: `unavailable`, `""`: `empty`,
		`1e999`: `range`, `-1e999`: `range`, strings.Repeat("9", 400): `range`,
		`"` + strings.Repeat("é", 600) + `"`: `size`,
	} {
		var b Batch
		if err := d.Decode(broker.Message{Topic: "d", Payload: []byte(`{"t":` + payload + `}`), Received: arrival}, &b); err != nil {
			t.Errorf("%s: %v", payload, err)
			continue
		}
		s := b.Samples[0]
		if s.Invalid != invalid || s.Kind != rules.Text || s.Num != 0 || len(s.Text) > maxShown+len("…") {
			t.Errorf("%s: %+v", payload, s)
		}
		if sent := strings.Trim(strings.TrimSpace(payload), `"`); len(sent) < maxShown && s.Text != sent {
			t.Errorf("%s: kept %q", payload, s.Text)
		}
	}
}

func TestBareNaNIsRepairedOutsideStringsOnly(t *testing.T) {
	d := mustNew(t, Options{Topic: "{device}"})
	want(t, read(t, d, "d", `{"a": nan,"note":"t: nan, \"nan\",nan","b":[nan , -inf],"c":1}`),
		`d a invalid(nan) "nan"`, `d note "t: nan, \"nan\",nan"`, `d b.0 invalid(nan) "nan"`, `d b.1 invalid(inf) "-inf"`, `d c 1`)
	want(t, read(t, d, "d", `{"DHT11":{"Temperature": nan,"Humidity":NaN},"TempUnit":"C"}`),
		`d DHT11.Temperature invalid(nan) "nan"`, `d DHT11.Humidity invalid(nan) "NaN"`, `d TempUnit "C"`)
	for _, broken := range []string{
		`{nan:1}`, `{"a":1,nan}`, `{"a":nan nan}`, `{"a":1nan}`, `{"a":nano}`, `{"a":nan,}`, `nan nan`, `{"a":nan`, `{"a" nan}`,
		`{"a":nan,"a":1}`, `{"a":"nan}`,
	} {
		if got := read(t, d, "d", broken); !strings.HasPrefix(got, "rejected: json") && !strings.HasPrefix(got, "rejected: duplicate") {
			t.Errorf("%s: %s", broken, got)
		}
	}
}

func TestTopicAndPayloadMustNameTheSameDevice(t *testing.T) {
	d := mustNew(t, Options{Topic: "p/{device}", Device: "$.id"})
	want(t, read(t, d, "p/d1", `{"id":"d1","t":1}`), `d1 t 1`)
	want(t, read(t, d, "p/17", `{"id":17,"t":1}`), `17 t 1`)
	want(t, read(t, d, "p/d1", `{"t":1}`), `d1 t 1`)
	want(t, read(t, d, "p/d1", `{"id":null,"t":1}`), `d1 t 1`)
	want(t, read(t, d, "p/d1", `{"id":"d2","t":1}`), `rejected: identity`)
	want(t, read(t, d, "p/d1", `{"id":"D1","t":1}`), `rejected: identity`)
	want(t, read(t, d, "p/é", `{"id":"e\u0301","t":1}`), `rejected: identity`)
	many := mustNew(t, Options{Topic: "p/{device}", Records: "$[*]", Device: "@.id"})
	want(t, read(t, many, "p/d1", `[{"id":"d1","t":1},{"id":"d2","t":2},{"t":3}]`), `d1 t 1`, `d1 t 3`, `problem: identity ×1`)
}

func TestUnusableDeviceIDsAreRefused(t *testing.T) {
	d := mustNew(t, Options{Topic: "x", Device: "$.id"})
	for _, id := range []string{
		`""`, `"a\u0000"`, `"a\nb"`, `"a\u202eb"`, `"a\u2028b"`, `"` + strings.Repeat("x", 257) + `"`, `1.5`, `1e3`, `true`, `{}`, `[]`, `null`,
	} {
		want(t, read(t, d, "x", `{"id":`+id+`,"t":1}`), `rejected: device`)
	}
	want(t, read(t, d, "x", `{"t":1}`), `rejected: device`)
	for _, id := range []string{"kitchen/fridge", "../../x", "a b", "冷凍庫", "{{.}}", "=cmd()", "</script>", "👩‍🔧"} {
		want(t, read(t, d, "x", `{"id":"`+id+`","t":1}`), id+" t 1")
	}
	topic := mustNew(t, Options{Topic: "x/{device}/{metric}", Decoder: "scalar"})
	want(t, read(t, topic, "x//t", `1`), `rejected: device`)
	want(t, read(t, topic, "x/d/", `1`), `rejected: metric`)
	want(t, read(t, topic, "x/\xff/t", `1`), `rejected: device`)
	want(t, read(t, topic, "x/d/\x01", `1`), `rejected: metric`)
	want(t, read(t, topic, "x/d", `1`), `rejected: topic`)
}

func TestScalarPayloads(t *testing.T) {
	d := mustNew(t, Options{Topic: "site/{site}/{device}/{metric}", Decoder: "scalar", Clock: "auto", Time: TimeOptions{Format: "auto"}, Rename: map[string]string{"T": "temperature"}})
	for payload, w := range map[string]string{
		"21.5": `21.5`, " -3\r\n": `-3`, "+1": `1`, ".5": `0.5`, "5.": `5`, "1e3": `1000`, "-0": `-0`, "1e-999": `0`,
		"21.5 °C": `21.5 °C`, "21.5°C": `21.5 °C`, "80%": `80 %`, "12 m3/h": `12 m3/h`, "3.3V": `3.3 V`, "5 W/m²": `5 W/m²`, "-40.0 degF": `-40 degF`,
		"ON": `"ON"`, "open": `"open"`, "true": `true`, "false": `false`, "TRUE": `"TRUE"`,
		"0x10": `"0x10"`, "0xFF": `"0xFF"`, "-0Xa": `"-0Xa"`, "1_0": `"1_0"`, "1E+3": `1000`, "1_000": `"1_000"`, "12,5": `"12,5"`, "1h30m": `"1h30m"`, "2026-11-22": `"2026-11-22"`, "10:30": `"10:30"`,
		"192.168.1.1": `"192.168.1.1"`, "12 angry men": `"12 angry men"`, "-": `"-"`, ".": `"."`, "e5": `"e5"`, "--5": `"--5"`,
		"nan": `invalid(nan) "nan"`, "None": `invalid(null) "None"`, "unavailable": `invalid(unavailable) "unavailable"`,
		"null": `invalid(null) "null"`, "Infinity": `invalid(inf) "Infinity"`, "  ": `invalid(empty) ""`,
		"1e999": `invalid(range) "1e999"`, "1e999 V": `invalid(range) "1e999" V`,
		`{"t":1}`: `"{\"t\":1}"`,
	} {
		want(t, read(t, d, "site/a/d1/m", payload), "d1 m "+w)
	}
	want(t, read(t, d, "site/a/d1/T", "1"), "d1 temperature 1")
	want(t, read(t, d, "site/a/d1/m", "\x1f\x8b\x08"), "rejected: utf8")
	unnamed := mustNew(t, Options{Topic: "home/{device}/temp", Decoder: "scalar"})
	want(t, read(t, unnamed, "home/d1/temp", "1"), "d1 value 1")
}

func TestRejectedMessageLeavesTheBatchAsItWas(t *testing.T) {
	d := mustNew(t, Options{Topic: "{device}", MaxMetrics: 3})
	var b Batch
	for _, payload := range []string{`{"a":1,"ts":1}`, `{"a":1,"b":`, `{"a":1,"b":2,"c":3,"d":4}`, `{"a":2}`} {
		_ = d.Decode(broker.Message{Topic: "d", Payload: []byte(payload), Received: arrival}, &b)
	}
	if len(b.Samples) != 3 || b.Samples[2].Num != 2 {
		t.Errorf("%+v", b.Samples)
	}
}

func TestBatchKeepsNothingOfTheMessage(t *testing.T) {
	d := mustNew(t, Options{Topic: "{device}", Device: "$.id"})
	payload := []byte(`{"id":"d","text":"a text that is longer than what is kept","s":"on","q\u0041":"x\u0041","n":nan}`)
	var b Batch
	if err := d.Decode(broker.Message{Topic: "d", Payload: payload, Received: arrival}, &b); err != nil {
		t.Fatal(err)
	}
	before := slices.Clone(b.Samples)
	for i := range payload {
		payload[i] = 'z'
	}
	if err := d.Decode(broker.Message{Topic: "d", Payload: []byte(`{"qB":"yB","m":nan}`), Received: arrival}, &b); err != nil {
		t.Fatal(err)
	}
	for i, s := range before {
		if !reflect.DeepEqual(s, b.Samples[i]) || strings.Contains(s.Text+s.Metric, "zz") {
			t.Errorf("%+v became %+v", s, b.Samples[i])
		}
	}
}

func TestDecoderIsSafeForConcurrentUse(t *testing.T) {
	d := mustNew(t, Options{Topic: "{device}"})
	done := make(chan bool)
	for g := range 4 {
		go func() {
			var b Batch
			ok := true
			for i := range 500 {
				b.Reset()
				id := "d" + strconv.Itoa((g*i)%50)
				err := d.Decode(broker.Message{Topic: id, Payload: []byte(`{"` + id + `":"` + id + `"}`), Received: arrival}, &b)
				ok = ok && err == nil && b.Samples[0].Device == id && b.Samples[0].Metric == id && b.Samples[0].Text == id
			}
			done <- ok
		}()
	}
	for range 4 {
		if !<-done {
			t.Error("a string of another goroutine")
		}
	}
}

func TestBatchGivesBackTheMemoryOfALargeMessage(t *testing.T) {
	d := mustNew(t, Options{Topic: "{device}"})
	var b Batch
	payload := "[" + strings.Repeat("1,", 9000) + "1]"
	if err := d.Decode(broker.Message{Topic: "d", Payload: []byte(payload), Received: arrival}, &b); err != nil {
		t.Fatal(err)
	}
	if len(b.Samples) != 9001 {
		t.Fatalf("%d samples", len(b.Samples))
	}
	b.Reset()
	if cap(b.Samples) != 0 || b.doc != nil {
		t.Error("memory is kept")
	}
	want(t, read(t, d, "d", `{"t":1}`), "d t 1")
}

func TestAListOfRecordsIsMeantByItsName(t *testing.T) {
	for _, records := range []string{"$.r", "$.r[*]"} {
		d := mustNew(t, Options{Topic: "p/{device}", Records: records})
		want(t, read(t, d, "p/a", `{"r":[{"temperature":1},{"temperature":2}]}`), "a temperature 1", "a temperature 2")
	}
}
