package decode

import (
	"encoding/json"
	"strconv"
	"testing"

	"tocsin/broker"
)

// 200 bytes with two fields that matter, as a sensor sends them.
const typical = `{"ts":1795348770250,"temperature":-18.42,"firmware":{"version":"2.14.1-release+build.20261106","channel":"stable-eu-central","note":"compressor-unit-with-two-evaporators-and-a-door-heater-kit"}}      `

func BenchmarkDecode(b *testing.B) {
	two := `{"ts":1795348770250,"temperature":-18.42,"battery":87` + typicalPadding() + `}`
	for _, c := range []struct {
		name, payload string
		o             Options
	}{
		{"two fields of 200 bytes", two, Options{Topic: "plants/{site}/{device}/telemetry"}},
		{"flatten 200 bytes", typical, Options{Topic: "plants/{site}/{device}/telemetry"}},
		{"one value of 200 bytes", typical, Options{Topic: "plants/{site}/{device}/telemetry", Value: "$.temperature"}},
		{"scalar", "21.5 °C", Options{Topic: "plants/{site}/{device}/telemetry", Decoder: "scalar"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			d := mustNew(b, c.o)
			var batch Batch
			m := broker.Message{Topic: "plants/lyon/freezer-7/telemetry", Payload: []byte(c.payload), Received: arrival}
			b.ReportAllocs()
			b.SetBytes(int64(len(m.Payload)))
			for b.Loop() {
				batch.Reset()
				if err := d.Decode(m, &batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("records 1000", func(b *testing.B) {
		d := mustNew(b, Options{Topic: "x/{device}", Records: "$[*]", Metric: "@.n", Value: "@.v", Time: TimeOptions{Path: "@.ts"}})
		payload := []byte(`[{"n":"t","v":1.5,"ts":1795348770250}`)
		for i := range 999 {
			payload = append(payload, `,{"n":"t","v":`+strconv.Itoa(i)+`.5,"ts":1795348770250}`...)
		}
		payload = append(payload, ']')
		var batch Batch
		m := broker.Message{Topic: "x/freezer-7", Payload: payload, Received: arrival}
		b.ReportAllocs()
		b.SetBytes(int64(len(payload)))
		for b.Loop() {
			batch.Reset()
			if err := d.Decode(m, &batch); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// typicalPadding is white space, as generous firmware prints it, up to 200 bytes.
func typicalPadding() string {
	pad := make([]byte, 200-len(`{"ts":1795348770250,"temperature":-18.42,"battery":87}`))
	for i := range pad {
		pad[i] = ' '
	}
	return string(pad)
}

// BenchmarkEncodingJSON is the floor to compare with: parsing alone, without
// names, times and duplicate keys.
func BenchmarkEncodingJSON(b *testing.B) {
	two := []byte(`{"ts":1795348770250,"temperature":-18.42,"battery":87` + typicalPadding() + `}`)
	b.Run("two fields into a struct", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var v struct {
				TS          int64   `json:"ts"`
				Temperature float64 `json:"temperature"`
				Battery     float64 `json:"battery"`
			}
			if err := json.Unmarshal(two, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("two fields into a map", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var v map[string]any
			if err := json.Unmarshal(two, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("200 bytes into a map", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var v map[string]any
			if err := json.Unmarshal([]byte(typical), &v); err != nil {
				b.Fatal(err)
			}
		}
	})
}
