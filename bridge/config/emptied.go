package config

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// noteRead remembers a file, and whether it says anything at all.
func (l *loader) noteRead(s *source, path string) {
	if l.config.says == nil {
		l.config.says = make(map[string]bool)
	}
	l.config.says[path] = strings.TrimSpace(s.text) != ""
}

// Emptied are the problems of files that say nothing, and said something when
// before was loaded. Most programs empty a file before they write it, and where the disk is full
// it stays like that: who takes it for a configuration ends alarms that nobody meant
// to end.
func (c *Config) Emptied(before *Config) (problems Problems) {
	for _, file := range slices.Sorted(maps.Keys(c.says)) {
		if before.says[file] && !c.says[file] {
			problems = append(problems, Problem{
				File: filepath.ToSlash(file), Line: 1, Column: 1,
				Fact:   "is empty, as a file is while it is written",
				Remedy: "save it again; where nothing is meant, remove the file or leave a # comment in it",
			})
		}
	}
	return problems
}
