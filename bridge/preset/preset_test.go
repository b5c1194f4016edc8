package preset

import (
	"testing"
)

// with fills every parameter that a preset needs.
func with(p *Preset) map[string]Value {
	m := map[string]Value{}
	for _, q := range p.Params {
		if q.Required {
			m[q.Name] = Hidden("canary-" + q.Name)
		}
	}
	return m
}

func mustNew(t testing.TB, o Options) *Destination {
	t.Helper()
	d, bad := New(o)
	for _, p := range bad {
		t.Errorf("%s: %v", o.Preset, p)
	}
	if d == nil {
		t.FailNow()
	}
	return d
}

func TestEveryPresetOfTheProgramIsSound(t *testing.T) {
	if len(Names()) == 0 {
		t.Fatal("there are none")
	}
	for _, name := range Names() {
		text, err := data.ReadFile("data/" + name + ".toml")
		if err != nil {
			t.Fatal(err)
		}
		p, bad := parsePreset(name, string(text))
		for _, b := range bad {
			t.Errorf("%s: %v", name, b)
		}
		if p == nil {
			continue
		}
		if p.Title == "" || p.Docs == "" {
			t.Errorf("%s: does not say what it is or where it is described", name)
		}
		d := mustNew(t, Options{Preset: name, URL: "https://example.com/hook", With: with(p)})
		for _, kind := range Kinds() {
			if _, ok := d.on[kind]; !ok {
				t.Errorf("%s: does not say what to do with a %s", name, kind)
			}
		}
		if testing.Verbose() {
			for _, typ := range sampleTypes() {
				requests, err := d.Preview(Sample(typ), false)
				if err != nil {
					t.Errorf("%s: %s: %v", name, typ, err)
				}
				for _, r := range requests {
					t.Logf("%s %s: %s %s %v\n%s", name, typ, r.Method, r.URL, r.Header, r.Body)
				}
			}
		}
	}
}
