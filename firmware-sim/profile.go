package sim

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/BurntSushi/toml"

	"tocsin/firmware-sim/payload"
)

//go:embed profiles/*.toml
var builtin embed.FS

// A Profile describes a fleet: its models, how many devices of which, what goes
// wrong when, and what is expected of it. Durations are simulated time.
type Profile struct {
	Name    string `toml:"-"`
	Summary string `toml:"summary"` // one line for lists
	Format  string `toml:"format"`  // of models that do not say; default: json
	Topic   string `toml:"topic"`   // the same; {device}, {group}, and any name in a fleet's vars

	Models map[string]*Model `toml:"model"`
	Fleets map[string]*Fleet `toml:"fleet"`
	Faults map[string]*Fault `toml:"fault"`
	Expect map[string]Expect `toml:"expect"` // by rule id
}

// A Model is a kind of device: how often it reports, what, and how.
type Model struct {
	Every    Duration           `toml:"every"`
	Signals  map[string]*Signal `toml:"signal"` // the name is the payload's field
	Format   string             `toml:"format"`
	Topic    string             `toml:"topic"`    // of readings
	Status   string             `toml:"status"`   // of birth and last will; empty: that of the format, if it has one
	Events   string             `toml:"events"`   // of updates, in formats without an own; empty: not told
	Config   string             `toml:"config"`   // listened to: {"every": "10s"}
	Command  string             `toml:"command"`  // listened to: {"id": "1", "do": "reboot"}
	Reply    string             `toml:"reply"`    // of answers to both
	Firmware string             `toml:"firmware"` // sent as fw

	plan *plan
}

// A Fleet is a number of devices.
type Fleet struct {
	Model  string            `toml:"model"`
	Mix    map[string]int    `toml:"mix"` // instead: models and their weights
	Count  int               `toml:"count"`
	ID     string            `toml:"id"`     // with one %d verb for the number, from 1
	Spread Duration          `toml:"spread"` // first readings fall at random within it; 0: all at once
	Groups int               `toml:"groups"` // so many, which a fault can befall together
	Vars   map[string]string `toml:"vars"`   // for the topic
}

// A Duration is written in TOML as a string: "90s", "1h30m".
type Duration time.Duration

// UnmarshalText refuses what is not a duration, or negative.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v < 0 {
		return fmt.Errorf(`%q is not a duration (write a number and a unit: "90s", "1h30m")`, text)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes a duration as it is read.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Builtin returns the names of the profiles that are part of the program.
func Builtin() []string {
	names, err := fs.Glob(builtin, "profiles/*.toml")
	if err != nil {
		return nil // only a malformed pattern can do that
	}
	for i, n := range names {
		names[i] = strings.TrimSuffix(path.Base(n), ".toml")
	}
	slices.Sort(names)
	return names
}

// Source returns the TOML text of a profile, and its file's name: of a built-in
// one by its name, of any other by its path.
func Source(nameOrPath string) (text []byte, file string, err error) {
	if slices.Contains(Builtin(), nameOrPath) {
		file = "profiles/" + nameOrPath + ".toml"
		text, err = builtin.ReadFile(file)
		return text, file, err
	}
	text, err = os.ReadFile(nameOrPath) // #nosec G304 -- the user names the file
	if os.IsNotExist(err) && !strings.ContainsAny(nameOrPath, `/\.`) {
		return nil, "", fmt.Errorf("profile %q: not built in, and no such file (built in: %s)", nameOrPath, strings.Join(Builtin(), ", "))
	}
	if err != nil {
		return nil, "", fmt.Errorf("reading the profile: %w", err)
	}
	return text, nameOrPath, nil
}

// Load reads a profile: a built-in one by its name, any other by its path. The
// error holds everything that is wrong with it, one "file:line: place: fact
// (remedy)" a line.
func Load(nameOrPath string) (*Profile, error) {
	text, file, err := Source(nameOrPath)
	if err != nil {
		return nil, err
	}
	return Parse(text, file)
}

// Parse reads a profile from TOML text; file is for errors and for its name.
func Parse(text []byte, file string) (*Profile, error) {
	p := &Profile{Name: strings.TrimSuffix(path.Base(strings.ReplaceAll(file, `\`, "/")), ".toml")}
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("%s:1: is not UTF-8 text (save it as UTF-8)", file)
	}
	c := checker{file: file, lines: lines(text), dir: filepath.Dir(file)}
	meta, err := toml.Decode(string(text), p)
	if err != nil {
		return nil, c.decodeError(err)
	}
	c.unknown(meta)
	p.complete()
	c.profile(p)
	if err := c.err(); err != nil {
		return nil, err
	}
	return p, nil
}

// complete fills in what the profile says for all, and what a fault's keys say
// of its kind.
func (p *Profile) complete() {
	for _, m := range p.Models {
		m.Format = cmp.Or(m.Format, p.Format)
		if m.Topic == "" && !payload.HasTopics(m.Format) {
			m.Topic = p.Topic
		}
	}
	for name, f := range p.Faults {
		f.name = name
		f.complete()
	}
}

func (f *Fault) complete() {
	switch {
	case f.Kind != "":
	case f.Add != nil && f.Set == nil:
		f.Kind = "offset"
	case f.Set != nil && f.Add == nil:
		f.Kind = "set"
	}
}
