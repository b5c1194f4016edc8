package rules

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// restartAnywhere plays a story, and then with a clean restart after each thing that
// happens in it: what is told is the same.
func restartAnywhere(t *testing.T, rules, story string, want ...string) {
	t.Helper()
	s := tell(t, rules, "0s tick\n"+story, want...)
	told := s.bodies()
	for at := range s.inputs {
		r := newRun(t, s.e.program, Options{})
		for i, in := range s.inputs {
			r.step(in)
			if i == at {
				r.revive(s.e.program)
			}
		}
		if got := r.bodies(); !slices.Equal(got, told) {
			t.Errorf("%s\nrestart after %d: told\n  %s\nwant\n  %s", story, at, strings.Join(got, "\n  "), strings.Join(told, "\n  "))
			return
		}
	}
}

// anywhere is both, a restart and a crash.
func anywhere(t *testing.T, rules, story string, want ...string) {
	t.Helper()
	restartAnywhere(t, rules, story, slices.Clone(want)...)
	crashAnywhere(t, rules, story, want...)
}

// Who was told of an alarm is told its end, though its device has moved and the
// bridge was restarted since: the rule has not changed.
func TestARestartCancelsNoAlarmOfADeviceThatMoved(t *testing.T) {
	anywhere(t, "[rule.hot]\ndevices = \"label:room=r\"\nmetric = \"x\"\nabove = 2\n", `
		0s d x=3 label:room=r
		1m d x=4 label:room=s
		2m d x=1 label:room=s
		3m d x=5 label:room=s`,
		"0s fired warning hot/d", "2m resolved warning hot/d")
}

// A rule that labels disable and enable again looks at the newest reading as soon
// as it is enabled, whichever metric brought the labels.
func TestARuleThatLabelsEnableAgainLooksAtOnce(t *testing.T) {
	const rules = "[rule.hot]\nmetric = \"x\"\nabove = 2\n[rule.hot.override.\"label:room=s\"]\nenabled = false\n"
	anywhere(t, rules, `
		0s d x=3 label:room=r
		1m d y=0 label:room=s
		2m d x=4
		3m d y=0 label:room=r
		4m d x=1`,
		"0s fired warning hot/d", "1m cancelled warning hot/d reason=rule_disabled", "3m fired warning hot/d", "4m resolved warning hot/d")
	anywhere(t, rules, `
		0s d x=3 label:room=s
		1m d y=0 label:room=r`,
		"1m fired warning hot/d")
}

func TestARuleThatLooksAtADeviceAgainLooksAtOnce(t *testing.T) {
	anywhere(t, "[rule.hot]\ndevices = \"label:room=r\"\nmetric = \"x\"\nabove = 2\n[rule.other]\nmetric = \"x\"\nabove = 9\n", `
		0s d x=1 label:room=r
		1m d x=3 label:room=s
		2m d y=0 label:room=r`,
		"2m fired warning hot/d")
	anywhere(t, "[rule.gone]\ndevices = \"label:room=r\"\nsilent = \"5m\"\n", `
		0s d x=1 label:room=r
		1m d x=1 label:room=s
		20m d x=3 label:room=r
		26m tick`,
		"25m fired warning gone/d")
}

// What an alarm has to wait for holds while labels disable its rule.
func TestACooldownOutlastsThatARuleIsDisabled(t *testing.T) {
	anywhere(t, "[rule.hot]\nmetric = \"x\"\nabove = 2\ncooldown = \"15m\"\n[rule.hot.override.\"label:room=s\"]\nenabled = false\n", `
		0s d x=3 label:room=r
		1m d x=3 label:room=s
		2m d x=3 label:room=r
		20m tick`,
		"0s fired warning hot/d", "1m cancelled warning hot/d reason=rule_disabled", "15m fired warning hot/d")
}

// Windows hold what came while labels disabled the rule, or selected it for another
// length.
func TestAWindowOutlastsThatLabelsAskForAnother(t *testing.T) {
	anywhere(t, "[rule.busy]\nmetric = \"x\"\nagg = \"max\"\nover = \"5m\"\nabove = 2\n[rule.busy.override.\"label:room=s\"]\nover = \"20m\"\n", `
		0s d x=3 label:room=s
		1m d x=1 label:room=s
		6m d x=1 label:room=r
		7m d x=1 label:room=s`,
		"0s fired warning busy/d", "6m resolved warning busy/d", "7m fired warning busy/d")
	anywhere(t, "[rule.few]\nmetric = \"x\"\nagg = \"count\"\nover = \"5m\"\nbelow = 2\n[rule.few.override.\"label:room=s\"]\nenabled = false\n", `
		0s d x=3 label:room=r
		1m d x=3 label:room=s
		8m d x=3 label:room=s
		9m d x=3 label:room=r
		14m tick`,
		"13m fired warning few/d")
}

// What was cancelled has been told: a reading of the past that has the time judged
// anew does not tell of it as of an episode that nobody heard of.
func TestACancelledEpisodeIsNotToldAgainAsOneOfThePast(t *testing.T) {
	anywhere(t, "[defaults]\nlate = \"0s\"\n[device.d]\nevery = \"1m\"\n[rule.hot]\nmetric = \"x\"\nabove = 2\n[rule.hot.override.\"label:room=s\"]\nenabled = false\n", `
		0s d x=1 label:room=r
		1m d x=1 label:room=r
		20m d x=3 label:room=r
		21m d x=3 label:room=s
		22m d x=1 label:room=s
		23m d x=1 label:room=r
		24m d x=4 label:room=r
		25m d x=1 label:room=r
		26m d x=1 age=16m label:room=r
		27m d x=1 label:room=r`,
		"20m fired warning hot/d", "21m cancelled warning hot/d reason=rule_disabled", "24m fired warning hot/d", "25m resolved warning hot/d")
}

