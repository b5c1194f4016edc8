package rules

import (
	"slices"
	"strings"
)

// An overridden finds the overrides of a rule that apply to a device: a rule may have as
// many of them as there are devices.
type overridden struct {
	ids      map[string]int   // of the overrides that name a device
	patterns map[string][]int // of the others, by a type or a label that the device must have
	rest     []int            // of groups that ask for neither
}

func indexOverrides(list []override) overridden {
	x := overridden{ids: map[string]int{}, patterns: map[string][]int{}}
	for i := range list {
		o := &list[i]
		if o.rank == len(ranks) {
			x.ids[o.key] = i
			continue
		}
		patterns := []string{o.key}
		for _, parts := range o.matches.groups {
			patterns = nil
			for _, part := range parts {
				if strings.HasPrefix(part[0], "type:") || strings.HasPrefix(part[0], "label:") {
					patterns = append(patterns, part[0])
				}
			}
		}
		if len(patterns) == 0 {
			x.rest = append(x.rest, i)
			continue
		}
		rarest := slices.MinFunc(patterns, func(a, b string) int { return len(x.patterns[a]) - len(x.patterns[b]) })
		x.patterns[rarest] = append(x.patterns[rarest], i)
	}
	return x
}

// overriding lists the overrides that apply to a device, by ascending precedence.
func (r *rule) overriding(id string, def *DeviceDef) []int {
	var list []int
	add := func(candidates []int) {
		for _, i := range candidates {
			if r.overrides[i].is(id, def) {
				list = append(list, i)
			}
		}
	}
	add(r.overridden.rest)
	if def != nil {
		add(r.overridden.patterns["type:"+def.Type])
		for _, pattern := range labelPatterns(def.Labels) {
			add(r.overridden.patterns[pattern])
		}
	}
	if i, ok := r.overridden.ids[id]; ok {
		list = append(list, i)
	}
	slices.Sort(list)
	return list
}
