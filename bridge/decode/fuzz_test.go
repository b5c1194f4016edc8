package decode

import (
	"encoding/json"
	"math"
	"testing"
	"unicode/utf8"

	"tocsin/broker"
	"tocsin/rules"
)

// FuzzDecode's law: a payload is refused with a reason, or gives samples, presence
// or problems; every sample has a device, a metric and a time; no two runs differ;
// and a number is the one that encoding/json reads in the same place.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"temperature":-18.25,"door":{"open":true},"probe":[4,{"t":5}]}`,
		`{"ts":1795348770250,"id":"d","r":[{"n":"t","v":1,"u":"C","ts":"2026-11-22T11:59:30Z"}]}`,
		`{"a": nan,"note":"t: nan","b":[nan , -inf]}`, `{"a.b":1,"":2,"\u0000":3}`, `21.5 °C`, `ON`, `[1e999,-0,1e-999]`, `"\ud83d\ude00"`, `{"state":"online"}`, `Offline`,
	} {
		f.Add([]byte(seed))
	}
	decoders := []*Decoder{
		mustNew(f, Options{Topic: "+/{device}"}),
		mustNew(f, Options{Topic: "+/{device}", Decoder: "scalar"}),
		mustNew(f, Options{Topic: "+/{device}", Decoder: "presence"}),
		mustNew(f, Options{Topic: "#", Records: "$.r[*]", Device: "$.id", Metric: "@.n", Value: "@.v", Unit: "@.u", Time: TimeOptions{Path: "@.ts"}}),
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		m := broker.Message{Topic: "x/dev", Payload: payload, Received: arrival}
		for i, d := range decoders {
			var b Batch
			if err := d.Decode(m, &b); err != nil {
				if r, ok := err.(*Rejection); !ok || r.Reason == "" || r.Detail == "" || len(b.Samples)+len(b.Presence)+len(b.Problems) > 0 {
					t.Fatalf("decoder %d: %v", i, err)
				}
			} else if len(b.Samples)+len(b.Presence)+len(b.Problems) == 0 {
				t.Fatalf("decoder %d: nothing, and no error", i)
			}
			for j := range b.Samples {
				checkSample(t, &b.Samples[j])
				if j > 0 && b.Samples[j].At.Before(b.Samples[j-1].At) {
					t.Fatalf("decoder %d: out of order", i)
				}
			}
			if first, second := readMessage(t, d, m), readMessage(t, d, m); first != second {
				t.Fatalf("decoder %d: %s, then %s", i, first, second)
			}
		}
		checkNumbers(t, decoders[0], m)
	})
}

func checkSample(t *testing.T, s *rules.Sample) {
	t.Helper()
	switch {
	case s.Device == "", s.Metric == "", s.At.IsZero(), s.Received.IsZero(), s.Source == "",
		!utf8.ValidString(s.Device + s.Metric + s.Text + s.Unit),
		math.IsNaN(s.Num), math.IsInf(s.Num, 0),
		s.Invalid != "" && (s.Kind != rules.Text || s.Num != 0),
		s.Kind == rules.Bool && s.Num != 0 && s.Num != 1:
		t.Fatalf("%+v", s)
	}
}

// checkNumbers compares with encoding/json by way of a top-level object of
// numbers, in which names are places.
func checkNumbers(t *testing.T, d *Decoder, m broker.Message) {
	t.Helper()
	var members map[string]any
	if json.Unmarshal(m.Payload, &members) != nil {
		return
	}
	var b Batch
	if d.Decode(m, &b) != nil {
		return
	}
	for i := range b.Samples {
		s := &b.Samples[i]
		v, ok := members[s.Metric].(float64)
		if !ok || s.Kind != rules.Number || s.Invalid != "" {
			continue
		}
		ours, err := json.Marshal(s.Num)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if string(ours) != string(theirs) {
			t.Fatalf("%s: %s, encoding/json says %s", s.Metric, ours, theirs)
		}
	}
}