func TestARuleThatIsEnabledByAnOverrideIsRestored(t *testing.T) {
	anywhere(t, "[rule.hot]\nenabled = false\nmetric = \"x\"\nabove = 2\n[rule.hot.override.d]\nenabled = true\n", `
		0s d x=3
		1m d x=1`,
		"0s fired warning hot/d", "1m resolved warning hot/d")
}

// A reading counts once, though it brings the labels that change its rule.
func TestAReadingThatBringsLabelsCountsOnce(t *testing.T) {
	anywhere(t, "[rule.hot]\nmetric = \"x\"\nabove = 2\nrepeats = { count = 2, within = \"1h\" }\n[rule.hot.override.\"label:room=s\"]\nenabled = false\n", `
		0s d x=1 label:room=s
		1m d x=3 label:room=r
		2m d x=1 label:room=r
		3m d x=3 label:room=r`,
		"3m fired warning hot/d")
	anywhere(t, "[metric.x]\nkind = \"event\"\ntype = \"text\"\n[rule.hot]\nmetric = \"x\"\nis = \"on\"\nrepeats = { count = 2, within = \"1h\" }\n[rule.hot.override.\"label:room=s\"]\nenabled = false\n", `
		0s d x=off label:room=s
		1m d x=on label:room=r
		3m d x=on label:room=r`,
		"3m fired warning hot/d")
}

func TestAnEpisodeThatIsMutedIsCountedOnce(t *testing.T) {
	s := newScene(t, "[device.a]\nlabels = { room = \"r\" }\n[schedule.night]\nhours = [\"00:00-06:00\"]\n[rule.room]\nacross = \"label:room\"\nmetric = \"x\"\nreduce = \"max\"\nabove = 2\nquorum = 1\nschedule = \"night\"\n")
	s.play("0s b x=3 label:room=r\n1s restart\n2m batch a x -10m=1 0s=1")
	if got := s.e.Health()[0].Muted; got != 1 {
		t.Errorf("counted %d times, want once", got)
	}
}

// drawMoves draws a file whose rules labels select, change and disable, and a story
// in which they go to and fro, within messages too.
func drawMoves(t *rapid.T) (string, *Program, []Input) {
	text := fmt.Sprintf(drawnHead, rapid.SampledFrom([]string{"0s", "1m", "3m"}).Draw(t, "late"), "false", "false") + "[rule.base]\nmetric = \"level\"\nabove = 2\n"
	var kinds []string
	for _, c := range conditions {
		if strings.HasPrefix(c, "across") {
			kinds = append(kinds, c)
		}
	}
	kinds = append(kinds, conditions[:]...) // groups twice
	program := compileText(text)
	for i := range rapid.IntRange(1, 3).Draw(t, "rules") {
		id := fmt.Sprint("r", i)
		more := text + "[rule." + id + "]\n" + rapid.SampledFrom(kinds).Draw(t, "condition") + "\n"
		for _, add := range []string{drawBehaviour(t), "[rule." + id + ".override.\"label:room=s\"]\nenabled = false\n"} {
			if p := compileText(more + add); p != nil {
				more, program = more+add, p
			} else if p := compileText(more); p != nil {
				program = p
			}
		}
		text = more
	}
	now := start
	var story []Input
	for range rapid.IntRange(1, 8).Draw(t, "inputs") {
		now = now.Add(rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute, 2 * time.Minute, 6 * time.Minute}).Draw(t, "wait"))
		in, device := Input{Now: now}, rapid.SampledFrom([]string{"c", "c", "c", "b"}).Draw(t, "device")
		for range rapid.IntRange(1, 5).Draw(t, "size") {
			s := drawSample(t, device, now)
			s.At = now.Add(-rapid.SampledFrom([]time.Duration{0, 0, 0, time.Minute, 2 * time.Minute, 5 * time.Minute}).Draw(t, "ago"))
			in.Batch = append(in.Batch, *s)
		}
		story = append(story, in)
	}
	return text, program, story
}

// I4 where labels go to and fro.
func TestWhereverADeviceMovesARestartChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		file, p, story := drawMoves(t)
		a, b, c := begun(t, p), begun(t, p), newCrashing(t, p)
		how := ""
		for i, in := range story {
			a.step(in)
			b.step(in)
			c.step(in)
			switch rapid.IntRange(0, 5).Draw(t, "restart") {
			case 3:
				c.snapshot()
				how += fmt.Sprint(" snapshot after ", i+1)
			case 4:
				b.revive(p)
				how += fmt.Sprint(" restart after ", i+1)
			case 5:
				c.crash(p)
				how += fmt.Sprint(" crash after ", i+1)
			}
		}
		later(story, a, b, c.run)
		differ(t, file, story, how, a.bodies(), b.bodies())
		differ(t, file, story, how, a.health(), b.health())
		differ(t, file, story, how, a.decisions(), c.decisions())
		checkStandings(t, b)
		checkStandings(t, c.run)
	})
}
