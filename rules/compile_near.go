package rules

import (
	"cmp"
	"maps"
	"slices"
	"sync"
)

// Names are what something may be called, for whoever mistypes one of them. Among a
// few, two letters may be wrong. Among many only one, or a letter that went
// elsewhere: two are too near to another name then, and looking for them would take
// as long as there are names.
type names struct {
	sorted []string
	once   sync.Once
	slips  []slipped // by ascending key; made at the first need of it
}

const (
	fewNames = 500
	longName = 64 // bytes; beyond, a name of many is near to none
)

// A slipped is a name of many as it is found: under itself, and under what is left of it
// without one of its letters.
type slipped struct {
	key  uint64
	name int32
}

// namesOf are the keys of a map.
func namesOf[T any](m map[string]T) *names { return &names{sorted: slices.Sorted(maps.Keys(m))} }

// nearest is the one that a typing error would have made s of, or "".
func (n *names) nearest(s string) string {
	if len(n.sorted) <= fewNames {
		return nearest(s, n.sorted)
	}
	if len(s) > longName {
		return ""
	}
	n.once.Do(n.index)
	var near []int32
	eachSlip(s, func(key uint64) {
		i, _ := slices.BinarySearchFunc(n.slips, key, func(have slipped, key uint64) int { return cmp.Compare(have.key, key) })
		for ; i < len(n.slips) && n.slips[i].key == key; i++ {
			near = append(near, n.slips[i].name)
		}
	})
	slices.Sort(near)
	candidates := make([]string, 0, len(near))
	for _, i := range slices.Compact(near) {
		candidates = append(candidates, n.sorted[i])
	}
	return nearest(s, candidates)
}

func (n *names) index() {
	for i, name := range n.sorted {
		if len(name) <= longName {
			eachSlip(name, func(key uint64) { n.slips = append(n.slips, slipped{key, int32(i)}) }) // #nosec G115 -- a file has fewer names
		}
	}
	slices.SortFunc(n.slips, func(a, b slipped) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.name, b.name)) })
	n.slips = slices.Compact(n.slips)
}

// eachSlip yields keys of s and of what is left of it without one of its letters. Two
// names have one in common if one letter of them differs, or went elsewhere; any
// others that have are told apart by comparing them.
func eachSlip(s string, yield func(key uint64)) {
	const offset, prime = 14695981039346656037, 1099511628211 // of FNV-1a
	for without := -1; without < len(s); without++ {
		key := uint64(offset)
		for i := range len(s) {
			if i != without {
				key = (key ^ uint64(s[i])) * prime
			}
		}
		yield(key)
	}
}
