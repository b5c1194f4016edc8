package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Problem is something wrong in a configuration: where, what, and what to do.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`            // from 1
	Column  int    `json:"column"`          // from 1, in characters
	Place   string `json:"place,omitempty"` // the table and key in words: `endpoint "ops" url`
	Fact    string `json:"fact"`
	Remedy  string `json:"remedy"`
	Warning bool   `json:"warning"` // worth saying, and no reason to refuse

	// Excerpt is the line before and the line at fault as written, with carets
	// under the fault. What looks like a secret in them is masked.
	Excerpt string `json:"-"`
}

// String is the problem in one line: file:line:column: place: fact (remedy).
func (p Problem) String() string {
	s := p.head()
	if p.Remedy != "" {
		s += " (" + p.Remedy + ")"
	}
	return s
}

// Long is the problem with its excerpt between the fact and the remedy, over
// several lines, without a newline at the end.
func (p Problem) Long() string {
	var b strings.Builder
	b.WriteString(p.head())
	if p.Excerpt != "" {
		b.WriteString("\n" + p.Excerpt)
	}
	if p.Remedy != "" {
		b.WriteString("\n   " + p.Remedy)
	}
	return b.String()
}

func (p Problem) head() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Warning {
		b.WriteString("warning: ")
	}
	if p.Place != "" {
		b.WriteString(p.Place + ": ")
	}
	b.WriteString(p.Fact)
	return b.String()
}

// Problems is what [Load] found, by file and line.
type Problems []Problem

// Errors counts the problems that are no warnings.
func (ps Problems) Errors() int {
	n := 0
	for _, p := range ps {
		if !p.Warning {
			n++
		}
	}
	return n
}

// Warnings counts the problems that are only warnings.
func (ps Problems) Warnings() int { return len(ps) - ps.Errors() }

const maxProblems = 1000 // of errors, and of warnings: more help nobody

// A report gathers what one call of [Load] finds.
type report struct {
	problems         Problems
	errors, warnings int
	scrubber
}

func newReport() *report { return &report{scrubber: newScrubber()} }

// full reports whether there are so many problems of a kind that no more are told.
func (r *report) full(warning bool) bool {
	if warning {
		return r.warnings > maxProblems
	}
	return r.errors > maxProblems
}

// add appends a problem unless there are too many.
func (r *report) add(p Problem) {
	if r.full(p.Warning) {
		return
	}
	n, what := &r.errors, "problems"
	if p.Warning {
		n, what = &r.warnings, "warnings"
	}
	if *n++; *n > maxProblems {
		p = Problem{File: p.File, Line: p.Line, Column: p.Column, Warning: p.Warning,
			Fact: "there are more " + what + " than are shown", Remedy: "correct the others first"}
	}
	r.problems = append(r.problems, p)
}

// finish sorts the problems, and drops repetitions.
func (ps *Problems) finish() {
	slices.SortStableFunc(*ps, func(a, b Problem) int {
		return cmp.Or(
			strings.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
			strings.Compare(a.Fact, b.Fact))
	})
	*ps = slices.CompactFunc(*ps, func(a, b Problem) bool { return a == b })
}
