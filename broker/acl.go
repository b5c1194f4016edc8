package broker

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is the longest client id or user name let in, in bytes. Names become
// map keys, log attributes and topic levels.
const maxName = 256

// maxLevels is how deep a topic or a filter may be. The library's work grows with
// the square of the depth, under a lock that all clients need.
const maxLevels = 200

func tooDeep(topic string) bool { return strings.Count(topic, "/") >= maxLevels }

// covers says whether every topic that filter can match is matched by allowed
// too. A topic is a filter without wildcards, so the same question answers for
// publishing, subscribing and delivery.
func covers(allowed, filter string) bool {
	if strings.HasPrefix(filter, "$") != strings.HasPrefix(allowed, "$") {
		return false // a leading wildcard does not reach into $SYS and its kind
	}
	for {
		a, aRest, aMore := strings.Cut(allowed, "/")
		f, fRest, fMore := strings.Cut(filter, "/")
		switch {
		case a == "#":
			return true
		case f == "#":
			return false
		case a != f && (a != "+" || strings.ContainsAny(f, "+#") && f != "+"):
			return false
		case !fMore:
			return !aMore || aRest == "#" // a/# is a and all below
		case !aMore:
			return false
		}
		allowed, filter = aRest, fRest
	}
}

// coversAny says whether one of the filters covers filter.
func coversAny(allowed []string, filter string) bool {
	for _, a := range allowed {
		if covers(a, filter) {
			return true
		}
	}
	return false
}

// unshared strips what a shared subscription puts before its filter. It returns
// "" for a filter that shares nothing.
func unshared(filter string) string {
	if !strings.HasPrefix(filter, "$") {
		return filter
	}
	prefix, rest, _ := strings.Cut(filter, "/")
	if !strings.EqualFold(prefix, "$share") {
		return filter
	}
	_, rest, _ = strings.Cut(rest, "/")
	return rest
}

// resolve puts the client id and the user in the place of %c and %u. Only whole
// levels are replaced, and neither name holds a separator or a wildcard
// ([checkName]), so a name can never widen a filter.
func resolve(filters []string, client, user string) []string {
	if len(filters) == 0 {
		return nil
	}
	out := make([]string, len(filters))
	for i, f := range filters {
		levels := strings.Split(f, "/")
		for j, level := range levels {
			switch level {
			case "%c":
				levels[j] = client
			case "%u":
				levels[j] = user
			}
		}
		out[i] = strings.Join(levels, "/")
	}
	return out
}

// checkFilter refuses a filter that an access list must not hold.
func checkFilter(filter string) error {
	if filter == "" || len(filter) > 65535 || strings.ContainsRune(filter, 0) || !utf8.ValidString(filter) {
		return fmt.Errorf("%q is not a topic filter (a filter is text such as plants/+/%%c/#)", filter)
	}
	levels := strings.Split(filter, "/")
	for i, level := range levels {
		switch {
		case level == "#" && i < len(levels)-1:
			return fmt.Errorf("%q has levels after # (# stands for all that follow, so it comes last)", filter)
		case level != "#" && level != "+" && strings.ContainsAny(level, "#+"):
			return fmt.Errorf("%q has a wildcard inside a level (+ and # stand alone between slashes)", filter)
		case level != "%c" && level != "%u" && (strings.Contains(level, "%c") || strings.Contains(level, "%u")):
			return fmt.Errorf("%q has a placeholder inside a level (%%c and %%u stand alone between slashes)", filter)
		}
	}
	return nil
}

var errName = errors.New("holds + # / or an invisible character, or is longer than 256 bytes")

// checkName refuses a client id or user name that could act as something else:
// as a topic level, or as a line of a log.
func checkName(name string) error {
	if len(name) > maxName || !utf8.ValidString(name) || strings.ContainsAny(name, "+#/") {
		return errName
	}
	for _, r := range name {
		if !unicode.IsGraphic(r) {
			return errName
		}
	}
	return nil
}
