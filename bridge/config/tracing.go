package config

import (
	"maps"
	"net"
	"slices"
	"strings"
	"unicode"

	"tocsin/bridge/trace"
	"tocsin/bridge/webhook"
)

func (l *loader) checkTracing() {
	t := l.config.Tracing
	if t == nil || t.OTLP == "" {
		return // the rest says how, and nothing is
	}
	l.checkCollector(t)
	if !(t.Ratio > 0 && t.Ratio <= 1) {
		l.main.atValue(keys("tracing.ratio"), "ratio is not above 0 and at most 1", "write 0.1 for one event in ten, or leave otlp out to trace none")
	}
	if t.Service == "" || len(t.Service) > 128 || strings.ContainsFunc(t.Service, unicode.IsControl) {
		l.main.atValue(keys("tracing.service"), "service is no name", "write a short one, or leave it out for \"tocsin\"")
	}
	for _, name := range slices.Sorted(maps.Keys(t.Headers)) {
		at := under(keys("tracing.headers"), name)
		if l.needSecret(at, t.Headers[name]) {
			if err := webhook.CheckAuth(name, hidden(*t.Headers[name])); err != nil {
				l.main.leaf(at, err, `write it as in { Authorization = { file = "secrets/otlp" } }`)
			}
		}
	}
}

// checkCollector checks where spans go, and that headers get there unseen.
func (l *loader) checkCollector(t *Tracing) {
	u, err := trace.Target(t.OTLP)
	if err != nil {
		l.main.leaf(keys("tracing.otlp"), err, `write it as in "http://127.0.0.1:4318"`)
		return
	}
	if u.Port() == "4317" {
		l.main.warnValue(keys("tracing.otlp"), "4317 is where collectors take OTLP over gRPC", "name the port for OTLP over HTTP, which is 4318")
	}
	if u.Scheme == "http" && len(t.Headers) > 0 && !loopback(net.JoinHostPort(u.Hostname(), "0")) {
		l.main.warnValue(keys("tracing.otlp"), "headers cross the network in the clear", "use https, or a collector on this machine")
	}
}

// Sent are the headers as they are sent. The configuration has been checked.
func (t *Tracing) Sent() map[string]string {
	sent := make(map[string]string, len(t.Headers))
	for name, s := range t.Headers {
		sent[name] = s.Reveal()
	}
	return sent
}

func (t *Tracing) files() []string {
	if t == nil {
		return nil
	}
	var list []string
	for _, s := range t.Headers {
		list = append(list, s.path)
	}
	return list
}
