package sim

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// solo parses a profile of one device, dev-1, that reports every ten seconds; toml
// goes on in the table of its model.
func solo(toml, file string) (*Profile, error) {
	return Parse([]byte(`
topic = "{device}"
[fleet.one]
model = "m"
count = 1
id = "dev-%d"
[model.m]
every = "10s"
`+toml), file)
}

// soloDevice is the device of such a profile.
func soloDevice(t *testing.T, toml string, o Options) *device {
	t.Helper()
	p, err := solo(toml, "test.toml")
	if err != nil {
		t.Fatal(err)
	}
	devices, err := p.devices(o)
	if err != nil {
		t.Fatal(err)
	}
	return devices[0]
}

// messages plays a profile's schedule without a broker: n messages of each device.
func messages(t *testing.T, p *Profile, o Options, n int) []byte {
	t.Helper()
	devices, err := p.devices(o)
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for _, d := range devices {
		for range n {
			for _, m := range d.next(o).sent {
				fmt.Fprintf(&all, "%s %s\n", m.Topic, m.Payload)
			}
		}
	}
	return all.Bytes()
}

func TestSameSeedMakesTheSameBytes(t *testing.T) {
	p, err := Load("freezer-store")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Seed: 7, Speed: 10, Devices: 3, StartAt: time.Date(2026, 11, 22, 9, 0, 0, 0, time.FixedZone("", 3600))}
	got := messages(t, p, o, 10)
	if again := messages(t, p, o, 10); !bytes.Equal(got, again) {
		t.Errorf("the second run differs: %s", cmp.Diff(string(got), string(again)))
	}
	golden(t, "testdata/freezer-store.golden", got)

	o.Seed = 8
	if bytes.Equal(got, messages(t, p, o, 10)) {
		t.Error("another seed made the same bytes")
	}
}

func TestMoreDevicesLeaveTheFirstAlone(t *testing.T) {
	p, err := Load("freezer-store")
	if err != nil {
		t.Fatal(err)
	}
	few := messages(t, p, Options{Seed: 7, Speed: 1, Devices: 2}, 5)
	many := messages(t, p, Options{Seed: 7, Speed: 1, Devices: 9}, 5)
	if !bytes.HasPrefix(many, few) {
		t.Errorf("with more devices the first two differ: %s", cmp.Diff(string(few), string(many[:len(few)])))
	}
}

// golden compares with a file, and writes it with -update.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-update writes it anew): %s", file, diff)
	}
}

func TestLimitAndDurationTakeTheSchedulesFirstMessages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var devices []*device
		for range rapid.IntRange(1, 6).Draw(t, "devices") {
			devices = append(devices, &device{
				every:  time.Duration(rapid.IntRange(1, 5).Draw(t, "every")),
				offset: time.Duration(rapid.IntRange(0, 5).Draw(t, "offset")),
			})
		}
		o := Options{
			Limit:    rapid.IntRange(0, 20).Draw(t, "limit"),
			Duration: time.Duration(rapid.IntRange(0, 20).Draw(t, "duration")),
			Speed:    float64(rapid.IntRange(1, 2).Draw(t, "speed")),
		}
		setQuotas(devices, o)
		if o.Limit == 0 && o.Duration == 0 {
			for _, d := range devices {
				if d.quota != 0 {
					t.Fatalf("quota %d, want none", d.quota)
				}
			}
			return
		}
		var schedule []time.Duration // of more than enough readings
		for _, d := range devices {
			for n := range 60 {
				schedule = append(schedule, d.simulated(n))
			}
		}
		slices.Sort(schedule)
		if end := time.Duration(float64(o.Duration) * o.Speed); end > 0 {
			schedule = slices.DeleteFunc(schedule, func(at time.Duration) bool { return at >= end })
		}
		if o.Limit > 0 {
			schedule = schedule[:min(o.Limit, len(schedule))]
		}
		var taken []time.Duration
		for _, d := range devices {
			for n := range max(0, d.quota) {
				taken = append(taken, d.simulated(n))
			}
		}
		slices.Sort(taken)
		if !slices.Equal(taken, schedule) {
			t.Fatalf("taken at %v, want %v", taken, schedule)
		}
	})
}

func TestDevicesAreSharedInProportion(t *testing.T) {
	p := &Profile{Fleets: map[string]*Fleet{"a": {Count: 1}, "b": {Count: 3}, "c": {Count: 2}}}
	f := func(n int, want map[string]int) {
		t.Helper()
		if diff := cmp.Diff(want, p.counts(n)); diff != "" {
			t.Errorf("%d devices: %s", n, diff)
		}
	}
	f(0, map[string]int{"a": 1, "b": 3, "c": 2})
	f(12, map[string]int{"a": 2, "b": 6, "c": 4})
	f(1, map[string]int{"a": 0, "b": 0, "c": 1})
	f(7, map[string]int{"a": 1, "b": 3, "c": 3})
}

// index is where a signal is among the device's.
func (d *device) index(signal string) int {
	return slices.IndexFunc(d.sources, func(s *source) bool { return s.name == signal })
}
