package decode

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync/atomic"
)

// maxLabels bounds the names of a topic that become labels.
const maxLabels = 8

// labelSets hands out the labels that topics say, the same map again for the
// same values: a fleet has few sites and many messages. It is bounded and free
// of locks as [names] is.
type labelSets struct {
	names []string // of the template, in its order
	seed  maphash.Seed
	slots []atomic.Pointer[labelSet]
}

// A labelSet is never changed once it can be found.
type labelSet struct {
	values []string
	labels map[string]string
	fault  string // the first value that cannot be a label, in words
}

// labelSlots is a power of two.
const labelSlots = 1 << 10

func newLabelSets(names []string) *labelSets {
	l := &labelSets{names: names, seed: maphash.MakeSeed()}
	if len(names) > 0 {
		l.slots = make([]atomic.Pointer[labelSet], labelSlots)
	}
	return l
}

// get returns the labels for the values of a topic. A value that is empty or
// cannot be shown to people is left out.
func (l *labelSets) get(values []string) (labels map[string]string, fault string) {
	if len(values) == 0 {
		return nil, ""
	}
	var h maphash.Hash
	h.SetSeed(l.seed)
	for _, v := range values {
		_, _ = h.WriteString(v) // never fails
		_ = h.WriteByte('/')
	}
	slot := &l.slots[h.Sum64()%labelSlots]
	if set := slot.Load(); set != nil && slices.Equal(set.values, values) {
		return set.labels, set.fault
	}
	set, size := &labelSet{}, 0
	for i, v := range values {
		v = strings.Clone(v) // it is part of a topic
		set.values = append(set.values, v)
		size += len(v)
		switch why := checkName(v); {
		case v == "":
		case why == "":
			if set.labels == nil {
				set.labels = make(map[string]string, len(values))
			}
			set.labels[l.names[i]] = v
		case set.fault == "":
			set.fault = "the level of {" + l.names[i] + "} in the topic, " + quote(v) + ", " + why
		}
	}
	if size <= maxKept {
		slot.Store(set)
	}
	return set.labels, set.fault
}
