package rules

import (
	"fmt"
	"testing"
	"time"
)

// How often a device reports is what was learned of it by its contacts, whoever asks
// for it meanwhile: somebody who wants an explanation, or a snapshot.
func TestWhoeverAsksHowOftenADeviceReportsChangesNothing(t *testing.T) {
	const rules = "[rule.hot]\nmetric = \"x\"\nabove = 2\n"
	story := func() (list []time.Duration) {
		at := time.Duration(0)
		for i := range 45 {
			list = append(list, at)
			if at += time.Minute; i >= 31 {
				at += 30 * time.Second
			}
		}
		return list
	}()
	f := func(name string, ask func(s *scene)) {
		t.Helper()
		s := newScene(t, rules)
		for i, at := range story {
			s.play(fmt.Sprintf("%v d x=%d", at, i/44*3))
			ask(s)
		}
		last := story[len(story)-1]
		s.play(fmt.Sprint(last+time.Hour, " tick"))
		if s.expect("50m30s fired warning hot/d", "53m30s stale warning hot/d"); t.Failed() {
			t.Fatal(name)
		}
	}
	f("nobody", func(*scene) {})
	f("an explanation", func(s *scene) { s.e.Explain("d", "", s.now) })
	f("a snapshot", func(s *scene) {
		for range s.e.Memory() {
			continue
		}
	})
	f("a restart", func(s *scene) { s.revive(s.e.program) })
}

// A device that begins to report more often is missed as soon as that is known, and
// not when it would have been missed before.
func TestADeviceThatReportsMoreOftenIsMissedSooner(t *testing.T) {
	anywhere(t, "[rule.gone]\nsilent = \"auto\"\n",
		"0s..10h/1h d x=1\n601m..630m/1m d x=1\n20h tick",
		"10h33m fired warning gone/d")
}
