package broker

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Connections are answered side by side, and a batch of messages at QoS 0 ends well
// whatever became of them. Operators are told twice of one outage: when it begins,
// and when it is over.
func TestAcceptanceIsToldWhenItLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		e, err := newEmbedded(EmbeddedOptions{Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		e.wait = func(r Receipt) error { return r(t.Context()) }
		answered := func(verdicts ...error) { // a batch at QoS 0, which has no answer to take back
			c := &conn{broker: e}
			for _, v := range verdicts {
				c.pending = append(c.pending, pending{receipt: func(context.Context) error { return v }})
			}
			if err := c.settle(); err != nil {
				t.Error(err)
			}
		}
		told := func(when string, refused, again int) {
			t.Helper()
			r, a := strings.Count(log.String(), "messages are refused"), strings.Count(log.String(), "messages are accepted again")
			if r != refused || a != again {
				t.Errorf("%s: told %d times of refusals and %d times of acceptance, want %d and %d:\n%s", when, r, a, refused, again, log.String())
			}
		}
		answered(nil)
		told("all is well", 0, 0)
		for i := range 5 {
			answered(errDisk)
			answered(nil) // was handed over before
			told(fmt.Sprint("refusal ", i), 1, 0)
		}
		for range 5 {
			time.Sleep(2 * time.Second)
			answered(errDisk, errDisk)
			told("refused at QoS 0", 1, 0)
		}
		time.Sleep(2 * time.Second)
		answered(nil)
		told("accepted", 1, 1)
		answered(nil)
		told("accepted for long", 1, 1)
		answered(errDisk)
		told("refused once more", 2, 1)
	})
}
