package rules

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// readFile decodes rules as written, without places.
func readFile(t testing.TB, text string) *File {
	t.Helper()
	f := new(File)
	meta, err := toml.Decode(text, f)
	if err != nil {
		t.Fatal(err)
	}
	if keys := meta.Undecoded(); len(keys) > 0 {
		t.Fatalf("unknown keys %v", keys)
	}
	f.Place = func(path []string) string { return strings.Join(path, ".") }
	return f
}

// readAndCompile compiles rules as written, and refuses any problem.
func readAndCompile(t testing.TB, text string) *Program {
	t.Helper()
	p, list := Compile(readFile(t, text))
	if len(list) > 0 {
		t.Fatalf("problems:\n%s", problems(list))
	}
	return p
}

// describe writes what a compiled rule says and goes by.
func describe(b *strings.Builder, indent string, r *rule) {
	for i := range r.rungs {
		g := &r.rungs[i]
		gauge := &r.gauges[g.gauge]
		fmt.Fprintf(b, "%s%s: %s\n", indent, g.severity, g.sentence)
		fmt.Fprintf(b, "%s  until %s", indent, g.clearText)
		if g.clearHold > 0 {
			fmt.Fprintf(b, " for %s", written(g.clearHold))
		}
		if g.clearSamples > 1 {
			fmt.Fprintf(b, ", %d samples in a row", g.clearSamples)
		}
		fmt.Fprintf(b, "; threshold %q, limit %v, clear %v", g.threshold, g.limit, g.clear)
		if g.measured != "" {
			fmt.Fprintf(b, ", in %s", g.measured)
		}
		fmt.Fprintf(b, "\n%s  from %s (%s), by gauge %s, to %v\n", indent, g.limitFrom, g.limitAt, gauge.key(), g.notify)
	}
}

// TestTheExampleFileCompiles compiles a file that asks in every way; what it comes
// to is golden.
func TestTheExampleFileCompiles(t *testing.T) {
	p := readAndCompile(t, readTestdata(t, "works.toml"))
	var b strings.Builder
	for _, r := range p.rules {
		subject := [...]string{"metric", "device", "group"}[r.subject]
		fmt.Fprintf(&b, "# %s, of a %s, order %d, asks %v, plain %v\n", r.id, subject, r.order, r.asks, r.plain)
		describe(&b, "", r)
		for _, key := range slices.Sorted(maps.Keys(r.variants)) {
			fmt.Fprintf(&b, "  ## %s, disabled %v\n", key, r.variants[key].disabled)
			describe(&b, "  ", r.variants[key])
		}
		b.WriteByte('\n')
	}
	golden(t, "works.golden", b.String())

	if p.late != 90e9 || len(p.upkeep) != 1 || !p.upkeep[0].devices.matches("tank-1", p.devices["tank-1"]) {
		t.Errorf("late %v, maintenance %+v", p.late, p.upkeep)
	}
	if f := p.flood; f == nil || f.startEvents != 20 || f.stopEvents != 4 || f.digest != 120e9 || !f.pass[Major] || f.pass[Info] {
		t.Errorf("flood %+v", f)
	}
	if p.formerly["clock-off"] != p.byID["clock"] {
		t.Errorf("formerly %v", p.formerly)
	}
}

func readTestdata(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
