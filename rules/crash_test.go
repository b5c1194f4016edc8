package rules

import (
	"encoding/json"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// crash replaces the engine by one that knows what a crash leaves behind: the
// last transition of each alarm, as stored, and the inputs that are recorded.
// Nobody listened while it was down.
func (r *run) crash(p *Program, past []Input, down *Gap) {
	r.t.Helper()
	e := NewEngine(p, Options{})
	for _, in := range past {
		e.Rehearse(in)
	}
	for _, text := range sortedBytes(r.stored) {
		var s State
		if err := json.Unmarshal(text, &s); err != nil {
			r.t.Fatal(err)
		}
		e.Restore(s)
	}
	e.Resume(down.From, down.To)
	r.e = e
	r.step(Input{Now: down.To})
}

// sortedBytes are what a map holds, in order of its keys.
func sortedBytes(m map[string][]byte) [][]byte {
	var list [][]byte
	for _, key := range sortedKeys(m) {
		list = append(list, m[key])
	}
	return list
}

func sortedKeys(m map[string][]byte) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// I1 and I2 over crashes, whatever is lost in them.
func TestWhateverTheRulesEveryEpisodeIsToldWholeOverCrashes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		file, p := drawFile(t)
		story := drawInputs(t, storyLength)
		r := begun(t, p)
		past := []Input{{Now: start}}
		for _, in := range story {
			r.step(in)
			past = append(past, in)
			if rapid.IntRange(0, 4).Draw(t, "crash") == 4 {
				r.crash(p, past, &Gap{in.Now, in.Now})
			}
		}
		later(story, r)
		checkWhole(t, r, file, story)
		checkStandings(t, r)
	})
}
