package simulate

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TOCSIN_SEEDS=n tries so many seeds, TOCSIN_TORTURE=1 a thousand others, and
// TOCSIN_SEED=n that one, TOCSIN_STEPS=n only its first steps.

func number(t *testing.T, name string) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s=%s is no number", name, text)
	}
	return n
}

// run makes a plan happen, in a bubble of its own.
func run(t *testing.T, p plan) (broken, story []string) {
	t.Helper()
	ok := t.Run(fmt.Sprintf("seed %d, %d steps", p.seed, len(p.steps)), func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { broken, story = newWorld(t, p).live() })
	})
	if !ok && len(broken) == 0 {
		broken = []string{"the harness: see above"}
	}
	return broken, story
}

// shorten finds how many of a plan's steps still break it.
func shorten(t *testing.T, p plan, broken []string) (plan, []string) {
	t.Helper()
	low, high := 0, len(p.steps) // high breaks it
	for low < high {
		middle := (low + high) / 2
		q := p
		q.steps = p.steps[:middle]
		if b, _ := run(t, q); len(b) > 0 {
			high, broken, p = middle, b, q
		} else {
			low = middle + 1
		}
	}
	return p, broken
}

func TestWhateverHappensThePromisesHold(t *testing.T) {
	if seed := number(t, "TOCSIN_SEED"); seed != 0 {
		p := drawPlan(uint64(seed))
		if n := number(t, "TOCSIN_STEPS"); n > 0 {
			p.steps = p.steps[:min(n, len(p.steps))]
		}
		broken, story := run(t, p)
		t.Logf("trace %s\n%s", sum(story), p.String())
		for _, b := range broken {
			t.Error(b)
		}
		return
	}
	first, seeds := uint64(1), 20
	switch n := number(t, "TOCSIN_SEEDS"); {
	case n > 0:
		seeds = n
	case os.Getenv("TOCSIN_TORTURE") != "":
		first, seeds = uint64(time.Now().Unix()), 1_000
	case testing.Short():
		seeds = 3
	}
	for seed := first; seed < first+uint64(seeds); seed++ {
		p := drawPlan(seed)
		broken, _ := run(t, p)
		if len(broken) == 0 {
			continue
		}
		p, broken = shorten(t, p, broken)
		t.Fatalf("%s\n%s\nTOCSIN_SEED=%d TOCSIN_STEPS=%d go test -run TestWhateverHappensThePromisesHold ./bridge/simulate", strings.Join(broken, "\n"), p.String(), seed, len(p.steps))
	}
}

// One seed is one story, to the byte: who was told what, when, and under which id. So
// a line that repeats a failure does repeat it, and an id is no matter of chance.
func TestTheSameSeedIsTheSameStory(t *testing.T) {
	seeds := 20
	if testing.Short() {
		seeds = 2
	}
	for seed := uint64(1); seed <= uint64(seeds); seed++ {
		p := drawPlan(seed)
		_, first := run(t, p)
		_, second := run(t, p)
		if i := differ(first, second); i >= 0 {
			t.Errorf("I3 the same inputs, the same events: seed %d was %s and is %s, from\n%s\n%s\non", seed, sum(first), sum(second), at(first, i), at(second, i))
		}
	}
}

// differ is where two stories begin to differ; -1: nowhere.
func differ(a, b []string) int {
	for i := range max(len(a), len(b)) {
		if at(a, i) != at(b, i) {
			return i
		}
	}
	return -1
}

func at(story []string, i int) string {
	if i < len(story) {
		return story[i]
	}
	return "its end"
}
