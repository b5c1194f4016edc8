package rules

import (
	"fmt"
	"testing"
	"time"
)

func TestLeavesReadWhatTOMLDecodes(t *testing.T) {
	rng := func(v any) string {
		var r Range
		if err := r.UnmarshalTOML(v); err != nil {
			return err.Error()
		}
		if r.High == nil {
			return r.Low.String()
		}
		return r.Low.String() + " to " + r.High.String()
	}
	scalar := func(v any) string {
		var s Scalar
		if err := s.UnmarshalTOML(v); err != nil {
			return err.Error()
		}
		return string(s)
	}
	scope := func(v any) string {
		var s Scope
		if err := s.UnmarshalTOML(v); err != nil {
			return err.Error()
		}
		return fmt.Sprint(s)
	}
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f(rng(int64(-15)), "-15")
	f(rng(1e6), "1e+06")
	f(rng("-15 °C"), "-15 °C")
	f(rng([]any{"2 °C", 8.5}), "2 °C to 8.5")
	f(rng([]any{1.0}), "has 1 values (a range has two: [low, high])")
	f(rng(true), `"true" is no quantity (a number, or a number and a unit such as "-15 °C")`)
	f(rng([]any{1.0, "x"}), `"x" is no quantity (a number, or a number and a unit such as "-15 °C")`)
	f(scalar(true), "true")
	f(scalar(int64(3)), "3")
	f(scalar("open"), "open")
	f(scalar(time.Time{}), "is a time.Time (a string, a number, true or false)")
	f(scope("*"), "[*]")
	f(scope([]any{"a", "type:b"}), "[a type:b]")
	f(scope([]any{1}), "holds a int (strings only)")
	f(scope(1), "is a int (a string or a list of strings)")
	var d Duration
	if err := d.UnmarshalText([]byte("1d12h")); err != nil || time.Duration(d) != 36*time.Hour {
		t.Errorf("1d12h is %v (%v)", d, err)
	}
	if err := d.UnmarshalText([]byte("5 minutes")); err == nil {
		t.Error("5 minutes is a duration")
	}
}

func TestDurationThatIsRefusedSaysWhy(t *testing.T) {
	f := func(s, want string) {
		t.Helper()
		v, err := ParseDuration(s)
		if got := fmt.Sprint(err); got != want {
			t.Errorf("%s is %v, error %s, want %s", s, v, got, want)
		}
	}
	const usual = ` ("90s", "10m", "1h30m" or "7d")`
	for _, s := range []string{"0", "0s", "1.5h", "106751d", "1d0.5h", "1h1m", "2562047h"} {
		f(s, "<nil>")
	}
	for _, s := range []string{"", "-", "5", "10 minutes", "d", "1dx", "--5s", "1d-2h", "1.5d", "x", "-x", "5 s", "1d5"} {
		f(s, fmt.Sprintf("%q is no duration", s)+usual)
	}
	for _, s := range []string{"-5s", "-1d", "-1d2h", "-99999999h"} {
		f(s, fmt.Sprintf("%q is negative, and a duration is not", s)+usual)
	}
	for _, s := range []string{"99999999h", "106752d", "106751d24h", "99999999999999999999d", "99999999999999999999s"} {
		f(s, fmt.Sprintf("%q is too long (a duration of up to 290 years)", s))
	}
}

func TestSilenceOfNoTimeIsRefused(t *testing.T) {
	var s Silent
	for text, ok := range map[string]bool{"auto": true, "15m": true, "0s": false, "-1m": false, "soon": false} {
		if err := s.UnmarshalText([]byte(text)); (err == nil) != ok {
			t.Errorf("silent = %q: %v", text, err)
		}
	}
}
func TestAnAgeMayBeAhead(t *testing.T) {
	for text, want := range map[string]time.Duration{"30s": 30 * time.Second, "-30s": -30 * time.Second, "-1d": -24 * time.Hour, "0s": 0} {
		var a Age
		if err := a.UnmarshalText([]byte(text)); err != nil || time.Duration(a) != want {
			t.Errorf("%s: %v, %v", text, a, err)
		}
	}
	for _, text := range []string{"", "-", "--30s", "30", "-9999999d"} {
		if err := new(Age).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
