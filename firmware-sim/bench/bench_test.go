package bench

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) {
	flag.Bool("update", false, "has nothing to write here")
	goleak.VerifyTestMain(m, goleak.Cleanup(os.Exit))
}

// A taker is a broker that counts what it takes.
type taker struct {
	mochi.HookBase
	mu     sync.Mutex
	topics map[string]int
	seqs   map[string]uint64
	wrong  string
	size   int
}

func (k *taker) Provides(b byte) bool {
	return b == mochi.OnPublish || b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck
}

func (k *taker) OnConnectAuthenticate(_ *mochi.Client, pk packets.Packet) bool {
	return string(pk.Connect.Password) != "wrong"
}

func (k *taker) OnACLCheck(*mochi.Client, string, bool) bool { return true }

func (k *taker) OnPublish(_ *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	var v struct {
		Seq uint64 `json:"seq"`
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := json.Unmarshal(pk.Payload, &v); err != nil || v.Seq != k.seqs[pk.TopicName]+1 || len(pk.Payload) != k.size {
		k.wrong = string(pk.Payload)
	}
	k.seqs[pk.TopicName] = v.Seq
	k.topics[pk.TopicName]++
	return pk, nil
}

func broker(t *testing.T, size int) (*taker, string) {
	t.Helper()
	k := &taker{topics: make(map[string]int), seqs: make(map[string]uint64), size: size}
	server := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	l := listeners.NewTCP(listeners.Config{ID: "t", Address: "127.0.0.1:0"})
	for _, err := range []error{server.AddHook(k, nil), server.AddListener(l), server.Serve()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return k, "mqtt://" + l.Address()
}

func TestWhatIsAcknowledgedWasTaken(t *testing.T) {
	f := func(name string, o Options) {
		t.Run(name, func(t *testing.T) {
			k, address := broker(t, orElse(o.Size, 200))
			o.Broker, o.Duration = address, 300*time.Millisecond
			r, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			k.mu.Lock()
			defer k.mu.Unlock()
			took := uint64(0)
			for _, n := range k.topics {
				took += uint64(n)
			}
			if r.Sent == 0 || r.Broken != 0 || k.wrong != "" {
				t.Errorf("%+v, %v; wrong: %q", r.Sent, r.FirstError, k.wrong)
			}
			if took != r.Sent {
				t.Errorf("sent %d, taken %d", r.Sent, took)
			}
			if o.QoS > 0 && (r.Acked != r.Sent || r.Latencies.Count() != r.Acked) {
				t.Errorf("sent %d, acknowledged %d, taken %d, %d latencies", r.Sent, r.Acked, took, r.Latencies.Count())
			}
			if o.QoS > 0 && len(k.topics) != max(1, o.Conns) {
				t.Errorf("topics %v, want %d", k.topics, o.Conns)
			}
			if o.Rate > 0 && (float64(r.Sent) > o.Rate*0.3+1) {
				t.Errorf("%d sent, want %v a second", r.Sent, o.Rate)
			}
		})
	}
	f("QoS 0", Options{QoS: 0, Conns: 2, Size: 40})
	f("QoS 1, devices", Options{QoS: 1, Conns: 20})
	f("QoS 1, gateways", Options{QoS: 1, Conns: 2, Window: 64, Size: 1000})
	f("QoS 2", Options{QoS: 2, Conns: 3, Window: 4})
	f("at a rate", Options{QoS: 1, Conns: 5, Rate: 500})
	f("large", Options{QoS: 1, Size: 100_000})
}

func TestBenchRefusesWithAReason(t *testing.T) {
	_, address := broker(t, 200)
	f := func(o Options, want string) {
		t.Helper()
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
	f(Options{Broker: "http://x"}, "not a broker's address")
	f(Options{QoS: 3}, "qos 3")
	f(Options{Conns: -1}, "conns -1")
	f(Options{Size: 3}, "size 3")
	f(Options{Window: 1 << 20}, "window 1048576")
	f(Options{Rate: math.NaN()}, "rate NaN")
	f(Options{Duration: -1}, "negative")
	f(Options{Topic: "a/+/%d"}, `topic "a/+/%d": is not one`)
	f(Options{Topic: "a/%s"}, "is not one")
	f(Options{Broker: address, Username: "me", Password: "wrong"}, "refuses it with code")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	f(Options{Broker: "mqtt://" + ln.Addr().String()}, "connection 1 of 1 to 127.0.0.1:")
}

func TestBrokenConnectionsAreCounted(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				_, _ = c.Write([]byte{connack, 2, 0, 0})
				_, _ = io.ReadFull(c, make([]byte, 200)) // the CONNECT and a part of a message
				_ = c.Close()
			})
		}
	})
	r, err := Run(t.Context(), Options{Broker: "mqtt://" + ln.Addr().String(), QoS: 1, Conns: 3, Duration: time.Minute})
	if err != nil || r.Broken != 3 || r.FirstError == nil {
		t.Errorf("%+v, %v; want three broken", r.Broken, err)
	}
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	serving.Wait()
}

