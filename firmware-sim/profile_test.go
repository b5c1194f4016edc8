package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestBrokenProfilesAreExplained(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.toml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	var got bytes.Buffer
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Parse(text, filepath.Base(file))
		if err == nil {
			t.Errorf("%s is accepted: %+v", file, p)
		}
		for line := range strings.Lines(fmt.Sprint(err)) {
			if !strings.HasPrefix(line, filepath.Base(file)+":") {
				t.Errorf("%s: %q does not begin with its place", file, line)
			}
			fmt.Fprintln(&got, strings.TrimSpace(line))
		}
	}
	golden(t, "testdata/broken.golden", got.Bytes())
}

func TestBuiltinProfilesLoad(t *testing.T) {
	for _, name := range Builtin() {
		p, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if p.Name != name || p.Summary == "" || strings.Contains(p.Summary, "\n") {
			t.Errorf("%s: name %q, summary %q", name, p.Name, p.Summary)
		}
	}
}

func TestProfileIsLoadedByItsPath(t *testing.T) {
	text, _, err := Source("freezer-store")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "mine.toml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := Load(file); err != nil || p.Name != "mine" {
		t.Errorf("%+v, %v", p, err)
	}
	for _, name := range []string{"nosuch", filepath.Join(t.TempDir(), "nosuch.toml"), t.TempDir()} {
		if _, err := Load(name); err == nil {
			t.Errorf("%s is loaded", name)
		}
	}
}

// What is accepted can be played: ids and topics are usable, payloads are JSON.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/broken/*.toml")
	if err != nil {
		f.Fatal(err)
	}
	profiles, err := filepath.Glob("profiles/*.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, profiles...) {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Parse(text, "fuzz.toml")
		if err != nil {
			return
		}
		o := Options{Seed: 1, Speed: 1, Devices: 3, StartAt: time.Unix(0, 0)}
		devices, err := p.devices(o)
		if err != nil {
			return // two fleets make one id: that is known only here
		}
		for _, d := range devices {
			if d.id == "" {
				t.Fatal("a device without an id")
			}
			for range 3 {
				for _, m := range d.next(o).sent {
					if m.Topic == "" || strings.ContainsAny(m.Topic, "+#{") {
						t.Fatalf("device %q, topic %q", d.id, m.Topic)
					}
					if d.model.Format == "" && len(m.Faults) == 0 && !json.Valid(m.Payload) {
						t.Fatalf("%q is not JSON", m.Payload)
					}
				}
			}
		}
	})
}
