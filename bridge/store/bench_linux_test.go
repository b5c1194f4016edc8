package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tocsin/bridge"
	"tocsin/rules"
)

// BenchmarkCommit writes batches of one event and one state each, beside the
// least that any store has to do: append the same bytes to a file with a
// checksum, and sync. The ratio of the two is what says something.
func BenchmarkCommit(b *testing.B) {
	for _, size := range []int{1, 64, 512} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			d := open(b, b.TempDir())
			log, err := os.Create(filepath.Join(b.TempDir(), "log"))
			if err != nil {
				b.Fatal(err)
			}
			defer log.Close()
			n := 0
			var store, reference time.Duration
			var cpuStore, cpuReference time.Duration
			for b.Loop() {
				ts := batch(&n, size, "x", "y")
				from, cpu := time.Now(), processCPU(b)
				commit(b, d, ts...)
				store += time.Since(from)
				cpuStore += processCPU(b) - cpu
				from, cpu = time.Now(), processCPU(b)
				appendAndSync(b, log, ts)
				reference += time.Since(from)
				cpuReference += processCPU(b) - cpu
			}
			events := float64(b.N * size)
			b.ReportMetric(events/store.Seconds(), "events/s")
			b.ReportMetric(float64(cpuStore.Microseconds())/events, "cpu-µs/event")
			b.ReportMetric(store.Seconds()/reference.Seconds(), "x-log")
			b.ReportMetric(cpuStore.Seconds()/cpuReference.Seconds(), "cpu-x-log")
		})
	}
}

// BenchmarkDeliver claims and finishes what was committed: from memory when it
// is new, from the disk when it is a backlog.
func BenchmarkDeliver(b *testing.B) {
	for _, backlog := range []bool{false, true} {
		b.Run(map[bool]string{false: "new", true: "backlog"}[backlog], func(b *testing.B) {
			ctx := context.Background()
			d := open(b, b.TempDir())
			n, done := 0, 0
			var spent, cpu time.Duration
			for b.Loop() {
				b.StopTimer()
				if d.byName["x"] == nil || d.byName["x"].owed == 0 {
					for range map[bool]int{false: 1, true: 40}[backlog] {
						commit(b, d, batch(&n, 512, "x")...)
					}
				}
				b.StartTimer()
				from, used := time.Now(), processCPU(b)
				due, _, err := d.Claim(ctx, bridge.Ask{Endpoint: "x", Limit: 64})
				if err != nil {
					b.Fatal(err)
				}
				outcomes := make([]bridge.Outcome, len(due))
				for i, e := range due {
					outcomes[i] = bridge.Outcome{Event: e.Event, Endpoint: "x", Attempt: 1, Status: 200, At: from,
						Took: time.Millisecond, Timings: []byte(`{"answer":0.871}`), Answer: []byte(`{"ok":true}`)}
				}
				if err := d.Finish(ctx, outcomes); err != nil {
					b.Fatal(err)
				}
				if err := d.flush(ctx, false); err != nil {
					b.Fatal(err)
				}
				spent += time.Since(from)
				cpu += processCPU(b) - used
				done += len(due)
			}
			b.ReportMetric(float64(done)/spent.Seconds(), "deliveries/s")
			b.ReportMetric(float64(cpu.Microseconds())/float64(done), "cpu-µs/delivery")
		})
	}
}

func batch(n *int, size int, endpoints ...string) []rules.Transition {
	ts := make([]rules.Transition, size)
	for i := range ts {
		ts[i] = event(fmt.Sprintf("evt_%016x", uint64(*n)*0x9e3779b97f4a7c15), fmt.Sprint("rule/device-", *n%5000), endpoints...)
		*n++
	}
	return ts
}

func appendAndSync(b *testing.B, log *os.File, ts []rules.Transition) {
	k, err := encode(bridge.Batch{Transitions: ts})
	if err != nil {
		b.Fatal(err)
	}
	var buf []byte
	for i := range k.events {
		body := append(k.events[i].data, k.states[i].data...)
		buf = binary.LittleEndian.AppendUint32(buf, uint32(len(body)))
		buf = binary.LittleEndian.AppendUint32(buf, crc32.ChecksumIEEE(body))
		buf = append(buf, body...)
	}
	if _, err := log.Write(buf); err != nil {
		b.Fatal(err)
	}
	if err := unix.Fdatasync(int(log.Fd())); err != nil {
		b.Fatal(err)
	}
}

func processCPU(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
