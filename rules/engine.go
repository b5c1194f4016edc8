package rules

import (
	"iter"
	"time"
)

// Options are what an engine may be told beside its rules.
type Options struct {
	// Route names the endpoints that are to be told of an event; the event is
	// complete but for its Endpoints. Nil means the rule's own notify list.
	Route func(*Event) []string

	MaxInstances int // alarms one rule may have in this engine; 0 means 100,000
	MaxDevices   int // devices this engine gets to know; 0 means 100,000
}

// An Engine judges samples by a program. It belongs to one goroutine at a time.
type Engine struct {
	program *Program
	options Options
}

// NewEngine returns an engine with every alarm inactive.
func NewEngine(p *Program, o Options) *Engine { return &Engine{program: p, options: o} }

// Restore gives the engine a stored alarm. It is called before the first Step
// and tells nobody anything. It reports false for an alarm whose rule or level
// is gone: the state is kept as it is, and listed by [Engine.Orphans].
func (e *Engine) Restore(s State) bool { return false }

// Orphans yields the restored states that no rule of the program claims.
func (e *Engine) Orphans() iter.Seq[State] { return func(func(State) bool) {} }

// Resume says, after the last Restore, that nobody listened between from and
// to: that time counts neither for nor against a running timer, unless samples
// stamped in it arrive later and say how it was.
func (e *Engine) Resume(from, to time.Time) {}

// Step takes one input in and appends what it decided to out.
func (e *Engine) Step(in Input, out *Output) {}

// Next is when the earliest timer ends: a tick is due then. Zero for none.
func (e *Engine) Next() time.Time { return time.Time{} }

// An AlarmCount says how many alarms of a rule stand alike.
type AlarmCount struct {
	Rule     string
	Severity Severity
	State    string // pending, firing or recovering
	Count    int
}

// Alarms yields the counts of alarms that are not inactive, in a stable order.
// Counts are kept as alarms change, so reading them is cheap.
func (e *Engine) Alarms() iter.Seq[AlarmCount] { return func(func(AlarmCount) bool) {} }

type instance struct {
	mark uint64
}