func TestEndedContextEndsTheBench(t *testing.T) {
	_, address := broker(t, 200)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if r, err := Run(ctx, Options{Broker: address, QoS: 1, Duration: time.Hour}); err != nil || r.Broken != 0 {
		t.Errorf("%+v, %v; want an end without an error", r.Broken, err)
	}
}

func TestLimitIsWhoeverHadNoTimeToSpare(t *testing.T) {
	f := func(want Limit, o Options, r Result, latencies ...time.Duration) {
		t.Helper()
		var rec recorder
		for _, d := range latencies {
			rec.record(d)
		}
		r.Latencies, r.Took, r.Cores, o.Conns = rec.histogram(), 10*time.Second, 2, 4
		if got, seen := r.limit(&o); got != want || seen == "" {
			t.Errorf("%+v, %+v: %s (%s), want %s", o, r.CPU, got, seen, want)
		}
	}
	s, ms := time.Second, time.Millisecond
	one := Options{QoS: 1}
	f(OfBroker, one, Result{Acked: 1e6, CPU: 5 * s, Waited: 38 * s}, ms, 10*ms, 20*ms)
	f(OfBroker, one, Result{})
	f(OfBroker, Options{}, Result{Sent: 1e6, CPU: 5 * s, Waited: 38 * s})
	f(OfWindow, one, Result{Acked: 1e6, CPU: 5 * s, Waited: 38 * s}, ms, 2*ms, 20*ms)
	f(OfProgram, one, Result{Acked: 1e6, CPU: 5 * s, Waited: 19 * s}, ms, 10*ms, 20*ms)
	f(OfProgram, one, Result{Acked: 1e6, CPU: 11 * s, Waited: 38 * s}, ms, 10*ms, 20*ms)
	f(OfProgram, Options{}, Result{Sent: 1e6, CPU: 15 * s, Waited: 38 * s})
	f(OfRate, Options{QoS: 1, Rate: 1000}, Result{Acked: 9_950}, ms)
	f(OfBroker, Options{QoS: 1, Rate: 1000}, Result{Acked: 5_000, CPU: s, Waited: 38 * s}, ms, 10*ms, 20*ms)
}

// A percentile is never too short, and at most a sixteenth too long.
func TestPercentilesAreClose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, math.MaxInt64/2).Draw(t, "d"))
		var r recorder
		r.record(d)
		r.record(math.MaxInt64 / 2)
		h := r.histogram()
		if got := h.Percentile(50); got < d || float64(got) > float64(d)*17/16+1 {
			t.Fatalf("%d is counted as %d", d, got)
		}
	})
	var r recorder
	for i := range 1000 {
		r.record(time.Duration(i+1) * time.Millisecond)
	}
	h := r.histogram()
	for p, want := range map[float64]float64{50: 500, 99: 990, 100: 1000} {
		if got := float64(h.Percentile(p)) / 1e6; got < want || got > want*17/16 {
			t.Errorf("p%v is %v, want %v", p, got, want)
		}
	}
}
