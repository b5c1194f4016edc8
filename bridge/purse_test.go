package bridge

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// No span of the budget's time sees more than it has, whenever is asked and
// however often it is written down and read again; and one that has spent nothing
// for so long has all of it.
func TestBudgetHoldsInEveryStretchOfTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Budget{
			Events: rapid.IntRange(1, 50).Draw(t, "events"),
			Per:    time.Duration(rapid.Int64Range(int64(time.Minute), int64(31*24*time.Hour)).Draw(t, "per")),
		}
		var p purse
		now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
		var spent []time.Time
		for range 200 {
			n := min(p.left(now, b), rapid.IntRange(0, 10).Draw(t, "wanted"))
			p.Spent[0] += n
			for range n {
				spent = append(spent, now)
			}
			if i := len(spent) - 1; i >= b.Events && spent[i].Sub(spent[i-b.Events]) < b.Per {
				t.Fatalf("%d within %v", b.Events+1, spent[i].Sub(spent[i-b.Events]))
			}
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				text, err := json.Marshal(p)
				if err != nil {
					t.Fatal(err)
				}
				p = purse{}
				if err := json.Unmarshal(text, &p); err != nil {
					t.Fatal(err)
				}
			}
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(b.Per)/5).Draw(t, "later")))
		}
		if left := p.left(now.Add(b.Per+b.Per/purseSlots+1), b); left != b.Events {
			t.Fatalf("%d of %d are left when all is past", left, b.Events)
		}
	})
}

// A clock that is set, and a budget of another length, give nothing back.
func TestSpentBudgetStaysSpent(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	hour := Budget{Events: 10, Per: time.Hour}
	for name, then := range map[string]struct {
		at time.Time
		b  Budget
	}{
		"set back":      {now.Add(-24 * time.Hour), hour},
		"longer budget": {now, Budget{Events: 10, Per: 24 * time.Hour}},
		"shorter":       {now, Budget{Events: 10, Per: time.Minute}},
	} {
		var p purse
		p.left(now, hour)
		p.Spent[0] = 10
		if left := p.left(then.at, then.b); left != 0 {
			t.Errorf("%s: %d are left", name, left)
		}
		if left := p.left(then.at.Add(2*then.b.Per), then.b); left != 10 {
			t.Errorf("%s: later %d are left", name, left)
		}
	}
}
