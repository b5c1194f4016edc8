package preset

import (
	"fmt"
	"strings"
)

// A Problem is something wrong with how a destination is described.
type Problem struct {
	Path    []string // keys below the endpoint's table; what is not written there is below the last that is
	Fact    string
	Remedy  string
	Name    string   // with Known: what was written instead of one of them
	Known   []string // Remedy then introduces them
	Warning bool
}

func (p Problem) Error() string {
	remedy := p.Remedy + strings.Join(p.Known, ", ")
	if remedy != "" {
		remedy = " (" + remedy + ")"
	}
	return fmt.Sprintf("%s: %s%s", strings.Join(p.Path, "."), p.Fact, remedy)
}

// problems collects.
type problems []Problem

func (p *problems) add(path []string, fact, remedy string) {
	*p = append(*p, Problem{Path: path, Fact: fact, Remedy: remedy})
}

func (p *problems) unknown(path []string, fact, name, remedy string, known []string) {
	*p = append(*p, Problem{Path: path, Fact: fact, Remedy: remedy, Name: name, Known: known})
}

// under is a path and more keys. The path's own memory is not written.
func under(path []string, keys ...string) []string {
	return append(path[:len(path):len(path)], keys...)
}
