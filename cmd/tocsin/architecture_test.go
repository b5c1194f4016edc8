package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "tocsin"

// mayImport is the drawing: each package, and which of ours it may import.
// Arrows point down only. A new package needs a line here, and a reason.
var mayImport = map[string][]string{
	"rules":            {"rules/expr", "rules/window"},
	"rules/expr":       {},
	"rules/window":     {},
	"rules/ruletest":   {"rules"},
	"bridge/history":   {"rules"},
	"broker":           {},
	"bridge/decode":    {"rules", "broker"},
	"bridge/survey":    {"rules", "broker", "bridge/decode"},
	"bridge/webhook":   {},
	"bridge/preset":    {"rules", "bridge/webhook"},
	"bridge/trace":     {},
	"bridge":           {"rules", "broker", "bridge/decode", "bridge/webhook", "bridge/preset", "bridge/history", "bridge/trace"},
	"bridge/store":     {"bridge", "rules"},
	"bridge/storetest": {"bridge", "rules"},
	"bridge/simulate":  {}, // tests only: a whole bridge in a bubble
	"bridge/config":    {"rules", "bridge/webhook", "bridge/preset", "bridge/trace"},
	"bridge/api":       {"bridge", "bridge/webhook", "rules"},
	"bridge/page":      {}, // it asks the API like anybody else

	"firmware-sim":         {"firmware-sim/formula", "firmware-sim/payload"}, // it judges the bridge, so it shares nothing with it
	"firmware-sim/bench":   {},
	"firmware-sim/formula": {},
	"firmware-sim/payload": {},

	"torture": {}, // tests only: it knows the programs from outside

	"cmd/tocsin": {
		"rules", "broker", "bridge", "bridge/decode", "bridge/webhook", "bridge/preset",
		"bridge/store", "bridge/config", "bridge/api", "bridge/page", "bridge/history", "bridge/trace", "rules/ruletest", "firmware-sim", "cmd/manual", "bridge/survey",
	},
	"cmd/firmware-sim": {"firmware-sim", "firmware-sim/bench", "cmd/manual"},
	"cmd/manual":       {}, // what both programs do with their commands
}

// onlyIn keeps a library behind the package that answers for it.
var onlyIn = map[string][]string{
	"github.com/BurntSushi/toml":          {"bridge/config", "bridge/preset", "firmware-sim"}, // presets are TOML, as what users write over them is
	"modernc.org/sqlite":                  {"bridge/store"},
	"github.com/mochi-mqtt/server":        {"broker"},
	"github.com/eclipse/paho.mqtt.golang": {"broker", "firmware-sim"},
	"github.com/eclipse/paho.golang":      {}, // tests only
	"code.dny.dev/ssrf":                   {"bridge/webhook"},
	"golang.org/x/net/proxy":              {"bridge/webhook"}, // SOCKS5; never by the environment
	"github.com/danielgtaylor/huma":       {"bridge/api"},
	"github.com/spf13/cobra":              {"cmd/tocsin", "cmd/firmware-sim", "cmd/manual"},
	"github.com/standard-webhooks":        {}, // tests only: it is there to disagree with us
	"go.opentelemetry.io":                 {"bridge/trace"},
	"google.golang.org/protobuf":          {"bridge/trace"},
	"google.golang.org/grpc":              {}, // tests only: a collector's own messages come with it
	"github.com/prometheus/client_golang": {"broker", "bridge", "bridge/trace", "bridge/store", "bridge/history", "bridge/api", "cmd/tocsin"},
	"github.com/go-json-experiment/json":  {"bridge/decode"},
	"golang.org/x/crypto/argon2":          {"broker"},
	"github.com/rogpeppe/go-internal":     {},
	"github.com/expr-lang/expr":           {"rules/expr"},
	"github.com/klauspost/compress":       {"bridge/history"},
	"github.com/fsnotify/fsnotify":        {"cmd/tocsin"},
	"pgregory.net/rapid":                  {"bridge/storetest"},
	"github.com/google/go-cmp":            {"bridge/storetest"},
	"testing":                             {"bridge/storetest"},
}

type goPackage struct {
	ImportPath string
	Doc        string
	Imports    []string // of the package itself, not of its tests
}

// name is the package's path below the module.
func (p goPackage) name() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-pgo=off", "-json=ImportPath,Doc,Imports", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var packages []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("reading what go list says: %v", err)
		}
		packages = append(packages, p)
	}
}

func TestArchitectureIsAsDrawn(t *testing.T) {
	for _, p := range listPackages(t) {
		allowed, known := mayImport[p.name()]
		if !known {
			t.Errorf("%s: the drawing has no such package (add it to mayImport with what it may import)", p.name())
			continue
		}
		if p.Doc == "" {
			t.Errorf("%s: has no package comment (say what it is, what it is not, and its concurrency)", p.name())
		}
		for _, imported := range p.Imports {
			if own, ok := strings.CutPrefix(imported, module+"/"); ok && !slices.Contains(allowed, own) {
				t.Errorf("%s: imports %s, which it may not know", p.name(), own)
			}
		}
	}
}

func TestArchitectureKeepsLibrariesInTheirPlace(t *testing.T) {
	for _, p := range listPackages(t) {
		if _, known := mayImport[p.name()]; !known {
			continue // the drawing's test says so
		}
		for _, imported := range p.Imports {
			if p.name() == "rules" && !isStandard(imported) && !strings.HasPrefix(imported, module+"/rules/") {
				t.Errorf("rules: imports %s, and may import only the standard library and what is below it", imported)
			}
			if strings.Contains(imported, "toml") && !strings.HasPrefix(imported, "github.com/BurntSushi/toml") {
				t.Errorf("%s: imports %s, a second TOML library", p.name(), imported)
			}
			for library, places := range onlyIn {
				within := imported == library || strings.HasPrefix(imported, library+"/")
				if within && !slices.Contains(places, p.name()) {
					t.Errorf("%s: imports %s, which is for %q", p.name(), imported, places)
				}
			}
		}
	}
}

// isStandard reports whether a path is the standard library's: its first
// element has no dot, and it is not ours.
func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return first != module && !strings.Contains(first, ".")
}

// A replace directive changes what is built only here: who imports us, or runs
// go install, gets something else.
func TestArchitectureHasNoReplace(t *testing.T) {
	out, err := exec.Command("go", "mod", "edit", "-json", "../../go.mod").Output()
	if err != nil {
		t.Fatalf("go mod edit: %v", err)
	}
	var mod struct{ Replace []any }
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	if len(mod.Replace) > 0 {
		t.Errorf("go.mod replaces %v", mod.Replace)
	}
}
