package history

import (
	"fmt"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the history's own; their names are public.
type metrics struct {
	dropped *prometheus.CounterVec
	damaged prometheus.Counter
	in      prometheus.Registerer // nil: nowhere
	all     []prometheus.Collector
}

func newMetrics(r prometheus.Registerer, bytes *atomic.Int64) (*metrics, error) {
	m := &metrics{
		in: r,
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_history_dropped_total",
			Help: "Inputs left out of the history, by reason: buffer (the disk did not keep up), disk (it is full or failed), size.",
		}, []string{"reason"}),
		damaged: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tocsin_history_damaged_total", Help: "Segments of the history found to be damaged or cut short.",
		}),
	}
	for _, reason := range []string{"buffer", "disk", "size"} {
		m.dropped.WithLabelValues(reason) // shown from the start, at zero
	}
	if r == nil {
		return m, nil
	}
	m.all = []prometheus.Collector{m.dropped, m.damaged, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tocsin_history_bytes", Help: "Size of the history's segments.",
	}, func() float64 { return float64(bytes.Load()) })}
	for i, c := range m.all {
		if err := r.Register(c); err != nil {
			m.all = m.all[:i]
			m.unregister()
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return m, nil
}

// unregister makes room for a history that is opened after this one.
func (m *metrics) unregister() {
	for _, c := range m.all {
		m.in.Unregister(c)
	}
	m.all = nil
}
