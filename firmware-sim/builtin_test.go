package sim

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/firmware-sim/payload"
)

func TestEveryFaultOfABuiltinProfileBefallsSomebody(t *testing.T) {
	for _, name := range Builtin() {
		p, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		devices, err := p.devices(Options{Seed: 7})
		if err != nil {
			t.Fatal(err)
		}
		for fault, f := range sorted(p.Faults) {
			if !slices.ContainsFunc(devices, f.befalls) {
				t.Errorf("%s: fault.%s befalls no device", name, fault)
			}
		}
	}
}

func TestEverythingWrongLeavesNothingOut(t *testing.T) {
	p, err := Load("everything-wrong")
	if err != nil {
		t.Fatal(err)
	}
	missing := slices.Collect(maps.Keys(kinds()))
	// These need a broker with TLS, and files that a built-in profile does not have.
	missing = slices.DeleteFunc(missing, func(k string) bool { return (&Fault{Kind: k}).try() })
	for _, f := range p.Faults {
		missing = slices.DeleteFunc(missing, func(k string) bool { return k == f.Kind })
	}
	formats := payload.Names()
	for _, m := range p.Models {
		formats = slices.DeleteFunc(formats, func(f string) bool { return f == m.Format || f == "json" && m.Format == "" })
	}
	if len(missing) > 0 || len(formats) > 0 {
		t.Errorf("without the faults %q and the formats %q", missing, formats)
	}
}

// What a built-in profile promises in its comment: who is alarmed, by when, and
// that nobody else is.
func TestBuiltinProfilesTellTheirStory(t *testing.T) {
	f := func(name, rule, device string, by, watch time.Duration, others ...string) {
		t.Helper()
		p, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		for seed := range uint64(4) {
			devices, err := p.devices(Options{Seed: seed})
			if err != nil {
				t.Fatal(err)
			}
			start := time.Unix(1_800_000_000, 0).UTC()
			o := Options{Speed: 1, StartAt: start}
			for _, d := range devices {
				var fired, resolved time.Duration
				for d.due() < watch {
					for _, m := range d.next(o).sent {
						for _, c := range m.Expected {
							if c.Rule == rule && c.Type == Fired && !c.Maybe && fired == 0 {
								fired = c.At.Sub(start)
							}
							if c.Rule == rule && c.Type == Resolved {
								resolved = c.At.Sub(start)
							}
						}
					}
				}
				switch {
				case d.id == device && (fired == 0 || fired > by || resolved <= fired):
					t.Errorf("%s, seed %d: %s fired after %v and resolved after %v, want it by %v and over", name, seed, device, fired, resolved, by)
				case d.id != device && fired != 0 && !slices.Contains(others, d.id):
					t.Errorf("%s, seed %d: %s fired %s after %v", name, seed, d.id, rule, fired)
				}
			}
		}
	}
	f("factory-pumps", "pump-vibration", "pump-a03", 3*time.Minute, 25*time.Minute)
	f("factory-pumps", "pump-pressure", "pump-b01", 90*time.Second, 10*time.Minute)
	f("office-climate", "room-stuffy", "floor-06", 11*time.Hour, 20*time.Hour)
	f("leak-sensors", "leak", "leak-004", 70*time.Minute, 10*time.Hour, "leak-005")
	f("lorawan-field", "tank-low", "node-005", 6*time.Hour, 20*time.Hour)
}

// The same seed makes the same bytes whatever becomes of them, with everything
// wrong that there is.
func TestEverythingWrongIsTheSameEachTime(t *testing.T) {
	p, err := Load("everything-wrong")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Seed: 7, Speed: 1, StartAt: time.Unix(1_800_000_000, 0)}
	one := messages(t, p, o, 80)
	if !bytes.Equal(one, messages(t, p, o, 80)) {
		t.Error("the second run differs")
	}
	o.Seed = 8
	if bytes.Equal(one, messages(t, p, o, 80)) {
		t.Error("another seed made the same bytes")
	}
	for _, trace := range []string{"NaN", "nan", "null", "unavailable", "-127", "1970-01-01", "rolled_back", "installed"} {
		if !bytes.Contains(one, []byte(trace)) {
			t.Errorf("nothing sent holds %q", trace)
		}
	}
}

func TestBuiltinProfilesArePlayedOverARealBroker(t *testing.T) {
	for _, name := range Builtin() {
		t.Run(name, func(t *testing.T) {
			p, err := Load(name)
			if err != nil {
				t.Fatal(err)
			}
			h := &heard{}
			var ledger bytes.Buffer
			speed := 3000.0
			for _, m := range p.Models {
				speed = max(speed, 100*time.Duration(m.Every).Seconds())
			}
			sum, err := Run(t.Context(), p, Options{
				Broker: broker(t, h), Seed: 7, Speed: speed, Limit: 1500, QoS: 1, Ledger: &ledger, Settle: 30 * time.Second,
			})
			if err != nil {
				t.Fatal(err)
			}
			if sum.Sent == 0 || sum.Acked != sum.Sent {
				t.Errorf("%+v: not everything was acknowledged", sum)
			}
			if report, err := Verify(&ledger, strings.NewReader("")); err != nil || report.Messages != int(sum.Sent) || report.Acked != int(sum.Sent) {
				t.Errorf("the ledger says %+v, %v", report, err)
			}
		})
	}
}

// What a broker does to connections changes nothing of what is sent, whatever
// else is wrong with it.
func TestBrokerDecidesNothingOfWhatIsSent(t *testing.T) {
	p, err := Load("everything-wrong")
	if err != nil {
		t.Fatal(err)
	}
	play := func(onPub func(int, bool) (bool, bool)) (sent []string, lost uint64) {
		synctest.Test(t, func(t *testing.T) {
			w := &wire{onPub: onPub, begun: time.Now()}
			var ledger bytes.Buffer
			sum, err := Run(t.Context(), p, Options{
				Seed: 7, Speed: 10, Limit: 2000, QoS: 1, Dial: w.dial, Ledger: &ledger, StartAt: time.Unix(1_800_000_000, 0), Settle: time.Hour,
			})
			if err != nil {
				t.Fatal(err)
			}
			lost = sum.Lost
			if err := jsonLines(&ledger, func(e Entry) error {
				if e.Line == "sent" {
					sent = append(sent, fmt.Sprint(e.Device, e.Boot, e.Seq, e.Copy, e.Topic, string(e.Payload), e.Raw, e.Faults, e.Expected))
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			w.serving.Wait()
		})
		slices.Sort(sent)
		return sent, lost
	}
	good, few := play(nil)
	bad, many := play(func(n int, _ bool) (ack, cut bool) {
		drawn := uniform(1, uint64(n))
		return drawn > 0.2, drawn < 0.4 // lost, or heard, and the connection breaks
	})
	if len(good) < 1500 || many < few+500 {
		t.Errorf("%d messages, %d and %d connections broke: too few to tell", len(good), few, many)
	}
	if !slices.Equal(good, bad) {
		for i := range min(len(good), len(bad)) {
			if good[i] != bad[i] {
				t.Errorf("over a bad connection other messages were sent: %d and %d, first\n%s\n%s", len(good), len(bad), good[i], bad[i])
				break
			}
		}
	}
}
