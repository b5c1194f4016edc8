package config

import (
	"time"

	"tocsin/rules"
)

func (c *Config) setDefaults() {
	c.Schema = 1
	c.Broker = Broker{
		Mode: Embedded,
		Embedded: EmbeddedBroker{
			Listen:         "127.0.0.1:1883",
			Anonymous:      "loopback",
			MaxPacket:      256 << 10,
			MaxConnections: 10_000,
			PerClient:      PerClient{Rate: 1000, Inflight: 100},
		},
	}
	c.Store = Store{Path: "data", Retention: Retention{Age: 30 * 24 * time.Hour, Size: 2 << 30}, History: History{Keep: 24 * time.Hour}}
	c.HTTP = HTTP{Listen: "127.0.0.1:8080"}
	c.Limits = BridgeLimits{Devices: 1_000_000}
	c.Log = Log{Level: "info", Format: "auto"}
}

func (s *Source) setDefaults() {
	s.Decoder = "json"
	s.Time.Format = "auto"
	s.Clock = "auto"
	s.MaxAhead = time.Minute
	s.MaxPast = 30 * 24 * time.Hour
}

func (e *Endpoint) setDefaults() {
	e.Preset = "standard"
	e.Retry = Retry{
		Schedule: []time.Duration{0, 5 * time.Second, 15 * time.Second, 30 * time.Second,
			time.Minute, 2 * time.Minute, 5 * time.Minute},
		Jitter:        "full",
		GiveUpAfter:   72 * time.Hour,
		RetryAfterMax: 6 * time.Hour,
	}
	e.Limits = Limits{Concurrency: 4, Timeout: 15 * time.Second, ResponseBytes: 16 << 10, Backlog: 1 << 30}
}

func (r *Registration) setDefaults() { *r = Registration{Max: 1000} }

func (b *Breaker) setDefaults() {
	*b = Breaker{Failures: 10, Window: 5 * time.Minute, Open: 30 * time.Second, MaxOpen: 15 * time.Minute}
}

func (b *Batch) setDefaults() { *b = Batch{Max: 100, Wait: time.Second} }

func (b *Budget) setDefaults() {
	*b = Budget{Per: time.Hour, Except: []rules.Severity{rules.Critical}, Digest: 15 * time.Minute}
}

func (t *Tracing) setDefaults() { *t = Tracing{Ratio: 1, Service: "tocsin"} }

func (f *Fallback) setDefaults() { *f = Fallback{After: 2 * time.Minute} }
