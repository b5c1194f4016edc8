package ruletest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tocsin/rules"
)

// compare says how events differ from those expected: nothing, or one text with
// both side by side.
func compare(start time.Time, want []rules.TestExpect, got []rules.Event) []string {
	pairs, same := align(start, want, got)
	if same {
		return nil
	}
	rows := [][2]string{{"expected", "got"}}
	var details []string
	for _, p := range pairs {
		var left, right string
		if p.want != nil {
			left = p.want.line()
		}
		if p.got != nil {
			right = line(start, p.got)
		}
		mark := "  "
		if p.differs != "" {
			mark = "✗ "
			if p.want != nil && p.got != nil {
				details = append(details, p.differs)
			} else if p.got != nil {
				details = append(details, "not expected: "+right+": "+p.got.Title+"; "+p.got.Because)
			}
		}
		rows = append(rows, [2]string{mark + left, right})
	}
	width := 0
	for _, r := range rows {
		width = max(width, len([]rune(r[0])))
	}
	var b strings.Builder
	for i, r := range rows {
		if i == 0 {
			r[0] = "  " + r[0]
		}
		pad := max(0, width+3-len([]rune(r[0])))
		b.WriteString(strings.TrimRight("    "+r[0]+strings.Repeat(" ", pad)+r[1], " ") + "\n")
	}
	for _, d := range details {
		b.WriteString("    " + d + "\n")
	}
	return []string{strings.TrimSuffix(b.String(), "\n")}
}

// A pair is what was expected and what came in its place; nil is nothing.
type pair struct {
	want    *expectation
	got     *rules.Event
	differs string // how, "" if they do not
}

// An expectation is a TestExpect and how it is shown.
type expectation struct{ *rules.TestExpect }

func (e expectation) line() string {
	s := fmt.Sprintf("%-7s %-12s", short(time.Duration(e.At)), strings.TrimPrefix(e.Event, "alarm."))
	for _, part := range []string{e.Severity.String(), e.Reason, e.Rule, e.Device} {
		if part != "" {
			s += " " + part
		}
	}
	return strings.TrimRight(s, " ")
}

// line is an event in one line, as an expectation would have it.
func line(start time.Time, ev *rules.Event) string {
	s := fmt.Sprintf("%-7s %-12s %s", short(ev.At.Sub(start)), strings.TrimPrefix(string(ev.Type), "alarm."), ev.Alarm.Severity)
	if ev.Reason != "" {
		s += " " + ev.Reason
	}
	if about := cmp.Or(ev.Alarm.Key, ev.Device.ID, ev.Source); about != "" {
		s += " (" + about + ")"
	}
	return s
}

// maxAligned bounds the work of finding the best pairs.
const maxAligned = 1000

// align pairs expectations and events so that as many as possible agree; those
// between two agreeing pairs are told against each other in order.
func align(start time.Time, want []rules.TestExpect, got []rules.Event) (pairs []pair, same bool) {
	differs := func(i, j int) string { return mismatch(start, &want[i], &got[j]) }
	common := make([][]int, len(want)+1) // longest common subsequence of the rests
	for i := range common {
		common[i] = make([]int, min(len(got), maxAligned)+1)
	}
	for i := min(len(want), maxAligned) - 1; i >= 0; i-- {
		for j := min(len(got), maxAligned) - 1; j >= 0; j-- {
			if differs(i, j) == "" {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	same = true
	rest := func(i, j int) int {
		if i > maxAligned || j > maxAligned {
			return 0
		}
		return common[i][j]
	}
	i, j := 0, 0
	for i < len(want) || j < len(got) {
		switch {
		case i == len(want):
			pairs, same = append(pairs, pair{got: &got[j], differs: "unexpected"}), false
			j++
		case j == len(got):
			pairs, same = append(pairs, pair{want: &expectation{&want[i]}, differs: "missing"}), false
			i++
		default:
			d := differs(i, j)
			switch left := rest(i, j); {
			case d == "" || rest(i+1, j+1) == left:
				pairs = append(pairs, pair{want: &expectation{&want[i]}, got: &got[j], differs: d})
				same = same && d == ""
				i, j = i+1, j+1
			case rest(i, j+1) == left:
				pairs, same = append(pairs, pair{got: &got[j], differs: "unexpected"}), false
				j++
			default:
				pairs, same = append(pairs, pair{want: &expectation{&want[i]}, differs: "missing"}), false
				i++
			}
		}
	}
	return pairs, same
}

// mismatch says in what an event is not what was expected; "" in nothing.
func mismatch(start time.Time, want *rules.TestExpect, got *rules.Event) string {
	at := short(got.At.Sub(start))
	if w := short(time.Duration(want.At)); w != at {
		return "at " + at + ", expected at " + w
	}
	event := want.Event
	if event != "" && !strings.Contains(event, ".") {
		event = "alarm." + event
	}
	to := slices.Sorted(slices.Values(want.To))
	told := slices.Sorted(slices.Values(got.Endpoints))
	for _, c := range []struct {
		what, want, got string
		same            bool
	}{
		{"event", event, string(got.Type), event == string(got.Type)},
		{"rule", want.Rule, got.Rule.ID, want.Rule == got.Rule.ID},
		{"device", want.Device, got.Device.ID, want.Device == got.Device.ID || got.Alarm.Key == got.Rule.ID+"/"+want.Device},
		{"severity", want.Severity.String(), got.Alarm.Severity.String(), want.Severity == got.Alarm.Severity},
		{"reason", want.Reason, got.Reason, want.Reason == got.Reason},
		{"title", want.Title, got.Title, want.Title == got.Title},
		{"because", want.Because, got.Because, strings.Contains(got.Because, want.Because)},
		{"to", strings.Join(to, ", "), strings.Join(told, ", "), slices.Equal(to, told)},
	} {
		if c.want != "" && !c.same {
			return fmt.Sprintf("at %s: %s is %q, expected %q", at, c.what, c.got, c.want)
		}
	}
	if want.To != nil && len(told) > 0 && len(to) == 0 {
		return fmt.Sprintf("at %s: %s told, expected nobody", at, strings.Join(told, ", "))
	}
	return ""
}

// short writes a duration as a rule file has it: "24m", "1h30m", "1d2h".
func short(d time.Duration) string {
	if d < 0 {
		return "-" + short(-d)
	}
	s := ""
	if days := d / (24 * time.Hour); days > 0 {
		s, d = fmt.Sprintf("%dd", days), d%(24*time.Hour)
	}
	if d == 0 {
		return cmp.Or(s, "0m")
	}
	if h := d / time.Hour; h > 0 {
		s += fmt.Sprintf("%dh", h)
	}
	if m := d % time.Hour / time.Minute; m > 0 {
		s += fmt.Sprintf("%dm", m)
	}
	if rest := d % time.Minute; rest > 0 {
		s += rest.String()
	}
	return s
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
