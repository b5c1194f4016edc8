package rules

import "testing"

// A broker sends what it retains again with each subscription of ours.
func TestARetainedReadingThatComesAgainIsNoNews(t *testing.T) {
	const leak = `
	[rule.leak]
	metric = "leak"
	above = 0
	retained = "use"
	`
	const twice = leak + "samples = 2\n"
	tell(t, leak, `
		0m d leak=1 age=1h +retained
		1m d leak=1 age=61m +retained
		2m restart
		2m d leak=1 age=62m +retained
		3m d leak=0`,
		"0s fired warning leak/d", "3m resolved warning leak/d")
	tell(t, twice, `
		0m d leak=1 age=1h +retained
		1m d leak=1 age=61m +retained
		2m restart
		2m d leak=1 age=62m +retained`)
	tell(t, twice, `
		0m d leak=1 +retained clock=arrival
		1m d leak=1 +retained clock=arrival
		2m restart
		2m d leak=1 +retained clock=arrival`)
	tell(t, twice, `
		0m d leak=1 clock=arrival
		1m d leak=1 +retained clock=arrival`) // what the broker retains is what came
	tell(t, twice, `
		0m d leak=1 age=1h +retained
		1m d leak=1 age=5m +retained`,
		"1m fired warning leak/d") // another reading is
	tell(t, twice, `
		0m d leak=1 +retained clock=arrival
		1m d leak=1`,
		"1m fired warning leak/d") // and so is the same one live
	tell(t, leak, `
		0m d leak=1
		1m d leak=0
		20m d leak=1 age=20m +retained`, // older than what is known
		"0s fired warning leak/d", "1m resolved warning leak/d")
}

// What came without a stamp after something else was live may have been published
// meanwhile.
func TestARetainedReadingAfterALiveOneIsUsedAgain(t *testing.T) {
	tell(t, `
	[rule.leak]
	metric = "leak"
	above = 0
	retained = "use"
	`, `
		0m d leak=1 +retained clock=arrival
		1m d leak=0 clock=arrival
		2m d leak=1 +retained clock=arrival
		3m d leak=1 +retained clock=arrival`,
		"0s fired warning leak/d", "1m resolved warning leak/d", "2m fired warning leak/d")
}

// A stamp of its device's own says how old a reading is, whoever kept it.
func TestARetainedReadingThatIsStampedLatelyIsAReading(t *testing.T) {
	const hot = `
	[rule.hot]
	metric = "temperature"
	above = 30
	stale_after = "5m"
	`
	tell(t, hot, `0m d temperature=31 age=1m +retained`, "0s fired warning hot/d")
	tell(t, hot, `0m d temperature=31 age=6m +retained`)
	tell(t, hot, `0m d temperature=31 +retained clock=arrival`)
	tell(t, hot+"retained = \"ignore\"\n", `0m d temperature=31 age=1m +retained`)
	tell(t, hot+"for = \"2m\"\n", `
		0m d temperature=31 age=1m +retained
		3m tick`, "2m fired warning hot/d")
}
