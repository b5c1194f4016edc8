package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"tocsin/bridge/config"
	"tocsin/bridge/history"
	"tocsin/rules"
)

// What check looks at of the history: enough to know how devices behave, and no
// more than people wait for.
const (
	lintSince  = 24 * time.Hour
	lintInputs = 5_000_000
)

// A lookedAt is how much of the history was looked at.
type lookedAt struct {
	Inputs int       `json:"inputs"`
	From   time.Time `json:"from,omitzero"`
	To     time.Time `json:"to,omitzero"`
	More   bool      `json:"more,omitempty"` // there is more of that time
	Error  string    `json:"error,omitempty"`
}

// lintHistory plays what the bridge heard lately to the rules, and adds what that
// makes suspicious to the problems. The history is read beside the bridge that
// writes it. Without one there is nothing to say: nil.
func lintHistory(ctx context.Context, cfg *config.Config, problems config.Problems) (config.Problems, *lookedAt) {
	path := historyFolder(cfg)
	isSegment := func(f os.DirEntry) bool { return strings.HasSuffix(f.Name(), ".history") }
	files, err := os.ReadDir(path)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return problems, &lookedAt{Error: err.Error()}
	case !slices.ContainsFunc(files, isSegment):
		return problems, nil
	}
	linter := rules.NewLinter(cfg.Rules)
	looked := &lookedAt{}
	for in, err := range history.ReplayFile(ctx, path, time.Now().Add(-lintSince)) {
		var damage *history.Problem
		switch {
		case errors.As(err, &damage), errors.Is(err, fs.ErrNotExist): // a segment may have become too old meanwhile
			continue
		case err != nil:
			looked.Error = err.Error()
			return problems, looked
		}
		if looked.Inputs == lintInputs {
			looked.More = true
			break
		}
		if looked.Inputs == 0 {
			looked.From = in.Now
		}
		looked.Inputs, looked.To = looked.Inputs+1, in.Now
		linter.Take(in)
	}
	if looked.Inputs == 0 {
		return problems, nil
	}
	for _, p := range linter.Problems() {
		problems = append(problems, cfg.RuleProblem(p))
	}
	slices.SortStableFunc(problems, func(a, b config.Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return problems, looked
}

// write says how much was looked at, for people.
func (l *lookedAt) write(w io.Writer) error {
	switch {
	case l == nil:
		return nil
	case l.Error != "":
		_, err := fmt.Fprintf(w, "history: not looked at: %s (--no-history leaves it out)\n", cleanLine(l.Error))
		return err
	}
	more := ""
	if l.More {
		more = "the first "
	}
	_, err := fmt.Fprintf(w, "history: looked at %s%s, %s to %s\n", more, count(l.Inputs, "input"), stamped(l.From), stamped(l.To))
	return err
}
