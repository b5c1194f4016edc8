package bridge_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/bridge"
	"tocsin/bridge/decode"
	"tocsin/bridge/store"
	"tocsin/broker"
	"tocsin/rules"
)

// BenchmarkHandle hands in readings that decide nothing, which is what nearly
// all do, from every processor at once: decoding runs side by side, judging
// under the engine's lock.
func BenchmarkHandle(b *testing.B) {
	program, problems := rules.Compile(freezerRules())
	if program == nil {
		b.Fatal(problems)
	}
	decoder, err := decode.New(decode.Options{Name: "plant", Topic: "plant/{device}"})
	if err != nil {
		b.Fatal(err)
	}
	db, err := store.Open(b.Context(), store.Options{Path: filepath.Join(b.TempDir(), "data")})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	bridged, err := bridge.New(context.Background(), bridge.Options{Program: program, Decoders: []*decode.Decoder{decoder}, Source: devices{}, Store: db})
	if err != nil {
		b.Fatal(err)
	}
	payloads := make([][]byte, 64)
	for i := range payloads {
		payloads[i] = fmt.Appendf(nil, `{"temperature":%.2f,"humidity":41.5,"battery":90,"rssi":-71,"door":"closed","note":"0123456789012345678901234567890123456789"}`, -20-float64(i)/100)
	}
	var connections atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		first := int(connections.Add(1)) * 1000
		topics := make([]string, 1000)
		for i := range topics {
			topics[i] = fmt.Sprintf("plant/freezer-%d", first+i)
		}
		for i := 0; pb.Next(); i++ {
			m := broker.Message{Topic: topics[i%len(topics)], Payload: payloads[i%len(payloads)], QoS: 1, Received: time.Now()}
			if receipt := bridged.Handle(m); receipt != nil {
				if err := receipt(b.Context()); err != nil {
					b.Error(err)
				}
			}
		}
	})
}
