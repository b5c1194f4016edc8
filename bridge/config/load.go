package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Options are the surroundings a configuration is read in.
type Options struct {
	// Getenv looks a variable up; nil is os.LookupEnv.
	Getenv func(name string) (string, bool)
	// NoSecrets leaves secrets that are kept elsewhere unread: whoever only asks
	// what rules make of readings need not have them.
	NoSecrets bool
	// Running takes what time alone has made wrong for a warning: a bridge that
	// could be started yesterday can be started again tonight.
	Running bool
}

// Load reads the file at path and the rule files it names. It reports all
// problems at once, by file and line; the Config is nil if one of them is not a
// warning.
//
// Paths in the file are relative to the folder it is in. ${NAME} in a string is
// the variable NAME, which must be set; $${ is a plain ${.
func Load(path string, o Options) (*Config, Problems) {
	l := &loader{getenv: o.Getenv, noSecrets: o.NoSecrets, running: o.Running, dir: filepath.Dir(path), report: newReport()}
	if l.getenv == nil {
		l.getenv = os.LookupEnv
	}
	l.config.Path = path
	l.config.setDefaults()

	l.main = readSource(filepath.ToSlash(path), path, l.report)
	if l.main.tree != nil {
		l.noteRead(l.main, path)
		l.main.expand(l.getenv)
		decoder{source: l.main, later: laterMain(), elsewhere: ruleTables()}.decode(&l.config)
		if !l.report.full(false) {
			l.check()
		}
		l.noteEndpoints()
	}
	l.report.problems.finish()
	if l.report.errors > 0 {
		return nil, l.report.problems
	}
	return &l.config, l.report.problems
}

// A loader is one call of Load.
type loader struct {
	getenv    func(string) (string, bool)
	noSecrets bool
	running   bool
	dir       string // what relative paths are relative to
	main      *source
	config    Config
	report    *report
}

// maxDevices is what 32 GiB hold, of devices with a handful of metrics each.
const maxDevices = 10_000_000

// check validates what was decoded. A part that could not be decoded has its
// default here, so nothing is reported twice.
func (l *loader) check() {
	if l.config.Schema != 1 {
		l.main.atValue([]string{"schema"}, "schema is not one this version reads", "write schema = 1")
	}
	l.checkBroker()
	l.checkSources()
	l.checkStore()
	l.checkHTTP()
	l.checkListeners()
	l.checkEndpoints()
	within(l, keys("limits.devices"), l.config.Limits.Devices, maxDevices)
	l.checkLog()
	l.checkTracing()
	l.checkRules()
}

// oneOf checks a key with a fixed set of values.
func (l *loader) oneOf(path []string, value string, values ...string) bool {
	for _, v := range values {
		if v == value {
			return true
		}
	}
	l.main.atValue(path, quote(value)+" is none of its values", suggest(value, values, "the values are "))
	return false
}

// within checks that a number is at least 1 and at most a bound.
func within[N int | Size | Rate](l *loader, path []string, n, most N) {
	switch {
	case n <= 0:
		l.main.atValue(path, "must be at least 1", "leave it out for the default")
	case n > most:
		l.main.atValue(path, fmt.Sprintf("is more than %d", int64(most)), "write less, or leave it out for the default")
	}
}

// resolve makes a path of the configuration one that can be opened.
func (l *loader) resolve(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(l.dir, path)
}

// keys makes a path of keys joined by dots.
func keys(dotted string) []string { return strings.Split(dotted, ".") }
