package decode

import (
	"hash/maphash"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode"
	"unicode/utf8"
)

// names hands out strings for bytes, the same string again for the same bytes,
// so that a fleet's ids and metrics are not allocated for every message. Each
// string has one place, and the last one there stays: memory is bounded, a
// collision costs an allocation, and no lock is taken.
//
// A string is checked before it is kept, so one that is found needs no check.
type names struct {
	seed  maphash.Seed
	slots []atomic.Pointer[string]
	mask  uint64 // a power of two of slots, less one
	check func(string) (fault string)
}

// Longer strings are not worth a place.
const maxKept = 256

func newNames(bits int, check func(string) string) *names {
	return &names{seed: maphash.MakeSeed(), slots: make([]atomic.Pointer[string], 1<<bits), mask: 1<<bits - 1, check: check}
}

func (n *names) bytes(b []byte) (s, fault string) {
	slot := &n.slots[maphash.Bytes(n.seed, b)&n.mask]
	if p := slot.Load(); p != nil && *p == string(b) {
		return *p, ""
	}
	return n.keep(slot, string(b))
}

func (n *names) text(t string) (s, fault string) {
	slot := &n.slots[maphash.String(n.seed, t)&n.mask]
	if p := slot.Load(); p != nil && *p == t {
		return *p, ""
	}
	return n.keep(slot, strings.Clone(t))
}

func (n *names) keep(slot *atomic.Pointer[string], s string) (kept, fault string) {
	if n.check != nil {
		if fault := n.check(s); fault != "" {
			return "", fault
		}
	}
	if len(s) <= maxKept {
		slot.Store(&s)
	}
	return s, ""
}

const maxName = 256

// checkName says what keeps s from being the name of a device or a metric, as
// the end of a sentence; "" if nothing does.
func checkName(s string) (fault string) {
	switch {
	case s == "":
		return "is empty"
	case len(s) > maxName:
		return "is longer than " + strconv.Itoa(maxName) + " bytes"
	case !utf8.ValidString(s):
		return "is not UTF-8"
	}
	for _, c := range s {
		// Not only control characters: a name is shown to people, and one that
		// breaks the line or turns the writing around can pose as another.
		if unicode.IsControl(c) || unicode.In(c, unicode.Bidi_Control, unicode.Zl, unicode.Zp) {
			return "contains the character " + strconv.QuoteRuneToASCII(c)
		}
	}
	return ""
}

// quote shows what a device sent, shortened and without control characters.
func quote[T string | []byte](s T) string { return strconv.QuoteToGraphic(shorten(s)) }

const maxShown = 64

// shorten cuts s, at a character, to what is worth showing.
func shorten[T string | []byte](s T) string {
	if len(s) <= maxShown {
		return string(s)
	}
	n := maxShown
	for n > maxShown-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return string(s[:n]) + "…"
}
