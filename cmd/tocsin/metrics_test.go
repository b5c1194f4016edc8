package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"tocsin/bridge/webhook"
)

// publicMetrics are those that dashboards and alerts are made of, with their types
// and labels. Another name, type or label is a change that users have to be told of.
func publicMetrics() map[string]string {
	return map[string]string{
		"tocsin_messages_received_total":    "counter outcome source",
		"tocsin_samples_total":              "counter source",
		"tocsin_decode_problems_total":      "counter reason source",
		"tocsin_rule_evaluations_total":     "counter",
		"tocsin_alarms":                     "gauge rule severity state",
		"tocsin_events_total":               "counter type",
		"tocsin_commit_seconds":             "histogram",
		"tocsin_deliveries_total":           "counter endpoint outcome",
		"tocsin_delivery_attempt_seconds":   "histogram endpoint",
		"tocsin_deliveries_pending":         "gauge endpoint",
		"tocsin_deliveries_dead":            "gauge endpoint",
		"tocsin_deliveries_dropped_total":   "counter endpoint",
		"tocsin_oldest_pending_seconds":     "gauge endpoint",
		"tocsin_endpoint_state":             "gauge endpoint state",
		"tocsin_event_latency_seconds":      "histogram",
		"tocsin_source_connected":           "gauge source",
		"tocsin_devices":                    "gauge presence",
		"tocsin_store_bytes":                "gauge",
		"tocsin_config_last_reload_success": "gauge",
		"tocsin_broker_connections":         "gauge",
		"tocsin_spans_exported_total":       "counter",
		"tocsin_spans_dropped_total":        "counter reason",
		"go_goroutines":                     "gauge",
		"process_resident_memory_bytes":     "gauge",
	}
}

// A busy bridge: messages that are used and ones that are not, an alarm under way,
// an endpoint that accepts and one that does not, a collector of traces that is not there.
func startBusy(t *testing.T) *process {
	t.Helper()
	accepting := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	t.Cleanup(accepting.Close)
	t.Cleanup(refusing.Close)
	addr := freeAddr(t)
	dir := plant(t, embedded(addr), webhook.NewSecret(), accepting.URL)
	addTo(t, dir, `
[endpoint.bad]
url    = "`+refusing.URL+`"
secret = { file = "secrets/ops" }
egress = { allow_http = true, allow_cidrs = ["127.0.0.0/8"] }
[tracing]
otlp = "http://`+freeAddr(t)+`"
`)
	replaceIn(t, dir, `decoder = "json"`, "decoder = \"json\"\nclock = \"device\"")
	p := startTocsin(t, dir)
	p.waitReady()
	hourAgo := time.Now().Add(-time.Hour).Unix()
	for topic, payload := range map[string]string{
		"plant/canary-1/telemetry": fmt.Sprintf(`{"ts": %d, "temperature": -10}`, hourAgo),
		"plant/canary-2/telemetry": `{"temperature": `,
		"plant/canary-3/nothing":   `{}`,
		"plant/canary-4/telemetry": `{"temperature": "NaN", "canary-metric": 7}`,
	} {
		d := &device{addr: addr, id: "canary-client", topic: topic}
		if err := d.deliver(t.Context(), payload); err != nil {
			t.Fatal(err)
		}
		d.close()
	}
	eventually(t, "the alarm is accepted by the one and refused by the other", func() bool {
		return p.metric(`tocsin_deliveries_total{endpoint="ops",outcome="delivered"}`) == "1" && p.metric(`tocsin_deliveries_total{endpoint="bad",outcome="retry"}`) != ""
	})
	return p
}

func TestMetricsAreWhatDashboardsAreMadeOf(t *testing.T) {
	p := startBusy(t)
	_, page := p.get("/metrics")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range publicMetrics() {
		f := families[name]
		if f == nil {
			t.Errorf("%s is missing", name)
			continue
		}
		if got := shapeOf(f); got != want {
			t.Errorf("%s is %q and should be %q", name, got, want)
		}
	}
	for name, f := range families {
		if f.GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
	}
	if strings.Contains(page, "canary") {
		t.Errorf("a device, a client or what one sent is in a label:\n%s", linesWith(page, "canary"))
	}
	// A device that was cut off for an hour has not made the bridge slow.
	if sum := families["tocsin_event_latency_seconds"].Metric[0].Histogram.GetSampleSum(); sum <= 0 || sum > 600 {
		t.Errorf("the only delivery that was accepted took %v s", sum)
	}

	problems, err := promlint.New(strings.NewReader(page)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		if strings.HasPrefix(problem.Metric, "tocsin_") {
			t.Errorf("%s: %s", problem.Metric, problem.Text)
		}
	}
	checkWithPromtool(t, page)
}

// shapeOf is a metric's type and the names of its labels.
func shapeOf(f *dto.MetricFamily) string {
	names := []string{strings.ToLower(f.GetType().String())}
	for _, l := range f.Metric[0].Label {
		names = append(names, l.GetName())
	}
	slices.Sort(names[1:])
	return strings.Join(names, " ")
}

func linesWith(text, what string) string {
	var found []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, what) {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}

func checkWithPromtool(t *testing.T, page string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("no promtool on this machine (Debian package prometheus): its own verdict is missing, that of its library is not")
	}
	cmd := exec.Command(path, "check", "metrics")
	cmd.Stdin = strings.NewReader(page)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil || out.Len() > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, &out)
	}
}

// A rule that was removed while the bridge was down ends its alarm at the start.
func TestEventsOfAStartAreCountedAndTraced(t *testing.T) {
	c, receiver := startTraceCollector(t), &parents{status: http.StatusOK}
	hook := httptest.NewServer(receiver)
	t.Cleanup(hook.Close)
	dir := plant(t, embedded(freeAddr(t)), webhook.NewSecret(), hook.URL)
	addTo(t, dir, "[tracing]\notlp = \""+c.URL+"\"\n")
	p := startTocsin(t, dir)
	p.waitReady()
	publish(t, p, "d1", `{"temperature": -10}`)
	eventually(t, "it was told", func() bool { return p.metric(`tocsin_deliveries_total{endpoint="ops",outcome="delivered"}`) == "1" })
	p.terminate()
	writeFiles(t, dir, map[string]string{"rules/cold.toml": "schema = 1\n"})
	p = startTocsin(t, dir)
	p.waitReady()
	if n := p.metric(`tocsin_events_total{type="alarm.cancelled"}`); n != "1" {
		t.Errorf("%q ends of alarms are counted", n)
	}
	eventually(t, "its end is traced", func() bool { return len(c.named("alarm.cancelled")) == 1 })
}

func TestDoctorAsksTheCollector(t *testing.T) {
	c := startTraceCollector(t)
	dir := plant(t, embedded(freeAddr(t)), webhook.NewSecret(), "http://127.0.0.1:9/hook")
	addTo(t, dir, "[tracing]\notlp = \""+c.URL+"\"\n")
	_, out := diagnose(t, dir)
	wantFinding(t, out, fine, "tracing", "the collector takes spans")
	c.Close()
	_, out = diagnose(t, dir)
	wantFinding(t, out, suspect, "tracing", "connection refused")
}
