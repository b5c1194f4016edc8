package rules

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestMistypedNameIsFoundAmongMany(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- names of a test
	word := func() string {
		letters := make([]byte, 3+r.IntN(6))
		for i := range letters {
			letters[i] = "abcdé"[r.IntN(6)]
		}
		return string(letters)
	}
	set := map[string]bool{"": true, strings.Repeat("x", longName+1): true}
	for len(set) < 3*fewNames {
		set[word()] = true
	}
	many := namesOf(set)
	for range 2000 {
		s := word()
		want := ""
		if set[s] {
			want = s
		} else { // the first one that is one letter away
			for _, name := range many.sorted {
				if within(s, name, 1) && len(name) > 1 {
					want = name
					break
				}
			}
		}
		if got := many.nearest(s); got != want && want != "" {
			t.Fatalf("nearest to %q is %q, want %q", s, got, want)
		} else if want == "" && got != "" && !within(s, got, 2) {
			t.Fatalf("nearest to %q is %q, which is far away", s, got)
		}
	}
	if got := namesOf(map[string]bool{"temperature": true}).nearest("tmperture"); got != "temperature" {
		t.Errorf("two wrong letters among few names: %q", got)
	}
}

func TestScopeIsFoundWithoutLookingAtAllDevices(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4)) // #nosec G404 -- devices of a test
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	patterns := []string{
		"*", "a", "b1", "nobody", "a*", "b?", "*1", "[ab]2", `\a1`, "type:", "type:x", "type:none", "label:room=1", "label:room=", "label:a=b=c",
		"group:x1", "group:a", "group:any", "group:both", "aa:1", "aa:*",
	}
	f := &File{
		Device: map[string]*DeviceDef{},
		Group: map[string]*GroupDef{
			"x1": {Match: map[string]string{"type": "x", "room": "1"}}, "a": {Match: map[string]string{"id": "a*"}},
			"any": {Match: map[string]string{"id": "*"}}, "both": {Match: map[string]string{"id": "*1", "room": "2"}},
		},
	}
	for i := range 40 {
		def := &DeviceDef{Type: pick("", "x", "y"), Labels: map[string]string{"room": pick("", "1", "2")}}
		if i%3 == 0 {
			def.Labels = map[string]string{"a": "b=c"}
		}
		f.Device[pick("a", "b", "aa:", "c")+pick("", "1", "2", fmt.Sprint(i))] = def
	}
	c := &compiler{file: f, devices: newInventory(f.Device)}
	for range 3000 {
		ru := &rule{}
		var scope Scope
		for range 1 + r.IntN(3) {
			scope = append(scope, pick(patterns...))
		}
		ru.devices = c.selector(scope)
		var want, got []string
		for _, id := range c.devices.names.sorted {
			if ru.applies(id, f.Device[id]) {
				want = append(want, id)
			}
		}
		for id := range c.declared(ru) {
			got = append(got, id)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q selects %q, want %q", scope, got, want)
		}
		if c.selects(scope[0]) != slices.ContainsFunc(c.devices.names.sorted, func(id string) bool { return c.selector(scope[:1]).matches(id, f.Device[id]) }) {
			t.Fatalf("%q selects a device: %v", scope[0], c.selects(scope[0]))
		}
	}
	for _, pattern := range patterns {
		o := override{key: pattern, rank: len(ranks), matches: c.selector(Scope{pattern})}
		if kind, _, _ := strings.Cut(pattern, ":"); slices.Contains(ranks[:], kind) {
			o.rank = slices.Index(ranks[:], kind)
		}
		ru := &rule{overrides: []override{o}}
		ru.overridden = indexOverrides(ru.overrides)
		for id, def := range f.Device {
			if got := len(ru.overriding(id, def)) == 1; got != o.is(id, def) {
				t.Errorf("override %q is of %s: %v, want %v", pattern, id, got, o.is(id, def))
			}
		}
	}
}
