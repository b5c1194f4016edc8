package config

// Options are the surroundings a configuration is read in.
type Options struct {
	// Getenv looks a variable up; nil is os.LookupEnv.
	Getenv func(name string) (string, bool)
}

// Load reads the file at path and the rule files it names. It reports all
// problems at once, by file and line; the Config is nil if one of them is not a
// warning.
func Load(path string, o Options) (*Config, Problems) {
	return nil, Problems{{File: path, Line: 1, Column: 1, Fact: "nothing is loaded yet", Remedy: "wait"}}
}
