package rules

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// exact writes a number with all its digits.
func exact(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// shown writes a reading for people: four decimals, and no more zeros than needed.
func shown(v float64) string {
	if a := math.Abs(v); a != 0 && (a < 0.01 || a >= 1e15) {
		return strconv.FormatFloat(v, 'g', 4, 64)
	}
	return exact(math.Round(v*1e4) / 1e4)
}

// withUnit joins a number, already written, and its unit.
func withUnit(number, unit string) string {
	switch unit {
	case "":
		return number
	case "%":
		return number + "%"
	}
	return number + " " + unit
}

// spell writes a duration for people: "45s", "10m 0s", "1d 2h 0m 0s".
func spell(d time.Duration) string {
	if d < 0 {
		d = 0
	}
	if d < time.Second {
		return whole(d).String()
	}
	s := int64(d / time.Second)
	var b strings.Builder
	for _, part := range []struct {
		size int64
		name byte
	}{{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}} {
		if n := s / part.size; n > 0 || b.Len() > 0 || part.size == 1 {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(strconv.FormatInt(n, 10))
			b.WriteByte(part.name)
		}
		s %= part.size
	}
	return b.String()
}

// whole leaves out what nobody says of a duration: parts of a second, where there are
// seconds.
func whole(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Truncate(time.Second)
}

// written writes a duration as a rule file has it: "10m", "1h30m", "90s", "7d".
func written(d time.Duration) string {
	if day := 24 * time.Hour; d > 0 && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// clock writes the time of day, and the date too when it is not that of at.
func clock(t, at time.Time) string {
	if t.Year() == at.Year() && t.YearDay() == at.YearDay() {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}

// nearest returns the candidate that a typing error would have made s of, or "".
func nearest(s string, candidates []string) string {
	best, distance := "", 3
	for _, c := range candidates {
		if d := edits(s, c, distance); d < distance && d < len(c) {
			best, distance = c, d
		}
	}
	return best
}

// edits is the Levenshtein distance of two strings, or limit if it is not less.
func edits(a, b string, limit int) int {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	var few [longName + 1]int // on the stack
	row := few[:]
	if len(b) > longName {
		row = make([]int, len(b)+1)
	}
	for j := range len(b) + 1 {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		least := row[0]
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
			least = min(least, row[j+1])
		}
		if least >= limit {
			return limit
		}
	}
	return min(row[len(b)], limit)
}

// didYouMean is a remedy that names the nearest candidate, or otherwise lists them.
func didYouMean(s string, candidates []string) string {
	if n := elsewhere(s); slices.Contains(candidates, n) {
		return "did you mean " + strconv.Quote(n) + "?"
	}
	if n := nearest(s, candidates); n != "" {
		return "did you mean " + strconv.Quote(n) + "?"
	}
	return listed(candidates)
}

// listed says that one of the candidates is meant.
func listed(candidates []string) string {
	if more := len(candidates) - maxListed; more > 0 {
		return fmt.Sprintf("one of %s, or of %d more", strings.Join(candidates[:maxListed], ", "), more)
	}
	return "one of " + strings.Join(candidates, ", ")
}

const maxListed = 24 // names that are listed where none is like the one written

// elsewhere is our word for one that other tools have, "" for any other.
func elsewhere(word string) string {
	switch strings.ToLower(word) {
	case "mean", "average":
		return "avg"
	case "std", "stdev", "stddev_pop":
		return "stddev"
	case "range", "difference":
		return "spread"
	case "int", "integer", "float", "double", "numeric":
		return "number"
	case "boolean", "binary":
		return "bool"
	case "string", "enum":
		return "text"
	case "alerting":
		return "fire"
	case "ok", "normal":
		return "resolve"
	case "keep", "keep_state", "keeplast", "keep_last", "nodata", "no_data", "ignore":
		return "hold"
	case "gauge":
		return "level"
	case "momentary":
		return "event"
	}
	return ""
}
