package expr

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

const (
	maxPattern      = 1024 // bytes of a regular expression
	maxInstructions = 1000 // of one compiled: its steps for every byte of text
)

// Pattern compiles a regular expression, and says what a byte of text costs it
// in steps. One that is wrong, or takes more than a reading may cost, is nil,
// with the fact and the remedy.
func Pattern(text string) (re *regexp.Regexp, steps int, fact, remedy string) {
	if len(text) > maxPattern {
		return nil, 0, fmt.Sprintf("is longer than %d bytes", maxPattern), "write a shorter one, or compare with in"
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, 0, "is no regular expression: " + strings.TrimPrefix(err.Error(), "error parsing regexp: "),
			"write it in RE2 syntax, which has no look-around; in TOML a 'single-quoted' string keeps its backslashes"
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err == nil && len(prog.Inst) <= maxInstructions {
		re, err = regexp.Compile(text)
	}
	switch {
	case err != nil:
		return nil, 0, "is no regular expression: " + err.Error(), "repeat less in it"
	case re == nil:
		return nil, 0, fmt.Sprintf("takes %d steps for every byte, and %d are allowed", len(prog.Inst), maxInstructions), "repeat less in it"
	}
	return re, len(prog.Inst), "", ""
}
