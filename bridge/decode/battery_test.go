package decode

import (
	"bytes"
	"compress/gzip"
	"math"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"tocsin/broker"
)

// Bad input is answered with a reason and a sentence, whatever it is.
func TestBadDocumentsAreRefusedWithAReason(t *testing.T) {
	d := mustNew(t, Options{Topic: "{device}"})
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = w.Write([]byte(`{"t":1}`))
	_ = w.Close()
	var wide []byte
	for _, c := range utf16.Encode([]rune(`{"t":1}`)) {
		wide = append(wide, byte(c), byte(c>>8))
	}
	var keys strings.Builder
	for i := range 15_000 {
		keys.WriteString(`,"k` + strconv.Itoa(i) + `":1`)
	}
	for name, c := range map[string]struct{ payload, reason string }{
		"nothing":               {``, ReasonEmpty},
		"white space":           {" \r\n\t", ReasonJSON},
		"only a bracket":        {`{`, ReasonJSON},
		"an empty object":       {`{}`, ReasonValue},
		"an empty array":        {`[]`, ReasonValue},
		"empty inside":          {`{"a":{},"b":[[]]}`, ReasonValue},
		"two documents":         {`{"t":1}{"t":2}`, ReasonJSON},
		"two scalars":           {`1 2`, ReasonJSON},
		"a trailing comma":      {`{"t":1,}`, ReasonJSON},
		"a comment":             {`{"t":1/*x*/}`, ReasonJSON},
		"a line comment":        {"{\"t\":1}//x", ReasonJSON},
		"single quotes":         {`{'t':1}`, ReasonJSON},
		"bare keys":             {`{t:1}`, ReasonJSON},
		"a byte order mark":     {"\xef\xbb\xbf{\"t\":1}", ReasonJSON},
		"UTF-16":                {"\xff\xfe" + string(wide), ReasonUTF8},
		"UTF-16 without a mark": {string(wide), ReasonUTF8},
		"gzip":                  {zipped.String(), ReasonJSON},
		"CBOR":                  {"\xa1\x61\x74\xfb\x40\x35\x80\x00\x00\x00\x00\x00", ReasonUTF8},
		"not UTF-8":             {"{\"t\":\"\xc3\x28\"}", ReasonUTF8},
		"an over-long encoding": {"{\"t\":\"\xc0\xaf\"}", ReasonUTF8},
		"a lone surrogate":      {`{"t":"\ud800"}`, ReasonJSON},
		"a raw control":         {"{\"t\":\"a\nb\"}", ReasonJSON},
		"hexadecimal":           {`{"t":0x10}`, ReasonJSON},
		"underscores":           {`{"t":1_000}`, ReasonJSON},
		"a leading plus":        {`{"t":+1}`, ReasonJSON},
		"a leading zero":        {`{"t":01}`, ReasonJSON},
		"a leading dot":         {`{"t":.5}`, ReasonJSON},
		"a key twice":           {`{"t":20,"t":99}`, ReasonDuplicate},
		"a key twice, escaped":  {`{"t":20,"\u0074":99}`, ReasonDuplicate},
		"a key twice, inside":   {`{"a":[{"t":20,"x":1,"t":99}]}`, ReasonDuplicate},
		"10 MB":                 {`"` + strings.Repeat("x", 10<<20) + `"`, ReasonSize},
		"very many keys":        {`{"k":0` + keys.String() + `}`, ReasonMetrics},
		"very many values":      {"[" + strings.Repeat("1,", 100_000) + "1]", ReasonMetrics},
		"very many containers":  {"[" + strings.Repeat("[],", 85_000) + "1]", ReasonMetrics},
		"nested 33":             {strings.Repeat("[", 33) + "1" + strings.Repeat("]", 33), ReasonDepth},
		"nested 10,000":         {strings.Repeat("[", 10_000), ReasonDepth},
		"nested 100,000":        {strings.Repeat(`{"a":`, 50_000), ReasonDepth},
	} {
		if got := read(t, d, "d", c.payload); got != "rejected: "+c.reason {
			t.Errorf("%s: %.200s, want %s", name, got, c.reason)
		}
	}
}

func TestDocumentCutAnywhereIsRefused(t *testing.T) {
	d := mustNew(t, Options{Topic: "{device}"})
	const whole = `{"a":{"b":[1.5e3,true,null,"x\u00e9\n"]},"c":-0.25,"d":nan,"e":"ü"}`
	for i := range len(whole) {
		if got := read(t, d, "d", whole[:i]); !strings.HasPrefix(got, "rejected: ") {
			t.Errorf("%q: %s", whole[:i], got)
		}
	}
	if got := read(t, d, "d", whole); strings.HasPrefix(got, "rejected: ") {
		t.Error(got)
	}
}

