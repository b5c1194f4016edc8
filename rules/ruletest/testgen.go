package ruletest

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"tocsin/rules"
)

// lead is how much of what came before an episode its test has.
const lead = 15 * time.Minute

// maxTaken bounds the readings of a test made of an episode.
const maxTaken = 100_000

// A taken is a reading of the past.
type taken struct {
	at time.Time
	reading
}

// TestFromEpisode makes a test of a real episode: its readings, from a quarter of
// an hour before it, on an even grid, and the events that they make. The test
// passes with the rules it was made with.
func TestFromEpisode(file *rules.File, program *rules.Program, inputs iter.Seq2[rules.Input, error], e Episode) (*rules.TestDef, error) {
	rule := file.Rule[e.Rule]
	if rule == nil {
		return nil, fmt.Errorf("there is no rule %q (take an episode of one that is)", e.Rule)
	}
	if rule.Across != "" {
		return nil, fmt.Errorf("%s is an alarm of several devices, and a test has the values of one (write it with steps)", e.Rule)
	}
	series, labels, err := gather(inputs, e, rule.Metric)
	if err != nil {
		return nil, err
	}
	def := &rules.TestDef{Rule: e.Rule, Device: e.Instance}
	if file.Device[e.Instance] == nil {
		def.Labels = maps.Clone(labels)
	}
	every := interval(series)
	def.Every, def.Values = rules.Duration(every), rules.Values{}
	for _, metric := range sortedKeys(series) {
		if first := series[metric][0].at; def.Start.IsZero() || first.Before(def.Start) {
			def.Start = first
		}
	}
	for _, metric := range sortedKeys(series) {
		text := grid(series[metric], def.Start, every)
		if len(series) == 1 && metric == rule.Metric {
			metric = ""
		}
		def.Values[metric] = text
	}
	result := Run(file, program, def, "generated")
	if result.Err != nil {
		return nil, fmt.Errorf("running the test that was made: %w", result.Err)
	}
	for _, ev := range result.Events {
		def.Expect = append(def.Expect, rules.TestExpect{
			At: rules.Duration(ev.At.Sub(def.Start)), Event: strings.TrimPrefix(string(ev.Type), "alarm."),
			Severity: ev.Alarm.Severity, Reason: ev.Reason,
		})
	}
	if len(def.Expect) == 0 {
		return nil, fmt.Errorf("the readings from %s to %s do not make %s fire again: it rested on what came before, on other devices, or on readings that were less than %v apart (write the test by hand)",
			result.Start.Format(time.RFC3339), result.End.Format(time.RFC3339), e.Rule, every)
	}
	return def, nil
}

// gather collects the readings of an episode's device by metric, in the order of
// their times; of all metrics if the rule does not name one.
func gather(inputs iter.Seq2[rules.Input, error], e Episode, metric string) (series map[string][]taken, labels map[string]string, err error) {
	series = map[string][]taken{}
	from, count := e.Started.Add(-lead), 0
	take := func(s *rules.Sample) {
		if s.Device != e.Instance || metric != "" && s.Metric != metric || s.At.Before(from) || !e.Ended.IsZero() && s.At.After(e.Ended) {
			return
		}
		count++
		labels = s.Labels
		r := reading{kind: s.Kind, num: s.Num, text: strings.Clone(s.Text), invalid: strings.Clone(s.Invalid)}
		name := strings.Clone(s.Metric)
		series[name] = append(series[name], taken{s.At, r})
	}
	for in, err := range inputs {
		if err != nil {
			return nil, nil, fmt.Errorf("reading what was recorded: %w", err)
		}
		if in.Sample != nil {
			take(in.Sample)
		}
		for i := range in.Batch {
			take(&in.Batch[i])
		}
		if count > maxTaken {
			return nil, nil, fmt.Errorf("the episode has more than %d readings (take a shorter one)", maxTaken)
		}
	}
	if count == 0 {
		return nil, nil, fmt.Errorf("no reading of %s is recorded around %s (take an episode that the history still has)", e.Instance, e.Started.Format(time.RFC3339))
	}
	for _, list := range series {
		slices.SortStableFunc(list, func(a, b taken) int { return a.at.Compare(b.at) })
	}
	return series, labels, nil
}

