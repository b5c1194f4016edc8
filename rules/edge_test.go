package rules

import "testing"

// An edge is a story in which something would end, by itself, at the moment at which
// a reading comes that goes on with it.
type edge struct {
	name, rules, story string
	want               []string
}

func edges() []edge {
	// A reading that has its place in a window has every alarm of its metric looked at.
	const many = "[rule.many]\nmetric = \"x\"\nagg = \"count\"\nover = \"1h\"\nabove = 1000\n"
	return []edge{
		{"average", "[rule.warm]\nmetric = \"x\"\nagg = \"avg\"\nover = \"2m\"\nabove = 2\n",
			"0s..4m/1m d x=3\n5m d x=0\n6m..12m/1m d x=9",
			[]string{"0s fired warning warm/d", "5m resolved warning warm/d", "6m fired warning warm/d"}},
		{"count", "[rule.few]\nmetric = \"x\"\nagg = \"count\"\nover = \"3m\"\nbelow = 3\n",
			"0s..12m/1m d x=1\n20m tick", []string{"13m fired warning few/d"}},
		{"expression of two messages", "[rule.few]\nwhen = \"count(x, '3m') + count(y, '3m') < 6\"\n",
			"0s..12m/1m d x=1\n0s..12m/1m d y=1\n20m tick", []string{"13m fired warning few/d"}},
		{"group of windows", "[rule.few]\nmetric = \"x\"\nagg = \"count\"\nover = \"3m\"\nbelow = 6\nacross = \"label:room\"\nreduce = \"sum\"\nfresh = \"1d\"\n",
			"0s..12m/1m a x=1 label:room=r\n0s..12m/1m b x=1 label:room=r\n20m tick", []string{"13m fired warning few/r"}},
		{"group of what is fresh", "[device.a]\nlabels = { room = \"r\" }\n[device.b]\nlabels = { room = \"r\" }\n" +
			"[rule.few]\nmetric = \"x\"\nacross = \"label:room\"\nreduce = \"count\"\nbelow = 2\nfresh = \"1m\"\nquorum = 1\nno_data = \"hold\"\n",
			"0s a x=1\n0s b x=1\n1m..12m/1m a x=1\n1m..11m/1m b x=1\n20m tick",
			[]string{"0s fired warning few/r", "0s resolved warning few/r", "12m fired warning few/r"}},
		{"repetitions", many + "[rule.often]\nmetric = \"x\"\nabove = 2\nrepeats = { count = 3, within = \"3m\" }\n",
			"1m..12m/1m batch d x -40s=1\n0s..12m/1m d x=3\n30s..690s/1m d x=1\n20m tick",
			[]string{"2m fired warning often/d", "13m resolved warning often/d"}},
		{"changes", many + "[rule.moves]\nmetric = \"x\"\nchanged = true\nhold = \"1m\"\n",
			"2m..12m/1m batch d x -70s=1\n0s..12m/2m d x=1\n1m..12m/2m d x=2\n20m tick",
			[]string{"1m fired warning moves/d", "13m resolved warning moves/d"}},
		{"silence", "[rule.gone]\nsilent = \"1m\"\n",
			"5m sleeping d\n6m unknown d\n0s..12m/1m d x=1\n20m tick", []string{"13m fired warning gone/d"}},
		{"readings that are none", many + "[rule.bad]\nmetric = \"x\"\ninvalid = { count = 3, within = \"3m\" }\n",
			"1m..12m/1m batch d x -40s=1\n30s..690s/1m d x=1\n0s..12m/1m d x=nan\n20m tick",
			[]string{"2m fired warning bad/d", "13m resolved warning bad/d"}},
	}
}

// What ends by itself at a moment ends when all has come that comes then: so a window
// as long as some readings are apart tells of no end and beginning at one moment,
// whoever looks in between, and wherever it stops.
func TestAReadingThatComesAsAnotherLeavesIsJudgedWithIt(t *testing.T) {
	for _, of := range edges() {
		t.Run(of.name, func(t *testing.T) {
			for _, between := range []string{"1m..11m/1m tick\n", "1m..11m/7s tick\n", "1m..11m/1m reload\n", "1m..11m/1m up plant\n", "2m d other=1\n"} {
				tell(t, of.rules, between+of.story, of.want...)
			}
			anywhere(t, of.rules, of.story, of.want...)
		})
	}
}

// What a message says of several devices, or of several moments, comes at once.
func TestAMessageIsWholeBeforeAReadingLeaves(t *testing.T) {
	anywhere(t, "[rule.few]\nmetric = \"x\"\nagg = \"count\"\nover = \"4m\"\nbelow = 3\n",
		"0s d x=1\n2m batch d x -1m=1 0s=1\n4m batch d x -1m=1 0s=1\n6m batch d x -1m=1 0s=1\n8m batch d x -1m=1 0s=1\n20m tick",
		"10m fired warning few/d")
}

// Of a late reading that leaves as it comes nothing is ever seen.
func TestALateReadingThatLeavesAsItComesChangesNothing(t *testing.T) {
	anywhere(t, "[rule.low]\nmetric = \"x\"\nagg = \"max\"\nover = \"3m\"\nbelow = 2\nbackfill = \"ignore\"\n",
		"0s d x=1\n1m batch d x -3m=5\n2m tick",
		"0s fired warning low/d")
}

// Before a gap a moment is over: nothing more comes then.
func TestWhatEndsAsAGapBeginsIsToldAsOfThen(t *testing.T) {
	anywhere(t, "[rule.gone]\nsilent = \"5m\"\n", "0s d x=1\n30m gap 25m\n31m tick", "5m fired warning gone/d")
}
