package bridge

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tocsin/rules"
)

// Whatever clients and devices do, each device has one place, and what the roster
// counts is what it holds.
func TestEachDeviceHasOnePlaceInTheRoster(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRoster()
		now := time.Unix(0, 0)
		client, device := rapid.SampledFrom([]string{"a", "b", "c"}), rapid.SampledFrom([]string{"1", "2", "3", "4"})
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "ms")) * time.Millisecond)
			c, d := client.Draw(t, "client"), device.Draw(t, "device")
			switch rapid.IntRange(0, 7).Draw(t, "kind") {
			case 0:
				r.came(c)
			case 1:
				r.went(c, rapid.SampledFrom([]string{"", "dropped"}).Draw(t, "why"))
			case 2:
				r.forget(c)
			case 3:
				r.speaks(d, rules.Sleeping)
			default:
				before := r.carriers[c]
				if before != nil && before.place != nil {
					before = nil
				}
				if r.heard(c, "plant", d, now) != nil && before == nil {
					t.Fatalf("%s is connected by %s, which is not", d, c)
				}
				if before != nil && r.devices[d].by != before {
					t.Fatalf("%s is not with %s, through which it was heard", d, c)
				}
			}
			r.check(t)
		}
	})
}

func (r *roster) check(t *rapid.T) {
	missing, devices, away := 0, 0, 0
	for id, c := range r.carriers {
		if c.place != nil {
			away++
			missing += len(c.devices)
			if c.place.Value != id {
				t.Fatalf("%s is away as %v", id, c.place.Value)
			}
		}
		if c.last != nil && c.last.by != c {
			t.Fatalf("%s heard %s last, which is with another", id, c.last.id)
		}
		for i, d := range c.devices {
			devices++
			if d.by != c || d.index != i || r.devices[d.id] != d {
				t.Fatalf("device %s of %s is somewhere else", d.id, id)
			}
		}
	}
	if missing != r.missing || away != r.away.Len() || devices != len(r.devices) {
		t.Fatalf("%d missing of %d clients, %d devices; counted %d, %d, %d", missing, away, devices, r.missing, r.away.Len(), len(r.devices))
	}
}

func TestTheRosterIsBounded(t *testing.T) {
	r := newRoster()
	now := time.Unix(0, 0)
	r.came("gw")
	for i := range maxCarried + 10 {
		r.heard("gw", "plant", fmt.Sprint("of gw ", i), now)
	}
	if n := len(r.devices); n != maxCarried {
		t.Errorf("%d devices of one client, want %d", n, maxCarried)
	}
	clients := maxMissing/maxCarried + 3
	for c := range clients {
		id := fmt.Sprint("client ", c)
		r.came(id)
		for at := range 2 {
			for i := range maxCarried {
				r.heard(id, "plant", fmt.Sprint(id, " ", i), now.Add(time.Duration(at)*time.Minute))
			}
		}
		r.went(id, "dropped")
	}
	if r.missing != maxMissing || r.carriers["client 0"] != nil || r.carriers[fmt.Sprint("client ", clients-1)] == nil {
		t.Errorf("%d devices of clients that are away, want %d, the longest away forgotten", r.missing, maxMissing)
	}
}

// A reading is on the way of every message: that it is heard allocates nothing.
func TestAReadingIsHeardWithoutAllocating(t *testing.T) {
	r := newRoster()
	now := time.Unix(0, 0)
	r.came("gw")
	one, other := "one", "other"
	r.heard("gw", "plant", one, now)
	r.heard("gw", "plant", other, now)
	if n := testing.AllocsPerRun(100, func() {
		now = now.Add(time.Second)
		r.heard("gw", "plant", one, now)
		r.heard("gw", "plant", other, now)
		r.heard("stranger", "plant", one, now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
