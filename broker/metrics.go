package broker

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// No metric takes the name of a client or a user as a label.

type embeddedMetrics struct {
	connections prometheus.Gauge
	turnedAway  *prometheus.CounterVec
	acceptFails prometheus.Counter
	panics      prometheus.Counter
	denied      prometheus.Counter
	duplicates  prometheus.Counter
	refused     prometheus.Counter
	throttled   prometheus.Counter
	dropped     prometheus.Counter
	forgotten   prometheus.Counter
}

func newEmbeddedMetrics(r prometheus.Registerer) (*embeddedMetrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "tocsin_broker_" + name, Help: help})
	}
	m := &embeddedMetrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{Name: "tocsin_broker_connections",
			Help: "Connections to the embedded broker, those not yet let in included."}),
		turnedAway: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_broker_connections_refused_total",
			Help: "Connections that the embedded broker did not let in, by reason."}, []string{"reason"}),
		acceptFails: counter("accept_errors_total", "Failures to accept a connection; each is tried again."),
		panics:      counter("panics_total", "Connections that ended in a panic of the MQTT library or of a handler."),
		denied:      counter("denied_total", "Messages dropped because their sender may not publish to their topic."),
		duplicates:  counter("duplicates_total", "Repetitions of accepted messages, acknowledged and not handled again."),
		refused:     counter("refused_total", "Messages that could not be made safe: at QoS 1 and 2 they come again, at QoS 0 they are lost."),
		throttled:   counter("throttled_total", "Times that a client was read later because it sent too fast."),
		dropped:     counter("dropped_total", "Messages not forwarded to a subscriber that reads too slowly."),
		forgotten:   counter("sessions_forgotten_total", "Sessions of absent clients deleted to make room."),
	}
	return m, register(r, m.connections, m.turnedAway, m.acceptFails, m.panics, m.denied,
		m.duplicates, m.refused, m.throttled, m.dropped, m.forgotten)
}

type clientMetrics struct {
	connects     *prometheus.CounterVec
	sessionsLost *prometheus.CounterVec
	refused      *prometheus.CounterVec
}

// newClientMetrics shares the metrics among all clients of one registry. Whether
// a source is connected is not among them: who has all sources asks Ready.
func newClientMetrics(r prometheus.Registerer) (*clientMetrics, error) {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_source_" + name, Help: help}, []string{"source"})
	}
	m := &clientMetrics{
		connects:     counter("connects_total", "Connections made to the external broker."),
		sessionsLost: counter("sessions_lost_total", "Reconnections at which the external broker had forgotten our session, and messages with it."),
		refused:      counter("refused_total", "Messages that could not be made safe and were left for the broker to send again."),
	}
	var err error
	m.connects, err = shared(r, m.connects, err)
	m.sessionsLost, err = shared(r, m.sessionsLost, err)
	m.refused, err = shared(r, m.refused, err)
	return m, err
}

func register(r prometheus.Registerer, cs ...prometheus.Collector) error {
	if r == nil {
		return nil
	}
	for _, c := range cs {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

// shared registers c, or returns what is registered in its place.
func shared[C prometheus.Collector](r prometheus.Registerer, c C, err error) (C, error) {
	if r == nil || err != nil {
		return c, err
	}
	err = r.Register(c)
	if already := (prometheus.AlreadyRegisteredError{}); errors.As(err, &already) {
		if old, ok := already.ExistingCollector.(C); ok {
			return old, nil
		}
	}
	if err != nil {
		return c, fmt.Errorf("registering metrics: %w", err)
	}
	return c, nil
}
