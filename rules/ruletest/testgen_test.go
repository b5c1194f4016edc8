package ruletest

import (
	"strings"
	"testing"
	"time"

	"tocsin/rules"
)

func TestTestMadeOfAnEpisodePassesAndIsWrittenShort(t *testing.T) {
	f := cold(t)
	p := compile(t, f)
	inputs := recorded(t, "freezer-03", "-20x60 -14x3 _x2 -14x9 85 -20x60 -14x5")
	report, err := Backtest(f, p, inputs)
	if err != nil || len(report.Rules[0].List) != 1 {
		t.Fatalf("got %+v, %v; want one episode", report, err)
	}
	def, err := TestFromEpisode(f, p, inputs, report.Rules[0].List[0])
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := WriteTOML(&b, `freezer "03"`, def); err != nil {
		t.Fatal(err)
	}
	want := `[test."freezer \"03\""]
rule   = "freezer-warm"
device = "freezer-03"
labels = { "site" = "lyon" }
start  = 2026-11-06T14:45:00Z
every  = "1m"
values = "-20x15 -14x3 _x2 -14x9 85 -20x6"
expect = [
  { at = "25m", event = "fired", severity = "warning" },
  { at = "35m", event = "resolved", severity = "warning", reason = "cleared" },
]
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if r := Run(f, p, def, "again"); !r.Passed() || len(r.Events) != 2 {
		t.Error(r.String())
	}
}

func TestEveryReadingSurvivesTheNotation(t *testing.T) {
	readings := []reading{
		{num: -14.25}, {num: 1e-9}, {num: 1e21}, {kind: rules.Bool, num: 1}, {kind: rules.Bool}, {missing: true},
		{invalid: "nan"}, {invalid: "null"}, {invalid: "code"},
		{kind: rules.Text, text: "open"}, {kind: rules.Text, text: "a b"}, {kind: rules.Text, text: "linux2"}, {kind: rules.Text, text: "true"},
		{kind: rules.Text, text: "5"}, {kind: rules.Text, text: `"`}, {kind: rules.Text, text: ""}, {kind: rules.Text, text: "nan"}, {kind: rules.Text, text: "été\n\x00"},
	}
	for _, r := range readings {
		for _, suffix := range []string{"", "x1"} {
			list, err := parseValues(r.notation() + suffix)
			if err != nil || len(list) != 1 || list[0] != r {
				t.Errorf("%+v is written %s and read %+v, %v", r, r.notation()+suffix, list, err)
			}
		}
	}
}

func TestReadingsOffTheGridTakeTheNearestTurn(t *testing.T) {
	var list []taken
	for _, s := range []float64{0, 61, 118, 119, 300, 361} {
		list = append(list, taken{begun.Add(time.Duration(s) * time.Second), reading{num: s}})
	}
	if got, want := grid(list, begun, time.Minute), "0 61 119 _x2 300 361"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := interval(map[string][]taken{"t": list}); got != 61*time.Second {
		t.Errorf("interval is %s, want the median gap", got)
	}
}

func TestEpisodeThatCannotBeATestSaysWhy(t *testing.T) {
	f := cold(t)
	p := compile(t, f)
	for _, c := range []struct {
		e    Episode
		want string
	}{
		{Episode{Rule: "gone"}, `there is no rule "gone"`},
		{Episode{Rule: "freezer-warm", Instance: "freezer-99", Started: begun}, "no reading of freezer-99 is recorded"},
		{Episode{Rule: "freezer-warm", Instance: "freezer-03", Started: begun}, "do not make freezer-warm fire again"},
	} {
		if _, err := TestFromEpisode(f, p, recorded(t, "freezer-03", "-20x5"), c.e); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %s", c.e, err, c.want)
		}
	}
}
