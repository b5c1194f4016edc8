package bridge

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever is claimed, refused and tried again: each delivery is in one batch at
// a time, none is larger than it may be or waits longer, its members are in order,
// and a batch that is tried again is the same one.
func TestBatchThatIsTriedAgainIsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := Batching{Max: rapid.IntRange(2, 5).Draw(t, "max"), Wait: time.Second}
		now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
		var g gatherer
		made := int64(0)
		var flight [][]Delivery
		var waiting []Delivery // failed, to be claimed again
		since := map[int64]time.Time{}
		failed := map[int64]string{}
		list := func(batch []Delivery) (s string) {
			for _, d := range batch {
				s += fmt.Sprint(d.Event, " ")
			}
			return s
		}
		t.Repeat(map[string]func(*rapid.T){
			"claim": func(t *rapid.T) {
				var due []Delivery
				for range rapid.IntRange(0, 4).Draw(t, "fresh") {
					made++
					due = append(due, Delivery{Event: made, Data: make([]byte, rapid.IntRange(1, batchBytes).Draw(t, "size"))})
				}
				n := rapid.IntRange(0, len(waiting)).Draw(t, "again")
				due = append(due, waiting[:n]...)
				waiting = waiting[n:]
				for _, d := range due {
					since[d.Event] = now
				}
				g.add(now, due, o)
			},
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 1500).Draw(t, "ms")) * time.Millisecond)
			},
			"send": func(t *rapid.T) {
				limit := rapid.IntRange(1, 4).Draw(t, "limit")
				batches, next := g.ready(now, limit, o)
				if len(batches) < limit && !next.IsZero() && !next.After(now) {
					t.Fatal("something is ready, and was not handed out")
				}
				for _, b := range batches {
					if len(b) > o.Max || len(b) == 0 {
						t.Fatalf("a batch of %d", len(b))
					}
					if !slices.IsSortedFunc(b, func(x, y Delivery) int { return int(x.Event - y.Event) }) {
						t.Fatalf("%s is not in order", list(b))
					}
					if was, ok := failed[b[0].Event]; ok && was != list(b) && !now.After(since[b[0].Event].Add(o.Wait-1)) {
						t.Fatalf("%s is tried again as %s, and did not wait for the others", was, list(b))
					}
					flight = append(flight, b)
				}
				for _, b := range flight {
					for _, d := range b {
						if since[d.Event].IsZero() {
							t.Fatalf("%d is under way twice", d.Event)
						}
					}
				}
			},
			"end": func(t *rapid.T) {
				if len(flight) == 0 {
					return
				}
				b := flight[0]
				flight = flight[1:]
				switch rapid.SampledFrom([]string{"accepted", "failed", "refused"}).Draw(t, "how") {
				case "accepted":
					g.end(b)
					for _, d := range b {
						delete(failed, d.Event)
						delete(since, d.Event)
					}
				case "failed":
					g.retry(b, false)
					for _, d := range b {
						failed[d.Event] = list(b)
					}
					waiting = append(waiting, b...)
				case "refused":
					g.retry(b, true)
					for _, d := range b {
						failed[d.Event] = list([]Delivery{d})
					}
					waiting = append(waiting, b...)
				}
			},
		})
	})
}
