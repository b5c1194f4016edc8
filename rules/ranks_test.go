package rules_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawRush draws a window's worth of readings and more: rushes of readings with
// pauses between, in which they leave and nothing comes.
func drawRush(t *rapid.T) []arrival {
	now := origin.UnixNano()
	values := rapid.Float64Range(0, 4)
	var list []arrival
	for range rapid.IntRange(1, 4).Draw(t, "rushes") {
		every := rapid.SampledFrom([]time.Duration{time.Second, 3 * time.Second, 7 * time.Second}).Draw(t, "every")
		high := rapid.SampledFrom([]float64{0, 0, 0, 3, 6}).Draw(t, "high")
		for range rapid.IntRange(1, 60).Draw(t, "n") {
			now += int64(every)
			list = append(list, arrival{now, now, values.Draw(t, "value") + high})
		}
		now += int64(rapid.SampledFrom([]time.Duration{0, 20 * time.Second, 2 * time.Minute, 10 * time.Minute}).Draw(t, "pause"))
	}
	return list
}

// An alarm that waits for as many readings to leave as may matter fires and ends at
// the very moments at which one does that is looked at whenever one leaves.
func TestAlarmIsLookedAtWhenEnoughReadingsHaveLeft(t *testing.T) {
	left, fired := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		fn := rapid.SampledFrom([]string{"min", "median", "p90", "max"}).Draw(t, "fn")
		over := rapid.SampledFrom([]time.Duration{30 * time.Second, 2 * time.Minute, 5 * time.Minute}).Draw(t, "over")
		limit := float64(rapid.IntRange(4, 32).Draw(t, "limit")) / 4
		hold := rapid.SampledFrom([]time.Duration{0, 0, 20 * time.Second}).Draw(t, "for")
		m := model{fn: fn, over: int64(over), hold: int64(hold), stale: int64(time.Hour), late: int64(2 * time.Minute)}
		op := rapid.SampledFrom([]string{"above", "below"}).Draw(t, "op")
		m.fires = func(v float64) bool { return op == "above" && v > limit || op == "below" && v < limit }
		m.clears = func(v float64) bool { return !m.fires(v) }
		text := fmt.Sprintf("schema = 1\n[rule.r]\nmetric = \"m\"\nnotify = [\"ops\"]\nagg = %q\nover = %q\n%s = %g\nfor = %q\nstale_after = \"1h\"\n", fn, over, op, limit, hold)
		list := drawRush(t)
		end := list[len(list)-1].came + int64(2*time.Hour)
		got, want := judged(compileText(t, text), list, end), m.judge(list, end)
		for _, turn := range want {
			fired++
			if turn.fired && !slices.ContainsFunc(list, func(a arrival) bool { return a.came == turn.at-int64(hold) }) {
				left++
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%s\nreadings %s\nengine %v\nmodel  %v", text, spell(list, 0), got, want)
		}
	})
	if left == 0 && !t.Failed() {
		t.Errorf("of %d alarms none began because readings left", fired)
	}
	t.Logf("%d turns, %d of them because readings left", fired, left)
}
