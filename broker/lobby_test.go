package broker

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// arriveFrom connects through a pipe as from an address.
func arriveFrom(t *testing.T, e *Embedded, from string) *wire {
	t.Helper()
	g, err := e.lobby.arrive(t.Context(), netip.MustParseAddr(from))
	if err != nil {
		t.Fatal(err)
	}
	client, server := net.Pipe()
	e.work.Go(func() { e.serve(t.Context(), &listener{name: "mqtt"}, server, g) })
	return newWire(t, client)
}

func TestSilentConnectionsKeepNobodyOut(t *testing.T) {
	inBubble(t, EmbeddedOptions{}, safe, func(t *testing.T, e *Embedded, dial func() *wire) {
		begin := time.Now()
		for range 2 * lobbySize {
			defer arriveFrom(t, e, "10.0.0.1").Close()
		}
		synctest.Wait()
		for _, from := range []string{"10.0.0.1", "10.0.0.2"} {
			w := arriveFrom(t, e, from)
			defer w.Close()
			if code, _ := w.hello(hello{id: from, clean: true}); code != 0 || time.Since(begin) != 0 {
				t.Errorf("%s: code %d after %v", from, code, time.Since(begin))
			}
		}
	})
}

func TestOneAddressLeavesPlacesToOthers(t *testing.T) {
	inBubble(t, EmbeddedOptions{}, safe, func(t *testing.T, e *Embedded, dial func() *wire) {
		begin := time.Now()
		for range 2 * lobbySize {
			w := arriveFrom(t, e, "10.0.0.1")
			defer w.Close()
			w.send([]byte{tConnect << 4}) // and no more
		}
		synctest.Wait()
		w := arriveFrom(t, e, "10.0.0.2")
		defer w.Close()
		if code, _ := w.hello(hello{id: "d1", clean: true}); code != 0 || time.Since(begin) != 0 {
			t.Errorf("code %d after %v", code, time.Since(begin))
		}
		time.Sleep(lobbyWait + connectTime)
		synctest.Wait()
		if n := len(e.lobby.door); n != 0 {
			t.Errorf("%d are still on their way in", n)
		}
	})
}

func TestNoAddressCrowdsTheDoor(t *testing.T) {
	l := newLobby(doorSize)
	one, other := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	var guests []*guest
	for range doorSize / shareOf {
		g, err := l.arrive(t.Context(), one)
		if err != nil {
			t.Fatal(err)
		}
		guests = append(guests, g)
	}
	if _, err := l.arrive(t.Context(), one); err != errCrowd {
		t.Errorf("error %v", err)
	}
	g, err := l.arrive(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range append(guests, g) {
		_ = g.enter(canceled()) // whether it does or not
		g.leave()
	}
	if len(l.shares) != 0 || len(l.door) != 0 || len(l.places) != 0 {
		t.Errorf("left behind: %d shares, %d at the door, %d in the lobby", len(l.shares), len(l.door), len(l.places))
	}
}

// Where files are few, the door is smaller, and so is the share of an address.
func TestNoAddressCrowdsASmallDoor(t *testing.T) {
	l := newLobby(8)
	one, other := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	for i, want := range []error{nil, nil, errCrowd} {
		if _, err := l.arrive(t.Context(), one); err != want {
			t.Errorf("connection %d: error %v, want %v", i, err, want)
		}
	}
	if _, err := l.arrive(t.Context(), other); err != nil {
		t.Error(err)
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// A gateway, or a fleet under test, is one address.
func TestThousandClientsOfOneAddressConnectAtOnce(t *testing.T) {
	e := serve(t, EmbeddedOptions{Users: oneUser(t, "d", []string{"#"}, nil)}, safe)
	var all sync.WaitGroup
	for i := range 1000 {
		w := dialWire(t, e)
		all.Go(func() {
			h := hello{id: fmt.Sprintf("d%d", i), clean: true, user: "d", pass: "secret"}
			_, _ = w.Write(connectPacket(h))
			if kind, body, err := w.receive(); err != nil || kind != tConnack || body[1] != 0 {
				t.Errorf("%s: kind %d (% x), %v", h.id, kind, body, err)
			}
		})
	}
	all.Wait()
	if n := len(e.lobby.door); n != 0 {
		t.Errorf("%d are still on their way in", n)
	}
}
