package bridge

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestAClockThatIsOffIsToldOnceAndSoIsItsEnd(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	var s skewed
	f := func(skew time.Duration, status int, want string) {
		t.Helper()
		out.Reset()
		s.observe(log, skew, status)
		if got := out.String(); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s after status %d: told %q, want %q", skew, status, got, want)
		}
	}
	f(0, 200, "")
	f(time.Minute, 200, "")
	f(time.Minute+time.Second, 500, "ahead=1m1s")
	f(2*time.Minute, 200, "")
	f(0, 0, "") // no answer
	f(0, 200, "agree again")
	f(-2*time.Minute, 401, "ahead=-2m0s")
	f(-time.Minute, 200, "agree again")
	f(0, 200, "")
}
