package sim

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

//go:embed profiles/*.toml
var builtin embed.FS

// A Profile describes a fleet: its models, how many devices of which, what goes
// wrong when, and what is expected of it. Durations are simulated time.
type Profile struct {
	Name    string `toml:"-"`
	Summary string `toml:"summary"` // one line for lists
	Topic   string `toml:"topic"`   // {device}, and any name in a fleet's vars

	Models map[string]*Model `toml:"model"`
	Fleets map[string]*Fleet `toml:"fleet"`
	Faults map[string]*Fault `toml:"fault"`
	Expect map[string]Expect `toml:"expect"` // by rule id
}

// A Model is a kind of device: how often it reports, and what.
type Model struct {
	Every   Duration           `toml:"every"`
	Signals map[string]*Signal `toml:"signal"` // the name is the payload's field
}

// A Fleet is a number of devices of one model.
type Fleet struct {
	Model  string            `toml:"model"`
	Count  int               `toml:"count"`
	ID     string            `toml:"id"`     // with one %d verb for the number, from 1
	Spread Duration          `toml:"spread"` // first readings fall at random within it; 0: all at once
	Vars   map[string]string `toml:"vars"`   // for the topic
}

// A Fault bends one signal of the devices that match, from At on for For.
type Fault struct {
	name    string
	Device  string   `toml:"device"` // an id or a glob
	Signal  string   `toml:"signal"`
	At      Duration `toml:"at"`
	For     Duration `toml:"for"`
	Add     *float64 `toml:"add"`     // added to the signal
	Over    Duration `toml:"over"`    // rising to Add in this time
	Recover Duration `toml:"recover"` // and falling back in this time, after For
	Set     *float64 `toml:"set"`     // instead of Add: the signal has this value
	Repeat  Duration `toml:"repeat"`  // again and again after this time; 0: once
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
	c := checker{file: file, lines: lines(text)}
	meta, err := toml.Decode(string(text), p)
	if err != nil {
		return nil, c.decodeError(err)
	}
	c.unknown(meta)
	c.profile(p)
	if err := c.err(); err != nil {
		return nil, err
	}
	return p, nil
}
