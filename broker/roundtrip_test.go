package broker

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestRoundTripComesBackOrSaysWhyNot(t *testing.T) {
	e := serve(t, EmbeddedOptions{Users: oneUser(t, "d", []string{"try/here", "try/blind"}, []string{"try/here"})}, safe)
	embedded := "mqtt://" + e.Addrs()[0].String()
	m := startMosquitto(t)
	for _, tt := range []struct {
		options ClientOptions
		topic   string
		want    string // "": it comes back
	}{
		{options: ClientOptions{URL: "mqtt://" + m.addr}, topic: "try/here"},
		{options: ClientOptions{URL: embedded, Username: "d", Password: "secret"}, topic: "try/here"},
		{options: ClientOptions{URL: embedded, Username: "d", Password: "wrong"}, topic: "try/here", want: "does not let us in"},
		{options: ClientOptions{URL: embedded, Username: "d", Password: "secret"}, topic: "try/blind", want: "subscribing to try/blind: "},
		{options: ClientOptions{URL: "mqtt://" + freeAddress(t)}, topic: "try/here", want: "connection refused"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		tt.options.ClientID = "doctor"
		took, err := RoundTrip(ctx, tt.options, tt.topic)
		cancel()
		switch {
		case tt.want == "" && (err != nil || took <= 0):
			t.Errorf("%s: %v, after %v", tt.options.URL, err, took)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s %s: %v, want %q", tt.options.URL, tt.topic, err, tt.want)
		}
		if tt.topic == "try/blind" && !errors.Is(err, ErrNotAllowed) {
			t.Errorf("%v is no ErrNotAllowed", err)
		}
	}
}

func TestRoundTripLeavesNoSessionBehind(t *testing.T) {
	m := startMosquitto(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := RoundTrip(ctx, ClientOptions{URL: "mqtt://" + m.addr, ClientID: "doctor"}, "try"); err != nil {
		t.Fatal(err)
	}
	d := device(t, m.addr, "other")
	if token := d.Publish("try", 1, false, "x"); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	got := newCollector()
	subscribeUntil(t, ClientOptions{URL: "mqtt://" + m.addr, ClientID: "doctor", Topics: []string{"end"}}, got.handle)
	if token := d.Publish("end", 1, false, "x"); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	if first := got.next(t); first.Topic != "end" {
		t.Errorf("the broker kept a message for the round trip's session: %s", first.Topic)
	}
}
