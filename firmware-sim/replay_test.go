package sim

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// replayed parses a profile beside a recording and takes n readings, one every
// ten seconds.
func replayed(t *testing.T, recording, replay string, n int) ([]float64, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "r.data"), []byte(recording), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := solo("[model.m.signal.x]\nreplay = "+replay+"\n", filepath.Join(dir, "test.toml"))
	if err != nil {
		return nil, err
	}
	devices, err := p.devices(Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	var out []float64
	for range n {
		devices[0].next(Options{Speed: 1})
		out = append(out, devices[0].values[0])
	}
	return out, nil
}

func TestRecordingsArePlayedAgain(t *testing.T) {
	f := func(recording, replay string, want ...float64) {
		t.Helper()
		got, err := replayed(t, recording, replay, len(want))
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s of %q: %v, %v; want %v", replay, recording, got, err, want)
		}
	}
	f("", `{ values = [1.0, 2.0, 3.0], every = "10s" }`, 1, 2, 3, 1, 2)
	f("", `{ values = [1.0, 2.0, 3.0], every = "10s", once = true }`, 1, 2, 3, 3, 3)
	f("", `{ values = [1.0, 2.0], every = "20s" }`, 1, 1, 2, 2, 1)
	f("value\n4\n\n5\n", `{ file = "r.data", every = "10s" }`, 4, 5, 4)
	f("t,temp,rh\n0,4,\n10,,50\n20,6,51\n", `{ file = "r.data", column = "temp", time = "t" }`, 4, 4, 6, 6, 4)
	f("t,temp\n2026-11-22T09:00:00Z,1\n2026-11-22T10:00:10+01:00,2\n2026-11-22T09:00:20.5Z,3\n", `{ file = "r.data", column = "temp", time = "t" }`, 1, 2, 2, 3, 1)
	f("{\"at\":100,\"v\":7}\n\n{\"at\":110}\n{\"at\":120,\"v\":8.5}\n", `{ file = "r.data", column = "v", time = "at", once = true }`, 7, 7, 8.5, 8.5)
	f("{\"value\":1}\n{\"value\":2}\n", `{ file = "r.data", every = "10s" }`, 1, 2, 1)
}

func TestBrokenRecordingsAreExplained(t *testing.T) {
	f := func(recording, replay, want string) {
		t.Helper()
		_, err := replayed(t, recording, replay, 1)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "test.toml:10: model.m.signal.x.replay: ") {
			t.Errorf("%q: %v, want %q", recording, err, want)
		}
	}
	every := `{ file = "r.data", every = "10s" }`
	f("", every, `EOF (write a CSV with a header, or JSON lines)`)
	f("value\n", every, "holds no values (record some)")
	f("a,b\n1,2\n", every, `has the columns a, b, not "value" (name one as column`)
	f("value\nhot\n", every, `line 2: "hot" is not a number (mend it, or leave it empty)`)
	f("value\n1,2\n", every, "line 2: wrong number of fields (mend the CSV)")
	f("{\"value\":\"hot\"}", every, `line 1: "value" is not a number (mend it, or leave it out)`)
	f("{\"value\":1}\n{", every, "line 2: unexpected end of JSON input (write one object a line)")
	timed := `{ file = "r.data", column = "v", time = "t" }`
	f("t,v\n5,1\n5,2\n", timed, "line 3: is not after the one before it (sort by time)")
	f("t,v\nnoon,1\n", timed, `line 2: "noon" is not a time (write seconds, or RFC 3339`)
}

func TestFormulasAndCorrelationTieSignalsTogether(t *testing.T) {
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
	f(`formula = "t / 10 + 5 * y"`, 0, 6, 7)
	f(`formula = "1 / (t - 10)"`, -0.1, 1e12, 0.1)
	f(`formula = "sqrt(0 - 1)"`, 0)

	d := soloDevice(t, "[model.m.signal.a]\nnoise = 2.0\nlike = { signal = \"z\", r = -0.8 }\n[model.m.signal.z]\nnoise = 1.0\n", Options{Seed: 1})
	const n = 20_000
	var products, squares, others float64
	for range n {
		d.next(Options{Speed: 1})
		a, z := d.values[0], d.values[1]
		products, squares, others = products+a*z, squares+a*a, others+z*z
	}
	if r := products / math.Sqrt(squares*others); math.Abs(r+0.8) > 0.02 {
		t.Errorf("the noises correlate by %v, want -0.8", r)
	}
	if sd := math.Sqrt(squares / n); math.Abs(sd-2) > 0.05 {
		t.Errorf("the noise is %v wide, want 2", sd)
	}
}

func TestSpikesAreRareAndWithinBounds(t *testing.T) {
	spiked := 0
	for _, v := range readings(t, `spikes = { by = 30.0, chance = 0.1 }`, 5000) {
		if math.Abs(v) > 30 {
			t.Fatalf("%v is beyond 30", v)
		}
		if v != 0 {
			spiked++
		}
	}
	if spiked < 400 || spiked > 600 {
		t.Errorf("%d of 5000 readings have a spike, want about 500", spiked)
	}
}
