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
	"tocsin/bridge/history"
	"tocsin/bridge/store"
	"tocsin/broker"
	"tocsin/rules"
)

// BenchmarkHandle hands in readings that decide nothing, which is what nearly
// all do, from every processor at once: decoding runs side by side, judging
// under the engine's lock.
func BenchmarkHandle(b *testing.B) {
	b.Run("forgetful", func(b *testing.B) { benchmarkHandle(b, false) })
	b.Run("remembering", func(b *testing.B) { benchmarkHandle(b, true) })
}

func benchmarkHandle(b *testing.B, remembers bool) {
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
	o := bridge.Options{Program: program, Decoders: []*decode.Decoder{decoder}, Source: devices{}, Store: db}
	if remembers {
		if o.History, err = history.Open(history.Options{Path: filepath.Join(b.TempDir(), "history"), MinFree: -1}); err != nil {
			b.Fatal(err)
		}
		defer o.History.Close()
	}
	bridged, err := bridge.New(context.Background(), o)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- bridged.Run(ctx) }()
	defer func() {
		b.StopTimer()
		stop()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}()
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
