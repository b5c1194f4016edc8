package history

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tocsin/rules"
)

// childVariable names what this binary does when it is run again, as a process
// that may be killed.
const childVariable = "TOCSIN_HISTORY_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) == "append" {
		os.Exit(appendForEver(os.Args[1]))
	}
	os.Exit(m.Run())
}

func open(t testing.TB, dir string, change ...func(*Options)) *Log {
	t.Helper()
	o := Options{Path: dir, MinFree: -1}
	for _, c := range change {
		c(&o)
	}
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.lock.Close() })
	return l
}

func shut(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// reading makes an input of a fleet that reports one after the other.
func reading(i int) rules.Input {
	at := time.Unix(1_800_000_000, 0).Add(time.Duration(i) * time.Second).UTC()
	return rules.Input{Now: at, Sample: &rules.Sample{
		Source: "plant", Device: fmt.Sprint("device-", i%100), Metric: "temperature",
		Num: float64(i), At: at, Received: at,
	}}
}

// number is which reading an input is.
func number(in rules.Input) int { return int(in.Sample.Num) }

// clone makes an input of its own memory: that of a reader is used again.
func clone(in rules.Input) rules.Input {
	if in.Sample != nil {
		s := *in.Sample
		s.Labels = maps.Clone(s.Labels)
		in.Sample = &s
	}
	if in.Batch != nil {
		in.Batch = append([]rules.Sample{}, in.Batch...)
		for i := range in.Batch {
			in.Batch[i].Labels = maps.Clone(in.Batch[i].Labels)
		}
	}
	in.Presence, in.Link, in.Command, in.Gap = copied(in.Presence), copied(in.Link), copied(in.Command), copied(in.Gap)
	return in
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// collect reads to the end. Problems are returned apart.
func collect(t testing.TB, all iter.Seq2[rules.Input, error]) (inputs []rules.Input, problems []*Problem) {
	t.Helper()
	for in, err := range all {
		var p *Problem
		switch {
		case errors.As(err, &p):
			problems = append(problems, p)
		case err != nil:
			t.Fatal(err)
		default:
			inputs = append(inputs, clone(in))
		}
	}
	return inputs, problems
}

// numbers are the readings that were read.
func numbers(t testing.TB, all iter.Seq2[rules.Input, error]) (got []int, problems []*Problem) {
	t.Helper()
	inputs, problems := collect(t, all)
	for _, in := range inputs {
		got = append(got, number(in))
	}
	return got, problems
}

func upTo(from, to int) []int {
	var all []int
	for i := from; i < to; i++ {
		all = append(all, i)
	}
	return all
}

func wantNumbers(t testing.TB, all iter.Seq2[rules.Input, error], want []int) {
	t.Helper()
	got, problems := numbers(t, all)
	if len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("read %s, want %s", short(got), short(want))
	}
}

func short(n []int) string {
	if len(n) == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%d inputs from %d to %d", len(n), n[0], n[len(n)-1])
}

// exactly compares to the bit.
func exactly() cmp.Options {
	return cmp.Options{
		cmp.Comparer(func(a, b time.Time) bool { return a.UTC() == b.UTC() && b.Location() == time.UTC }),
		cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }),
	}
}

func segmentFiles(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func ctx() context.Context { return context.Background() }
