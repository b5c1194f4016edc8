package rules

import (
	"fmt"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"pgregory.net/rapid"
)

// Random rule files of every family and behaviour, and random stories for them.

// drawnHead is what every drawn file declares.
const drawnHead = `
[defaults]
notify = ["ops"]
late = "%s"
max_rate = %s
[metric.door]
type = "text"
[metric.pulses]
kind = "counter"
type = "number"
[metric.button]
kind = "event"
type = "text"
[metric.level]
type = "number"
range = [-50.0, 50.0]
[device.gw]
every = "1m"
[device.a]
every = "1m"
max_rate = %s
via = "gw"
labels = { room = "r" }
[device.b]
labels = { room = "r" }
via = "gw"
[schedule.shift]
hours = ["00:00-14:10", "14:30-15:00", "16:00-24:00"]
[schedule.open]
hours = ["00:00-14:20", "14:40-24:00"]
outside = "off"
`

// conditions are one of each family, and some of the same.
var conditions = [...]string{
	"metric = \"level\"\nabove = 3\nclear = 1",
	"metric = \"level\"\nat_most = -3",
	"metric = \"level\"\noutside = [-4, 4]\nclear = [-2, 2]",
	"metric = \"door\"\nis = \"open\"",
	"metric = \"door\"\nin = [\"open\", \"ajar\"]\nclear_is = \"shut\"",
	"metric = \"door\"\nmatches = \"^(open|ajar)$\"",
	"metric = \"door\"\nchanged = true\nhold = \"5m\"",
	"metric = \"level\"\nincreased_by = 3\nhold = \"2m\"",
	"metric = \"level\"\nrate_above = \"0.5 /min\"\nover = \"10m\"\nmin_samples = 3",
	"metric = \"level\"\ndelta_below = -2\nover = \"5m\"",
	"metric = \"pulses\"\ndelta_above = 5\nover = \"5m\"",
	"metric = \"level\"\nagg = \"avg\"\nover = \"5m\"\nabove = 2\nclear = 1",
	"metric = \"level\"\nagg = \"p90\"\nover = \"10m\"\nmin_samples = 3\nabove = 3",
	"metric = \"level\"\nagg = \"count\"\nover = \"5m\"\nbelow = 2",
	"metric = \"level\"\nagg = \"spread\"\nover = \"5m\"\nabove = 4",
	"metric = \"level\"\ndeviates = { method = \"mad\", by = 3.0, baseline = \"1h\", min_history = \"3m\" }\nclear = 2.0",
	"silent = \"5m\"\nexplain_by = \"via\"",
	"silent = \"auto\"\nunless = [\"sleeping\"]",
	"metric = \"level\"\nflat = { for = \"5m\", within = 0.5 }",
	"metric = \"level\"\ninvalid = { count = 2, within = \"10m\" }",
	"skew = \"2m\"",
	"metric = \"level\"\nabove = 2\nrepeats = { count = 2, within = \"10m\" }",
	"metric = \"button\"\nis = \"double\"\nrepeats = { count = 2, within = \"5m\" }",
	"across = \"label:room\"\nmetric = \"level\"\nreduce = \"median\"\nabove = 1\nclear = 0\nfresh = \"5m\"\nquorum = 1",
	"across = \"label:room\"\nmetric = \"level\"\nreduce = \"max\"\nagg = \"avg\"\nover = \"5m\"\nabove = 2",
	"across = \"label:room\"\nwhen = \"share_firing(base) >= 50%\"",
	"across = \"label:room\"\nwhen = \"count_firing(base) >= 2\"",
	"when = \"level > 2 and door == 'open'\"\nclear = \"level < 1\"",
	"when = \"avg(level, '5m') > 1 or (changed(door) and door == 'open')\"",
	"when = \"firing(base) and level > 2\"\nfresh = \"10m\"",
	"when = \"age(level) > 120\"",
	"when = \"count(level, '5m') < 2\"",
	"metric = \"level\"\nagg = \"sum\"\nover = \"5m\"\nbelow = 2",
}

