package preset

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"tocsin/rules"
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

// What is not tried when it is loaded would be found out at night.
func TestEveryTypeOfEventHasASample(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../rules/event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		lit, ok := spec.Values[0].(*ast.BasicLit)
		if id, typed := spec.Type.(*ast.Ident); ok && typed && id.Name == "Type" {
			found++
			name, _ := strconv.Unquote(lit.Value)
			if !slices.Contains(sampleTypes(), rules.Type(name)) {
				t.Errorf("%s has no sample", name)
			}
		}
		return true
	})
	if found < 28 {
		t.Errorf("only %d types were found", found)
	}
}

// The names beside the event's are none of the event's.
func TestScopeHidesNoFieldOfAnEvent(t *testing.T) {
	event := shapeOf(reflect.TypeFor[rules.Event]())
	for name := range roots() {
		if event.fields[name] != nil {
			t.Errorf("an event has .%s too", name)
		}
	}
}
