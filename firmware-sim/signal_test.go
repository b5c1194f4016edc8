package sim

import (
	"math"
	"testing"
	"time"
)

// readings parses a profile of one device with one signal x and takes n readings
// of it, one every ten seconds.
func readings(t *testing.T, signal string, n int) []float64 {
	t.Helper()
	d := one(t, signal, Options{Seed: 7})
	var out []float64
	for range n {
		d.next(Options{Speed: 1, StartAt: time.Unix(0, 0)})
		out = append(out, d.values[d.index("x")])
	}
	return out
}

func one(t *testing.T, signal string, o Options) *device {
	t.Helper()
	return soloDevice(t, `
[model.m.signal.y]
step = { by = 1.0, at = "10s" }
[model.m.signal.x]
`+signal, o)
}

func TestSignalsHaveTheirShapes(t *testing.T) {
	f := func(signal string, want ...float64) {
		t.Helper()
		got := readings(t, signal, len(want))
		for i := range want {
			if math.Abs(got[i]-want[i]) > 1e-9 {
				t.Errorf("%s: got %v, want %v", signal, got, want)
				return
			}
		}
	}
	f(`base = 3.5`, 3.5, 3.5, 3.5)
	f(`sine = { amplitude = 2.0, period = "40s", phase = "0s" }`, 0, 2, 0, -2, 0)
	f(`sine = { amplitude = 2.0, period = "40s", phase = "10s" }`, 2, 0, -2, 0, 2)
	f(`saw = { amplitude = 1.0, period = "40s", phase = "0s" }`, -1, -0.5, 0, 0.5, -1)
	f(`saw = { amplitude = 1.0, period = "40s", phase = "0s", rise = 0.75 }`, -1, -1+2/3.0, -1+4/3.0, 1, -1)
	f(`step = { by = -4.0, at = "15s" }`, 0, 0, -4, -4)
	f(`ramp = { by = 6.0, at = "10s", over = "30s" }`, 0, 0, 2, 4, 6, 6)
	f(`pulse = { by = 5.0, every = "10s", for = "10s" }`, 5, 5, 5)
	f("base = 1.26\nquantum = 0.5", 1.5, 1.5)
	f("base = -0.1\nquantum = 0.5", 0)
	f("ramp = { by = 9.0, over = \"30s\" }\nmin = 2.0\nmax = 7.0", 2, 3, 6, 7)
	f(`follow = { signal = "y", gain = 8.0 }`, 0, 8, 8)
	e := math.Exp(-1)
	f(`follow = { signal = "y", gain = 8.0, rise = "10s" }`, 0, 8*(1-e), 8*(1-e*e))
}

func TestRandomPartsStayWithinTheirBounds(t *testing.T) {
	f := func(signal string, low, high float64) {
		t.Helper()
		distinct := make(map[float64]bool)
		for _, v := range readings(t, signal, 2000) {
			if v < low || v > high {
				t.Errorf("%s: %v is outside %v to %v", signal, v, low, high)
				return
			}
			distinct[v] = true
		}
		if len(distinct) < 2 {
			t.Errorf("%s: does not move", signal)
		}
	}
	f(`walk = { step = 0.4, within = 1.5 }`, -1.5, 1.5)
	f(`noise = 1.0`, -6, 6)
	f(`pulse = { by = 1.0, every = "5m", for = "40s" }`, 0, 1)
}

func TestPulseComesOnceInEachPeriod(t *testing.T) {
	on := 0
	for _, v := range readings(t, `pulse = { by = 1.0, every = "5m", for = "40s" }`, 300) {
		if v == 1 {
			on++
		}
	}
	if on < 10*3 || on > 10*5 { // ten periods, forty seconds each, looked at every ten
		t.Errorf("on in %d of 300 readings, want about 40", on)
	}
}

func TestNoiseHasItsWidth(t *testing.T) {
	sum, squares := 0.0, 0.0
	all := readings(t, `noise = 0.5`, 20000)
	for _, v := range all {
		sum += v
		squares += v * v
	}
	n := float64(len(all))
	if mean, sd := sum/n, math.Sqrt(squares/n); math.Abs(mean) > 0.02 || math.Abs(sd-0.5) > 0.02 {
		t.Errorf("mean %v, deviation %v; want 0 and 0.5", mean, sd)
	}
}

func TestFaultsFollowTheTimeline(t *testing.T) {
	f := func(fault string, want ...float64) {
		t.Helper()
		got := readings(t, "base = 100.0\n[fault.f]\ndevice = \"dev-*\"\nsignal = \"x\"\n"+fault, len(want))
		for i := range want {
			if math.Abs(got[i]-100-want[i]) > 1e-9 {
				t.Errorf("%s: got %v, want 100 + %v", fault, got, want)
				return
			}
		}
	}
	f("at = \"20s\"\nfor = \"20s\"\nadd = 8.0", 0, 0, 8, 8, 0, 0)
	f("at = \"10s\"\nfor = \"40s\"\nadd = 8.0\nover = \"20s\"\nrecover = \"20s\"", 0, 0, 4, 8, 8, 8, 4, 0, 0)
	f("at = \"10s\"\nfor = \"10s\"\nadd = 8.0\nrepeat = \"30s\"", 0, 8, 0, 0, 8, 0, 0, 8)
	f("for = \"20s\"\nset = 7.0", -93, -93, 0)
	f("at = \"1h\"\nfor = \"20s\"\nset = 7.0", 0, 0)
}

func TestFaultBefallsOnlyWhomItNames(t *testing.T) {
	p, err := Load("freezer-store")
	if err != nil {
		t.Fatal(err)
	}
	devices, err := p.devices(Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range devices {
		for range 20 { // the compressor's fault begins after 5 s
			m := d.next(Options{Speed: 1}).sent[0]
			named := len(m.Faults) > 0 && m.Faults[0] == "compressor-fails"
			if named && d.id != "freezer-01" {
				t.Fatalf("%s has the fault of freezer-01", d.id)
			}
		}
	}
}

func TestDecimalsAreThoseOfTheQuantum(t *testing.T) {
	f := func(q float64, want int) {
		t.Helper()
		if got := decimals(q); got != want {
			t.Errorf("decimals(%v) = %d, want %d", q, got, want)
		}
	}
	f(5, 0)
	f(1, 0)
	f(0.5, 1)
	f(0.1, 1)
	f(0.0625, 4)
	f(0.001, 3)
}