// interval is how far apart readings usually are, in whole seconds.
func interval(series map[string][]taken) time.Duration {
	var gaps []time.Duration
	for _, list := range series {
		for i := 1; i < len(list); i++ {
			if gap := list[i].at.Sub(list[i-1].at); gap > 0 {
				gaps = append(gaps, gap)
			}
		}
	}
	if len(gaps) == 0 {
		return time.Minute
	}
	slices.Sort(gaps)
	return max(time.Second, gaps[len(gaps)/2].Round(time.Second))
}

// grid writes readings as values that come at even times: in each turn the
// newest, and nothing where none came.
func grid(list []taken, start time.Time, every time.Duration) string {
	var turns []string
	for _, r := range list {
		turn := int(math.Round(float64(r.at.Sub(start)) / float64(every)))
		for len(turns) < turn && len(turns) < maxValues {
			turns = append(turns, "_")
		}
		if turn < len(turns) {
			turns[turn] = r.notation()
			continue
		}
		turns = append(turns, r.notation())
	}
	var b strings.Builder
	for i := 0; i < len(turns); {
		n := 1
		for i+n < len(turns) && turns[i+n] == turns[i] {
			n++
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(turns[i])
		if n > 1 {
			fmt.Fprintf(&b, "x%d", n)
		}
		i += n
	}
	return b.String()
}

// notation is a reading in the notation of series.
func (r reading) notation() string {
	switch {
	case r.missing:
		return "_"
	case r.invalid == "nan", r.invalid == "null":
		return r.invalid
	case r.invalid != "":
		return "err:" + r.invalid
	case r.kind == rules.Bool:
		return strconv.FormatBool(r.num != 0)
	case r.kind == rules.Number:
		return strconv.FormatFloat(r.num, 'g', -1, 64)
	}
	// A word is written as it is where it is read as it is.
	if list, err := parseValues(r.text); err == nil && len(list) == 1 && list[0] == r {
		return r.text
	}
	return strconv.Quote(r.text)
}

// WriteTOML writes a test as a rule file has it. Steps are not written: a test
// made of an episode has none.
func WriteTOML(w io.Writer, name string, def *rules.TestDef) error {
	if len(def.Step) > 0 {
		return errors.New("a test with steps cannot be written")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[test.%s]\n", quoted(name))
	key := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-6s = %s\n", name, value)
		}
	}
	text := func(name, value string) {
		if value != "" {
			key(name, quoted(value))
		}
	}
	text("rule", def.Rule)
	text("device", def.Device)
	text("type", def.Type)
	key("labels", inline(def.Labels))
	text("metric", def.Metric)
	if !def.Start.IsZero() {
		key("start", def.Start.UTC().Format(time.RFC3339Nano))
	}
	if def.Every > 0 {
		text("every", short(time.Duration(def.Every)))
	}
	if v, single := def.Values[""]; single && len(def.Values) == 1 {
		text("values", v)
	} else {
		key("values", inline(def.Values))
	}
	if def.Until != nil {
		text("until", short(time.Duration(*def.Until)))
	}
	b.WriteString("expect = [\n")
	for i := range def.Expect {
		e := &def.Expect[i]
		fields := []string{"at = " + quoted(short(time.Duration(e.At))), "event = " + quoted(e.Event)}
		for _, f := range [][2]string{
			{"rule", e.Rule}, {"device", e.Device}, {"severity", e.Severity.String()}, {"reason", e.Reason}, {"title", e.Title}, {"because", e.Because},
		} {
			if f[1] != "" {
				fields = append(fields, f[0]+" = "+quoted(f[1]))
			}
		}
		if e.To != nil {
			var to []string
			for _, name := range e.To {
				to = append(to, quoted(name))
			}
			fields = append(fields, "to = ["+strings.Join(to, ", ")+"]")
		}
		fmt.Fprintf(&b, "  { %s },\n", strings.Join(fields, ", "))
	}
	b.WriteString("]\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// inline writes a table of texts on one line; "" for none.
func inline[M ~map[string]string](m M) string {
	var parts []string
	for _, name := range sortedKeys(m) {
		parts = append(parts, quoted(name)+" = "+quoted(m[name]))
	}
	if len(parts) == 0 {
		return ""
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}

// quoted writes a TOML string; its escapes are not quite Go's.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case unicode.IsControl(r) || r == unicode.ReplacementChar:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
