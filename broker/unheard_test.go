package broker

import (
	"context"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// A broker that cannot be reached any more, though no connection has broken, is
// noticed before a device behind it can be taken for silent, and one that has nothing
// to say is not taken for that.
func TestBrokerOutOfReachIsNoticedWithoutABrokenConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := NewClient(ClientOptions{URL: "mqtt://broker:1883", ClientID: "tocsin", Topics: []string{"plants/#"}})
		if err != nil {
			t.Fatal(err)
		}
		cut := make(chan struct{})
		var connections atomic.Int32
		c.open = func(context.Context, *url.URL) (net.Conn, error) {
			ours, theirs := net.Pipe()
			if connections.Add(1) == 1 {
				go answerUntil(cut, theirs)
			} else {
				go answerUntil(nil, theirs)
			}
			return ours, nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx, func(Message) Receipt { return nil }) }()

		for range 120 {
			time.Sleep(time.Second)
			if err := c.Ready(); err != nil {
				t.Fatalf("a broker without messages: %v", err)
			}
		}
		close(cut)
		noticed := error(nil)
		for end := time.Now().Add(unheardTime + time.Second); noticed == nil && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			noticed = c.Ready()
		}
		if noticed == nil || !strings.Contains(noticed.Error(), "network") {
			t.Errorf("%v after the network was cut: %v", unheardTime+time.Second, noticed)
		}
		time.Sleep(10 * time.Second)
		if err := c.Ready(); err != nil || connections.Load() != 2 {
			t.Errorf("%d connections, and %v: the first is to be given up, and the second is well", connections.Load(), err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Whoever shares our client id may take the session before the broker has answered
// what we subscribe to. That too is a connection that ended right after it was made.
func TestConnectionsThatEndBeforeTheirSubscriptionAreRecognised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		c, err := NewClient(ClientOptions{URL: "mqtt://broker:1883", ClientID: "tocsin", Topics: []string{"plants/#"}, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		c.open = func(context.Context, *url.URL) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				if _, err := packets.ReadPacket(theirs); err != nil {
					return
				}
				if packets.NewControlPacket(packets.Connack).Write(theirs) == nil {
					_, _ = packets.ReadPacket(theirs)
				}
			}()
			return ours, nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		if err := c.Run(ctx, func(Message) Receipt { return nil }); err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "another process uses this client id"); n != 1 {
			t.Errorf("it is told %d times:\n%s", n, log.String())
		}
		time.Sleep(time.Minute) // until the library's goroutines are gone too
	})
}

// answerUntil is a broker that answers everything until the network is cut: then
// bytes go nowhere.
func answerUntil(cut <-chan struct{}, conn net.Conn) {
	defer conn.Close()
	for {
		p, err := packets.ReadPacket(conn)
		if err != nil {
			return
		}
		select {
		case <-cut:
			continue
		default:
		}
		var answer packets.ControlPacket
		switch p := p.(type) {
		case *packets.ConnectPacket:
			answer = packets.NewControlPacket(packets.Connack)
		case *packets.SubscribePacket:
			ack := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
			ack.MessageID, ack.ReturnCodes = p.MessageID, []byte{1}
			answer = ack
		case *packets.PingreqPacket:
			answer = packets.NewControlPacket(packets.Pingresp)
		}
		if answer != nil && answer.Write(conn) != nil {
			return
		}
	}
}