// drawBehaviour draws what a rule's alarms do once they are under way.
func drawBehaviour(t *rapid.T) string {
	var b strings.Builder
	for _, line := range [...]string{
		`for = "2m"`, "for = \"5m\"\nfor_share = \"60%\"", `clear_for = "3m"`, `samples = 2`, `clear_samples = 2`,
		`cooldown = "15m"`, `renotify = ["5m", "20m"]`, `latch = true`, `schedule = "shift"`, `schedule = { not = "shift" }`, `schedule = "open"`,
		`no_data = "fire"`, `no_data = "resolve"`, `stale_after = "4m"`, `suppress_if = ["base"]`,
		`devices = "label:room=r"`, `retained = "use"`, `retained = "ignore"`, `backfill = "ignore"`, `shadow = true`,
	} {
		key, _, _ := strings.Cut(line, " ")
		if rapid.IntRange(0, 5).Draw(t, line) == 5 && !strings.Contains("\n"+b.String(), "\n"+key+" ") {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// drawTables draws the tables of a rule.
func drawTables(t *rapid.T, id, condition string) string {
	var b strings.Builder
	for name, table := range [...]string{
		"escalate.unacked]\nafter = \"10m\"\nseverity = \"critical\"\nnotify = [\"oncall\"]",
		"flap]\nchanges = 3\nwithin = \"15m\"\nhold = \"10m\"",
		"level.major]\nfor = \"6m\"",
		"override.b]\nfor = \"1m\"",
		"override.\"label:room=s\"]\nenabled = false",
		"override.\"label:room=s\"]\nover = \"8m\"",
	} {
		if rapid.IntRange(0, 4).Draw(t, fmt.Sprint("table ", name)) == 4 {
			b.WriteString("[rule." + id + "." + table + "\n")
		}
	}
	return b.String()
}

// drawFile draws a rule file, as written, and its program. A rule that the
// compiler refuses is left out; rule base, which others ask for, is always there.
func drawFile(t *rapid.T) (string, *Program) {
	rate := rapid.SampledFrom([]string{`false`, `false`, `"1/h"`, `"2/min"`, `"50/s"`})
	text := fmt.Sprintf(drawnHead, rapid.SampledFrom([]string{"0s", "1m", "3m"}).Draw(t, "late"), rate.Draw(t, "max_rate"), rate.Draw(t, "max_rate of a"))
	if rapid.IntRange(0, 3).Draw(t, "maintenance") == 3 {
		text += "[maintenance.m]\ndevices = [\"a\"]\nfrom = 2026-11-06T14:05:00Z\nto = 2026-11-06T14:35:00Z\n"
	}
	if rapid.IntRange(0, 3).Draw(t, "flood") == 3 {
		text += "[flood]\nstart = { events = 2, within = \"10m\" }\nstop = { events = 1, within = \"10m\" }\npass = [\"critical\"]\ndigest = \"1m\"\n"
	}
	text += "[rule.base]\nmetric = \"level\"\nabove = 2\n"
	program := compileText(text)
	if program == nil {
		t.Fatalf("refused: %s", text)
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "rules") {
		id := fmt.Sprint("r", i)
		condition := rapid.SampledFrom(conditions[:]).Draw(t, "condition")
		more := text + "[rule." + id + "]\n" + condition + "\n"
		for _, add := range []string{drawBehaviour(t), drawTables(t, id, condition)} {
			if p := compileText(more + add); p != nil {
				more, program = more+add, p
			} else if p := compileText(more); p != nil {
				program = p
			}
		}
		text = more
	}
	return text, program
}

// compileText is nil for a file that is refused.
func compileText(text string) *Program {
	f := new(File)
	if _, err := toml.Decode(text, f); err != nil {
		return nil
	}
	p, _ := Compile(f)
	return p
}

// drawInputs draws a story of one to n things that happen. Times never run
// backwards, unless a gap says so.
func drawInputs(t *rapid.T, n int) []Input {
	waits := rapid.SampledFrom([]time.Duration{0, 40 * time.Millisecond, time.Second, 20 * time.Second, time.Minute, time.Minute, time.Minute, 2 * time.Minute, 6 * time.Minute, 25 * time.Minute})
	now := start
	var list []Input
	for range rapid.IntRange(1, n).Draw(t, "inputs") {
		wait := waits.Draw(t, "wait")
		now = now.Add(wait)
		switch gap := rapid.IntRange(0, 39).Draw(t, "gap"); {
		case gap == 39:
			back := now.Add(-rapid.SampledFrom([]time.Duration{time.Second, time.Minute, 10 * time.Minute}).Draw(t, "back"))
			list = append(list, Input{Now: back, Gap: &Gap{now, back}})
			now = back
		case gap > 35 && wait > 0:
			from := now.Add(-rapid.SampledFrom([]time.Duration{wait, wait / 2}).Draw(t, "deaf"))
			list = append(list, Input{Now: now, Gap: &Gap{from, now}})
		default:
			list = append(list, drawInput(t, now))
		}
	}
	return list
}

// listened is until when somebody listened before an input.
func listened(in Input) time.Time {
	if in.Gap != nil {
		return in.Gap.From
	}
	return in.Now
}

func drawInput(t *rapid.T, now time.Time) Input {
	in := Input{Now: now}
	device := rapid.SampledFrom([]string{"a", "a", "b", "c", "gw"}).Draw(t, "device")
	switch kind := rapid.IntRange(0, 20).Draw(t, "kind"); kind {
	case 20:
		in.Batch = drawBurst(t, device, now)
	case 18, 19:
		in.Presence = &Presence{Source: sourceOf(device), Device: device, At: now, Status: rapid.SampledFrom([]Status{Online, Offline, Lost, Sleeping}).Draw(t, "status"), Reason: rapid.SampledFrom([]string{"", "keep-alive expired"}).Draw(t, "reason")}
	case 17:
		in.Link = &Link{Source: rapid.SampledFrom([]string{"plant", "plant", "office"}).Draw(t, "source"), Connected: rapid.Bool().Draw(t, "connected")}
	case 14, 15, 16:
		key := rapid.SampledFrom([]string{"base", "r0", "r1", "r2"}).Draw(t, "rule") + "/" + rapid.SampledFrom([]string{"a", "b", "c", "r"}).Draw(t, "instance")
		in.Command = &Command{Verb: rapid.SampledFrom([]Verb{Ack, Unack, Shelve, Unshelve, Reset}).Draw(t, "verb"), Key: key, By: "ann", Until: now.Add(10 * time.Minute)}
	case 12, 13:
		for range rapid.IntRange(1, 6).Draw(t, "size") {
			s := drawSample(t, device, now)
			s.At = now.Add(-time.Duration(rapid.IntRange(0, 20).Draw(t, "ago")) * time.Minute)
			in.Batch = append(in.Batch, *s)
		}
	default:
		in.Sample = drawSample(t, device, now)
	}
	return in
}

// sourceOf is what hears a device of a story.
func sourceOf(device string) string {
	if device == "b" {
		return "office"
	}
	return "plant"
}

// drawBurst draws more readings in one message than a bound lets through. They
// have one topic, and so the same labels.
func drawBurst(t *rapid.T, device string, now time.Time) []Sample {
	var list []Sample
	for ago := rapid.IntRange(2, 20).Draw(t, "burst"); ago > 0; ago-- {
		s := drawSample(t, device, now)
		if s.Flags == 0 && s.At.Equal(now) {
			s.At = now.Add(-time.Duration(ago) * 7 * time.Millisecond)
		}
		if len(list) > 0 {
			s.Labels = list[0].Labels
		}
		list = append(list, *s)
	}
	return list
}

// drawSample draws one reading of a device.
func drawSample(t *rapid.T, device string, now time.Time) *Sample {
	s := reading(now, 0.0)
	s.Device, s.Source = device, sourceOf(device)
	if device == "c" {
		s.Labels = map[string]string{"room": rapid.SampledFrom([]string{"r", "r", "s"}).Draw(t, "room")}
	}
	s.Metric = rapid.SampledFrom([]string{"level", "level", "level", "door", "pulses", "button"}).Draw(t, "metric")
	switch s.Metric {
	case "level":
		s.Num = rapid.SampledFrom([]float64{-5, -3, 0, 0, 1, 2.5, 3.5, 5, 99, nan()}).Draw(t, "level")
	case "door":
		s.Kind, s.Text = Text, rapid.SampledFrom([]string{"shut", "ajar", "open"}).Draw(t, "door")
	case "button":
		s.Kind, s.Text = Text, rapid.SampledFrom([]string{"single", "double"}).Draw(t, "button")
	default:
		s.Num = float64(rapid.IntRange(0, 9).Draw(t, "pulses"))
	}
	switch rapid.IntRange(0, 14).Draw(t, "special") {
	case 14:
		s.Flags = rapid.SampledFrom([]Flags{Retained, Dup, Historical}).Draw(t, "flags")
	case 13:
		s.At = now.Add(-rapid.SampledFrom([]time.Duration{time.Second, 30 * time.Second, 2 * time.Minute, time.Hour, -30 * time.Second}).Draw(t, "age"))
	case 12:
		s.Clock = ClockArrival
	}
	return s
}

// tellInputs writes a story for people.
func tellInputs(list []Input) string {
	var b strings.Builder
	for _, in := range list {
		fmt.Fprintf(&b, "\n  %s ", written(in.Now.Sub(start)))
		one := func(s *Sample) {
			fmt.Fprintf(&b, " %s %s=%v%s", s.Device, s.Metric, s.Num, s.Text)
			if age := in.Now.Sub(s.At); age != 0 {
				fmt.Fprintf(&b, " age=%v", age)
			}
			if s.Flags != 0 || s.Clock != ClockDevice {
				fmt.Fprintf(&b, " flags=%d clock=%v", s.Flags, s.Clock)
			}
			if len(s.Labels) > 0 {
				fmt.Fprint(&b, " ", s.Labels)
			}
		}
		switch {
		case in.Sample != nil:
			one(in.Sample)
		case in.Gap != nil:
			fmt.Fprintf(&b, " nobody listened for %v", in.Gap.To.Sub(in.Gap.From))
		case in.Presence != nil:
			fmt.Fprintf(&b, " %v %s", in.Presence.Status, in.Presence.Device)
		case in.Link != nil:
			fmt.Fprintf(&b, " %s connected %v", in.Link.Source, in.Link.Connected)
		case in.Command != nil:
			fmt.Fprintf(&b, " %s %s", in.Command.Verb, in.Command.Key)
		}
		for i := range in.Batch {
			one(&in.Batch[i])
		}
	}
	return b.String()
}