func TestNumbersAreTheNearestFloats(t *testing.T) {
	d := mustNew(t, Options{Topic: "{device}"})
	tenth := 0.1
	for text, number := range map[string]float64{
		"0": 0, "-18": -18, "1e-999": 0, "0.30000000000000004": tenth + 2*tenth, "9007199254740993": 1 << 53,
		"-18.000000000000004": math.Nextafter(-18, -19), "1.7976931348623157e308": math.MaxFloat64, "4.9e-324": math.SmallestNonzeroFloat64,
		"0." + strings.Repeat("3", 400): 1.0 / 3,
	} {
		var b Batch
		if err := d.Decode(broker.Message{Topic: "d", Payload: []byte(`{"t":` + text + `}`), Received: arrival}, &b); err != nil || b.Samples[0].Invalid != "" || b.Samples[0].Num != number {
			t.Errorf("%s: %v %+v", text, err, b.Samples)
		}
	}
	var b Batch
	if err := d.Decode(broker.Message{Topic: "d", Payload: []byte(`{"t":-0}`), Received: arrival}, &b); err != nil || !math.Signbit(b.Samples[0].Num) {
		t.Errorf("-0: %v %+v", err, b.Samples)
	}
}

// Only the rules know what a metric is, so text stays text.
func TestStringsAreNotCast(t *testing.T) {
	d := mustNew(t, Options{Topic: "{device}"})
	want(t, read(t, d, "d", `{"a":"80","b":" 12 ","c":"12,5","d":"ON","e":"21.5 °C","f":"0x10","g":"{{x}}\r\nX: y</script>\u202e"}`),
		`d a "80"`, `d b " 12 "`, `d c "12,5"`, `d d "ON"`, `d e "21.5 °C"`, `d f "0x10"`, `d g "{{x}}\r\nX: y</script>\u202e"`)
	want(t, read(t, d, "d", `"21.5"`), `d value "21.5"`)
	want(t, read(t, d, "d", `21.5`), `d value 21.5`)
	want(t, read(t, d, "d", `[21.5]`), `d 0 21.5`)
	want(t, read(t, d, "d", `null`), `d value invalid(null) "null"`)
}

// One member per record and per key of the envelope: what is looked for in the
// envelope must be looked for once, not once a record.
func TestManyRecordsUnderAWideEnvelope(t *testing.T) {
	d := mustNew(t, Options{
		Topic: "x", Records: "$.r[*]", Device: "$.id", Value: "@.v", Unit: "$.unit", Metric: "$.m", MaxPayload: 1 << 20, MaxMetrics: 20_000,
	})
	var b strings.Builder
	b.WriteString(`{"r":[{"v":1}` + strings.Repeat(`,{"v":1}`, 15_000) + `]`)
	for i := range 15_000 {
		b.WriteString(`,"k` + strconv.Itoa(i) + `":1`)
	}
	b.WriteString(`,"unit":"V","m":"volts","id":"d"}`)
	got := read(t, d, "x", b.String())
	if !strings.HasPrefix(got, "d volts 1 V\n") {
		t.Errorf("%.100s", got)
	}
}

func TestRetainedDeletionIsEmpty(t *testing.T) {
	for _, decoder := range []string{"json", "scalar"} {
		d := mustNew(t, Options{Topic: "{device}", Decoder: decoder})
		want(t, readMessage(t, d, broker.Message{Topic: "d", Retained: true, Received: arrival}), "rejected: empty")
	}
}

func TestMessageWithoutArrivalIsRefused(t *testing.T) {
	d := mustNew(t, Options{Topic: "{device}"})
	want(t, readMessage(t, d, broker.Message{Topic: "d", Payload: []byte(`{"t":1}`)}), "rejected: clock")
}

func TestExplanationsNameThePlaceAndShowNoRawBytes(t *testing.T) {
	d := mustNew(t, Options{Topic: "{device}", Device: "$.id"})
	for payload, say := range map[string]string{
		`{"t":20,"t":99}`: `the key "t" is there twice in one object, at byte 8: neither value can be trusted`,
		`{"t":1,}`:        `the payload is not JSON: invalid character ',' at start of value at byte 6 (is another decoder meant?)`,
		`{"t":1`:          `the JSON document ends too early, after 6 bytes (was the message cut?)`,
		`{"id":"x"}`:      `the payload says that it is from device "x", its topic is that of "d"`,
		"{\"id\":\"x\\n\\u001b[31m" + strings.Repeat("y", 100) + `"}`: `the device "x\n\x1b[31m` + strings.Repeat("y", 57) + `…" contains the character '\n'`,
	} {
		err := d.Decode(broker.Message{Topic: "d", Payload: []byte(payload), Received: arrival}, new(Batch))
		if r, ok := err.(*Rejection); !ok || r.Detail != say {
			t.Errorf("%s:\n%v\nwant %s", payload, err, say)
		}
	}
}
