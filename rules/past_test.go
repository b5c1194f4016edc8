package rules

import "testing"

func TestAPastEpisodeIsToldOnce(t *testing.T) {
	batch := "30m batch d temperature -25m=1 -20m=11 -19m=12 -15m=2 -10m=1 0s=1"
	tell(t, hotOnly, "0s d temperature=1\n"+batch+"\n31m d temperature=1\n"+"31m batch d temperature -26m=1 -21m=11 -20m=12 -16m=2 -11m=1 0s=1",
		"30m occurred warning hot/d reason=cleared from=10m to=15m")
	tell(t, hotOnly+"backfill = \"ignore\"\n", "0s d temperature=1\n"+batch)
}

func TestAPastEpisodeThatIsOpenGoesOn(t *testing.T) {
	tell(t, hotOnly, "0s d temperature=1\n30m batch d temperature -25m=1 -20m=11 -15m=12 0s=12\n31m d temperature=1",
		"30m fired warning hot/d", "31m resolved warning hot/d")
}

func TestReadingsThatComeOneByOneFromThePastAreAnEpisodeToo(t *testing.T) {
	tell(t, hotOnly, `
		0s d temperature=1
		30m d temperature=1
		30m1s d temperature=11 age=20m1s +historical
		30m2s d temperature=12 age=15m2s +historical
		30m3s d temperature=1 age=10m3s +historical
		31m d temperature=1
		32m d temperature=1`,
		"31m occurred warning hot/d reason=cleared from=10m to=20m")
}

// What older readings of a message begin, and the newest do not end, is told with
// the message, whoever looks at them.
func TestAnEpisodeOfAGroupThatIsOpenIsToldWithItsMessage(t *testing.T) {
	tell(t, hot+`[rule.room]
across = "label:room"
metric = "temperature"
reduce = "max"
above = 10
fresh = "1h"
`, "0s d label:room=r temperature=1\n30m batch d temperature -25m=1 -20m=11\n40m d temperature=1",
		"30m fired warning room/r", "40m resolved warning room/r")
}

// A logger that connects again, says how it is, and sends what it had kept after
// that.
func TestAnEpisodeOfThePastEndsWithTheReadingThatCameAfterIt(t *testing.T) {
	tell(t, hotOnly, "0s d temperature=1\n30m d temperature=1\n31m batch d temperature -26m=11 -21m=12 -17m=11",
		"31m occurred warning hot/d reason=cleared from=5m to=30m")
	tell(t, hotOnly, "0s d temperature=1\n30m d temperature=11\n31m batch d temperature -26m=11 -21m=12 -17m=11",
		"30m fired warning hot/d") // and goes on
}
