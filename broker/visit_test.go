package broker

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestWatchShowsWhatComesByUntilItIsStopped(t *testing.T) {
	m := startMosquitto(t)
	d := device(t, m.addr, "dev")
	if token := d.Publish("plant/a", 1, true, "kept"); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	var seen []string
	err := Watch(ctx, ClientOptions{URL: "mqtt://" + m.addr, ClientID: "look", Topics: []string{"plant/#"}}, func(m Message) {
		seen = append(seen, m.Topic+" "+string(m.Payload))
		switch {
		case len(seen) > 1:
			stop()
		case !m.Retained || m.Received.IsZero():
			t.Errorf("a retained message is seen as %+v", m)
		default:
			d.Publish("plant/b", 1, false, "live")
		}
	})
	if want := "plant/a kept, plant/b live"; err != nil || strings.Join(seen, ", ") != want {
		t.Errorf("saw %q (%v), want %q", seen, err, want)
	}
}

func TestWatchSaysWhyItSeesNothing(t *testing.T) {
	e := serve(t, EmbeddedOptions{Users: oneUser(t, "d", nil, []string{"mine/#"})}, safe)
	url := "mqtt://" + e.Addrs()[0].String()
	take := func(Message) { t.Error("a message was seen") }
	err := Watch(t.Context(), ClientOptions{URL: url, ClientID: "look", Username: "d", Password: "secret", Topics: []string{"#"}}, take)
	if !errors.Is(err, ErrNotAllowed) {
		t.Errorf("a topic that is not ours: %v", err)
	}
	if err := Watch(t.Context(), ClientOptions{URL: url, ClientID: "look", Username: "d", Password: "wrong", Topics: []string{"mine/#"}}, take); err == nil || !strings.Contains(err.Error(), "does not let us in") {
		t.Errorf("a wrong password: %v", err)
	}
}
