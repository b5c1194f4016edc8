package rules

// A Program is a checked rule file, ready to be run by engines. It is immutable.
type Program struct {
	rules []RuleInfo
}

// A RuleInfo describes a compiled rule to lints, metrics and lists.
type RuleInfo struct {
	ID         string
	Source     string // file:line
	Metric     string
	Revision   string     // hash of the rule as resolved: equal means nothing changed
	Severities []Severity // of its ladder, ascending
	Notify     []NotifyRef
}

// A NotifyRef is a mention of an endpoint in a rule file.
type NotifyRef struct {
	Endpoint string
	Path     []string // the key that mentions it, as in [Problem]
}

// Compile checks f and makes a program of it. It reports all problems at once;
// the program is nil if one of them is not a warning.
func Compile(f *File) (*Program, []Problem) { return &Program{}, nil }

// Rules describes every rule, by ascending id.
func (p *Program) Rules() []RuleInfo { return p.rules }

// Mentions lists every endpoint the file names, defaults included.
func (p *Program) Mentions() []NotifyRef { return nil }
