package rules

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// slip reports whether s is what becomes of meant by a slip of the finger. Names of
// siblings, such as phase_1 and phase_2, temp_min and temp_max, are as near to each
// other and are none: they differ in a number or a short word.
func slip(s, meant string) bool {
	words := func(s string) []string {
		return strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) })
	}
	a, b := words(s), words(meant)
	if len(a) != len(b) {
		return strings.Join(a, "") == strings.Join(b, "")
	}
	for i := range a {
		longer := max(len(a[i]), len(b[i]))
		if a[i] != b[i] && longer > 2 && (within(a[i], b[i], max(1, longer/4)) || longer > 3 && letters(a[i]) == letters(b[i])) {
			return true
		}
	}
	return false
}

// within reports whether one word is at most so many edits from another.
func within(a, b string, most int) bool { return edits(a, b, most+1) <= most }

// letters are those of a word in the order of the alphabet: a slip swaps some.
func letters(word string) string {
	sorted := []rune(word)
	slices.Sort(sorted)
	return string(sorted)
}

// nearMetric is a metric of nearly that name, or "": one that is declared or that a
// rule has for its key. sure says that it must be meant.
func (c *compiler) nearMetric(name string) (near string, sure bool) {
	if _, ok := slices.BinarySearch(c.measured.sorted, name); ok { // nothing says yet of what type it is
		return "", false
	}
	if near = c.measured.nearest(name); near != "" && len(name) < 4 && edits(name, near, 3) > 1 {
		return "", false // two letters of three are another word: ext is no bat
	}
	return near, near != "" && slip(name, near)
}

// scopeKind checks what stands before the colon of a pattern that is none of the
// kinds. Ids of devices have colons too, so only what looks like a kind is refused;
// written as a class, [:], the colon is of an id without any doubt.
func (c *compiler) scopeKind(at []string, pattern string) {
	kind, rest, colon := strings.Cut(pattern, ":")
	if c.file.Device[pattern] != nil || strings.ContainsAny(kind, `*?[\`) {
		return
	}
	if !colon {
		if meant := c.scopeMeant(pattern); meant != "" {
			c.warn(at, strconv.Quote(pattern)+" is read as a device's id", "did you mean "+strconv.Quote(meant)+"?")
		}
		return
	}
	near := nearest(strings.ToLower(kind), ranks[:])
	meant := strconv.Quote(near + ":" + rest)
	if c.devices.names.nearest(pattern) != "" {
		return // which is warned of
	}
	if id := c.devices.kinds[kind]; near != "" && id != "" {
		c.warn(at, strconv.Quote(pattern)+" is read as a device's id, as "+strconv.Quote(id)+" is", "did you mean "+meant+"?")
		return
	}
	switch {
	case near != "" && len(at) > 2 && at[2] == "override":
		c.fail(at, strconv.Quote(kind+":")+" is no kind of scope", "did you mean "+meant+"?")
	case near != "":
		c.fail(at, strconv.Quote(kind+":")+" is no kind of scope", "did you mean "+meant+"? a device of that id is written "+strconv.Quote(kind+"[:]"+rest))
	case kind == "device" || kind == "id":
		c.warn(at, strconv.Quote(pattern)+" is read as a device's id", "did you mean "+strconv.Quote(rest)+"?")
	case c.devices.labeled[kind]:
		c.warn(at, strconv.Quote(pattern)+" is read as a device's id", "did you mean "+strconv.Quote("label:"+kind+"="+rest)+"?")
	}
}

// scopeMeant is what a pattern without a colon seems to lack one of, or "".
func (c *compiler) scopeMeant(pattern string) string {
	name, value, pair := strings.Cut(pattern, "=")
	switch {
	case pair && slices.Contains(ranks[:], name):
		return name + ":" + value
	case pair && c.devices.labeled[name]:
		return "label:" + pattern
	case c.file.Group[pattern] != nil:
		return "group:" + pattern
	case c.selects("type:" + pattern):
		return "type:" + pattern
	}
	return ""
}

// labelPattern warns of a label that no declared device has, where one has nearly
// it. Others may come with a topic.
func (c *compiler) labelPattern(at []string, pattern string) {
	if c.selects(pattern) {
		return
	}
	if near := c.devices.labels().nearest(pattern); near != "" && slip(pattern, near) {
		c.warn(at, strconv.Quote(pattern)+" selects no declared device", "did you mean "+strconv.Quote(near)+"?", []string{"device"})
	}
}

// labelPatterns are labels as scopes have them.
func labelPatterns(labels map[string]string) []string {
	var list []string
	for name, value := range labels {
		list = append(list, "label:"+name+"="+value)
	}
	return list
}

// noRule is the remedy for the id of a rule that is not there.
func (c *compiler) noRule(id string) string {
	if n := c.rules.nearest(id); n != "" {
		return "did you mean " + strconv.Quote(n) + "?"
	}
	return listed(c.ids)
}

// ruleID is what expressions may know of the id of a rule.
func (c *compiler) ruleID(id string) (near string, known bool) {
	if _, known = c.index[id]; !known {
		near = c.rules.nearest(id)
	}
	return near, known
}
