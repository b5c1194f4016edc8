package sim

import (
	"bytes"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// A heard is what a real broker took.
type heard struct {
	mochi.HookBase
	mu       sync.Mutex
	payloads []string
	cutAt    int // disconnect the client of each such message, after it was taken
}

func (h *heard) Provides(b byte) bool {
	return b == mochi.OnPublish || b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck
}

func (h *heard) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }

func (h *heard) OnACLCheck(*mochi.Client, string, bool) bool { return true }

func (h *heard) OnPublish(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.payloads = append(h.payloads, string(pk.Payload))
	if h.cutAt > 0 && len(h.payloads)%h.cutAt == 0 {
		cl.Stop(packets.ErrServerShuttingDown)
	}
	return pk, nil
}

// broker starts mochi on a port of its own.
func broker(t *testing.T, h *heard) (address string) {
	t.Helper()
	server := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	l := listeners.NewTCP(listeners.Config{ID: "t", Address: "127.0.0.1:0"})
	for _, err := range []error{
		server.AddHook(h, nil),
		server.AddListener(l),
		server.Serve(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return "mqtt://" + l.Address()
}

func TestLedgerIsWhatARealBrokerTook(t *testing.T) {
	f := func(name string, qos byte, cutAt int) {
		t.Run(name, func(t *testing.T) {
			h := &heard{cutAt: cutAt}
			var ledger bytes.Buffer
			sum, err := Run(t.Context(), freezers(t), Options{
				Broker: broker(t, h), Seed: 7, Speed: 1000, Limit: 120, QoS: qos, Ledger: &ledger, Settle: 30 * time.Second,
			})
			if err != nil {
				t.Fatal(err)
			}
			sent, acked := entries(t, &ledger)
			if len(sent) != 120 || len(acked) != 120 || sum.Acked != 120 {
				t.Errorf("ledger has %d sent and %d acknowledged, summary %+v; want 120", len(sent), len(acked), sum)
			}
			if cutAt > 0 && sum.Lost == 0 {
				t.Error("no connection broke")
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			inOrder(t, h.payloads)
			slices.Sort(acked)
			slices.Sort(h.payloads)
			if took := slices.Compact(slices.Clone(h.payloads)); !slices.Equal(took, acked) {
				t.Errorf("the broker took %d messages, the ledger has %d acknowledged", len(took), len(acked))
			}
			if cutAt == 0 && len(h.payloads) != 120 {
				t.Errorf("the broker got %d messages, want 120", len(h.payloads))
			}
		})
	}
	f("QoS 1", 1, 0)
	f("QoS 2", 2, 0)
	f("QoS 1, connections cut", 1, 7)
	f("QoS 2, connections cut", 2, 7)
}
