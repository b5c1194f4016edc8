package main

import (
	"strings"
	"testing"
	"time"

	"tocsin/bridge"
	"tocsin/bridge/api"
)

// What a device sent reaches no terminal as it is.
func TestRejectedInputIsShownSafely(t *testing.T) {
	var b strings.Builder
	list := rejected{Since: time.Now(), Rejects: []api.RejectView{
		{Reject: bridge.Reject{Source: "plant", Reason: "json", Count: 12, LastHour: 3, Last: time.Now(), Topic: "plant/\x1b[2Jx", Detail: "no document"}},
		{Reject: bridge.Reject{Reason: "late", Count: 1, Last: time.Now(), Device: "a", Metric: "temperature", Topic: "plant/a"}},
	}}
	if err := writeRejected(&b, list); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"SOURCE", "plant   json    12", "no document", "a temperature"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "\x1b") {
		t.Error("an escape sequence is printed")
	}
	b.Reset()
	if err := writeRejected(&b, rejected{}); err != nil || !strings.Contains(b.String(), "all input was used") {
		t.Errorf("%q, %v", b.String(), err)
	}
}
