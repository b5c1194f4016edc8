package rules

// A File is a rule file as written: the shape that bridge/config decodes TOML
// into, before [Compile] checks what it means. Several files are merged into
// one before compiling. Pointers tell "not written" from a zero.
type File struct {
	Schema   int                   `toml:"schema"`
	Defaults Defaults              `toml:"defaults"`
	Metric   map[string]*MetricDef `toml:"metric"`
	Device   map[string]*DeviceDef `toml:"device"`
	Rule     map[string]*RuleDef   `toml:"rule"`
}

// Defaults are inherited by every rule that does not say otherwise.
type Defaults struct {
	Severity Severity          `toml:"severity"`
	For      *Duration         `toml:"for"`
	ClearFor *Duration         `toml:"clear_for"`
	Samples  *int              `toml:"samples"`
	Notify   []string          `toml:"notify"`
	Runbook  string            `toml:"runbook"`
	Labels   map[string]string `toml:"labels"`
}

// A MetricDef says what a metric is. Outside Range a sample is invalid, not
// very high; a value listed in Invalid is a sensor's error code, unless
// InvalidJump is set and the value is within that distance of the last good one.
type MetricDef struct {
	Type        string    `toml:"type"` // number (default) | bool | text
	Unit        string    `toml:"unit"`
	Range       *Range    `toml:"range"`
	Invalid     []float64 `toml:"invalid"`
	InvalidJump float64   `toml:"invalid_jump"`
	TrueIs      []string  `toml:"true_is"`
	FalseIs     []string  `toml:"false_is"`
}

// A DeviceDef describes a device that is known beforehand.
type DeviceDef struct {
	Type   string            `toml:"type"`
	Labels map[string]string `toml:"labels"`
	Via    string            `toml:"via"`
}

// A RuleDef is one [rule.ID] table.
type RuleDef struct {
	Source string `toml:"-"` // file:line of the table

	Devices Scope  `toml:"devices"`
	Except  Scope  `toml:"except"`
	Metric  string `toml:"metric"`
	Condition
	Timing
	Severity Severity             `toml:"severity"`
	Notify   []string             `toml:"notify"`
	Title    string               `toml:"title"`
	Runbook  string               `toml:"runbook"`
	Labels   map[string]string    `toml:"labels"`
	Level    map[string]*LevelDef `toml:"level"` // by severity name
}

// A LevelDef is a [rule.ID.level.SEVERITY] table: the same alarm at another
// severity. What it leaves out it takes from the rule.
type LevelDef struct {
	Condition
	Timing
	Notify []string `toml:"notify"`
}

// A Condition is written with the keys of one family: limit or value.
type Condition struct {
	Above   *Quantity `toml:"above"`
	AtLeast *Quantity `toml:"at_least"`
	Below   *Quantity `toml:"below"`
	AtMost  *Quantity `toml:"at_most"`
	Outside *Range    `toml:"outside"`
	Inside  *Range    `toml:"inside"`
	Clear   *Range    `toml:"clear"` // one limit, or two for outside and inside

	Is      *Scalar  `toml:"is"`
	IsNot   *Scalar  `toml:"is_not"`
	In      []Scalar `toml:"in"`
	Matches *string  `toml:"matches"`
	ClearIs *Scalar  `toml:"clear_is"`
}

// Timing says for how long, or how often, a condition must hold.
type Timing struct {
	For      *Duration `toml:"for"`
	ClearFor *Duration `toml:"clear_for"`
	Samples  *int      `toml:"samples"`
}

// A Problem is something wrong with a rule, at a place: the keys that lead to
// it, such as ["rule", "freezer-warm", "clear"].
type Problem struct {
	Path    []string
	Fact    string
	Remedy  string
	Warning bool // worth saying, and no reason to refuse

	// Absent are the keys that would have made a difference and are not there:
	// if one of them was written, and could not be read, this follows from that.
	Absent [][]string
}
