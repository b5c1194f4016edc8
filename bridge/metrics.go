package bridge

import (
	"context"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tocsin/rules"
)

// metrics are the bridge's counters; their names are public. No label takes a
// device's name.
type metrics struct {
	messages    *prometheus.CounterVec
	unmatched   prometheus.Counter // of messages
	samples     *prometheus.CounterVec
	problems    *prometheus.CounterVec
	evaluations prometheus.Counter
	events      *prometheus.CounterVec
	deliveries  *prometheus.CounterVec
	attempts    *prometheus.HistogramVec
	latency     prometheus.Histogram
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	messages := counter("tocsin_messages_received_total", "MQTT messages by what became of them.", "source", "outcome")
	return &metrics{
		messages:  messages,
		unmatched: messages.WithLabelValues("", "unmatched"),
		samples:   counter("tocsin_samples_total", "Readings judged.", "source"),
		problems:  counter("tocsin_decode_problems_total", "Messages and readings that could not be used, by reason.", "source", "reason"),
		evaluations: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tocsin_rule_evaluations_total", Help: "Steps of the rule engine.",
		}),
		events:     counter("tocsin_events_total", "Events stored, by type.", "type"),
		deliveries: counter("tocsin_deliveries_total", "Delivery attempts by how they ended.", "endpoint", "outcome"),
		attempts: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tocsin_delivery_attempt_seconds", Help: "Duration of delivery attempts.", Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 12),
		}, []string{"endpoint"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tocsin_event_latency_seconds", Help: "From the reading, or the end of the timer, that made an event to its being accepted.", Buckets: prometheus.ExponentialBuckets(0.001, 3, 14),
		}),
	}
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.messages, m.samples, m.problems, m.evaluations, m.events, m.deliveries, m.attempts, m.latency}
}

// gauges reads at every scrape what would be costly to keep up to date.
type gauges struct {
	bridge                                                       *Bridge
	alarms, devices, pending, dead, dropped, oldest, state, wait *prometheus.Desc
	left, folded                                                 *prometheus.Desc
	registered, limit, warming                                   *prometheus.Desc
}

func newGauges(b *Bridge) *gauges {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &gauges{
		bridge:     b,
		alarms:     desc("tocsin_alarms", "Alarms that are not inactive.", "rule", "severity", "state"),
		devices:    desc("tocsin_devices", "Devices heard of, by presence.", "presence"),
		registered: desc("tocsin_devices_registered", "Devices known that no rule file declares."),
		limit:      desc("tocsin_devices_registered_limit", "Devices to be known, at most, that no rule file declares."),
		warming:    desc("tocsin_warming", "1 while the store is so new that alarms may be under way which have not been seen."),
		pending:    desc("tocsin_deliveries_pending", "Deliveries owed.", "endpoint"),
		dead:       desc("tocsin_deliveries_dead", "Deliveries given up and kept for replay.", "endpoint"),
		dropped:    desc("tocsin_deliveries_dropped_total", "Deliveries dropped because the endpoint's backlog was full.", "endpoint"),
		oldest:     desc("tocsin_oldest_pending_seconds", "Age of the oldest delivery owed.", "endpoint"),
		state:      desc("tocsin_endpoint_state", "1 for the state the endpoint is in.", "endpoint", "state"),
		left:       desc("tocsin_endpoint_budget_left", "Events that an endpoint with a budget may still be told one by one.", "endpoint"),
		folded:     desc("tocsin_deliveries_folded", "Deliveries that wait for a digest; they are among those owed.", "endpoint"),
		wait:       desc("tocsin_endpoint_wait_seconds", "How long nothing is sent to the endpoint, by what it waits for.", "endpoint", "reason"),
	}
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.alarms, g.devices, g.registered, g.limit, g.warming, g.pending, g.dead, g.dropped, g.oldest, g.state, g.wait, g.left, g.folded} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. It is bounded in time, so that a
// store that hangs does not take the scrape with it.
func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	alarms, devices, undeclared := g.bridge.count()
	for presence, n := range devices {
		gauge(g.devices, float64(n), presence.String())
	}
	if undeclared.Limit > 0 { // there is an engine
		gauge(g.registered, float64(undeclared.Registered))
		gauge(g.limit, float64(undeclared.Limit))
	}
	gauge(g.warming, g.bridge.warming())
	for c, n := range alarms {
		gauge(g.alarms, float64(n), strings.ToValidUTF8(c.rule, "?"), c.severity.String(), c.state)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	now := time.Now()
	for _, status := range g.bridge.lanes.statuses(now) {
		name := status.Name
		backlog, err := g.bridge.store.Log().Backlog(ctx, name)
		if err != nil {
			ch <- prometheus.NewInvalidMetric(g.pending, err)
			continue
		}
		age := 0.0
		if backlog.Count > 0 {
			age = now.Sub(backlog.Oldest).Seconds()
		}
		gauge(g.pending, float64(backlog.Count), name)
		gauge(g.dead, float64(backlog.Dead), name)
		ch <- prometheus.MustNewConstMetric(g.dropped, prometheus.CounterValue, float64(backlog.Dropped), name)
		gauge(g.oldest, age, name)
		if b := status.Budget; b != nil {
			gauge(g.left, float64(b.Left), name)
			gauge(g.folded, float64(b.Folded), name)
		}
		for _, s := range conditions {
			v := 0.0
			if s == status.Condition {
				v = 1
			}
			gauge(g.state, v, name, s)
		}
		for _, s := range waits {
			v := 0.0
			if s == status.WaitsFor {
				v = status.Until.Sub(now).Seconds()
			}
			gauge(g.wait, v, name, s)
		}
	}
}

// alarmClass is what alarms are counted by.
type alarmClass struct {
	rule     string
	severity rules.Severity
	state    string
}

// count counts alarms that are not inactive, and devices.
func (b *Bridge) count() (counts map[alarmClass]int, devices map[rules.Status]int, undeclared rules.Headcount) {
	counts = make(map[alarmClass]int)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.engine == nil {
		return counts, nil, undeclared
	}
	for c := range b.engine.Alarms() {
		counts[alarmClass{c.Rule, c.Severity, c.State}] += c.Count
	}
	return counts, b.engine.Presences(), b.engine.Registered()
}

// warming is 1 while the engine warms up.
func (b *Bridge) warming() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.engine != nil && b.engine.Warming() {
		return 1
	}
	return 0
}
