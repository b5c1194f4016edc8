package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"tocsin/bridge/webhook"
)

// A stage is the world around a page: a bridge, devices, receivers. A script asks for
// what it needs by HTTP, with a POST and JSON:
//
//	/start     {"token", "rules", "endpoints", "impatient"}   the bridge, or the same again   -> {"url", "own"}
//	/stop                                               the bridge
//	/publish   [{"topic", "payload"}]                   each is acknowledged
//	/fleet     {"devices", "from"}                      a reading of each of so many devices
//	/recover   {"receiver"}                             the receiver accepts from now on
//	/noted     {}                                       -> [{"header", "body"}] of what came to "own"
//	/received  {"receiver"}                             -> {"requests", "told": [{"Type", "Alarm"}]}
//
// Endpoints, of which "endpoints" leaves out those that it does not name: "good" and
// "spare" accept, "bad" answers 503 until it recovers, and is given up soon if
// "impatient"; "rude" answers with what would run in a browser, if it is named. At
// "own" something listens that may be registered.
type stage struct {
	t         *testing.T
	dir       string
	mqtt      string
	http      string
	receivers map[string]*ledger
	rude, own *httptest.Server
	noted     notes

	asked  chan func() // what the test does for a request: only the test itself may end itself
	p      *process
	client mqtt.Client
}

func newStage(t *testing.T) *stage {
	secret := webhook.NewSecret()
	s := &stage{t: t, dir: t.TempDir(), mqtt: freeAddr(t), http: freeAddr(t), asked: make(chan func()), receivers: map[string]*ledger{
		"good": startReceiver(t, secret, ""), "bad": startReceiver(t, secret, "503:1"), "spare": startReceiver(t, secret, ""),
	}}
	s.rude = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, strings.Repeat("<img src=x onerror=alert(5)></script><script>alert(6)</script>\u202e", 200))
	}))
	t.Cleanup(s.rude.Close)
	s.own = httptest.NewServer(&s.noted)
	t.Cleanup(s.own.Close)
	writeFiles(t, s.dir, map[string]string{"secrets/shared": secret.Reveal(), "rules/plant.toml": plantRules})
	t.Cleanup(func() {
		if s.client != nil {
			s.client.Disconnect(0)
		}
	})
	return s
}

// plantRules are one of each kind that a page shows in its own way.
const plantRules = `schema = 1

[metric.temperature]
unit  = "°C"
range = [-60.0, 60.0]

[metric.humidity]
unit = "%"

[rule.warm]
devices  = "freezer-*"
metric   = "temperature"
above    = "-15 °C"
clear    = "-17 °C"
severity = "major"
title    = "{device} at {value:.1} {unit}, limit {threshold}"
runbook  = "https://wiki.example.com/freezer-warm"

[rule.warm.level.critical]
above = "-5 °C"
clear = "-7 °C"

[rule.damp]
devices     = "hall-*"
metric      = "humidity"
agg         = "avg"
over        = "5m"
above       = "80 %"
clear       = "70 %"
min_samples = 3
severity    = "warning"

# Almost: it is over the limit, and never for long enough.
[rule.draughty]
devices = "freezer-*"
metric  = "temperature"
above   = "-30 °C"
for     = "2h"

[rule.silent]
devices = "freezer-*"
silent  = "1h"

# No device has such a name.
[rule.forgotten]
devices = "cooler-*"
metric  = "temperature"
above   = "8 °C"
`

// A request is what a script may say with what it asks for.
type request struct {
	Token, Rules, Endpoints string
	Impatient               bool
	Devices, From           int
	Receiver                string
}

// run runs a command, and does meanwhile what it asks for.
func (s *stage) run(cmd *exec.Cmd) (string, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return "", err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case act := <-s.asked:
			act()
		case err := <-ended:
			return out.String(), err
		}
	}
}

// ServeHTTP does what a script asks for.
func (s *stage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	done := make(chan struct{})
	act := func() {
		defer close(done)
		answer, err := s.act(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(answer) // a script that has gone needs no answer
	}
	select {
	case s.asked <- act:
		<-done
	case <-r.Context().Done():
	}
}

func (s *stage) act(r *http.Request) (any, error) {
	if r.URL.Path == "/publish" {
		var messages []message
		if err := json.NewDecoder(r.Body).Decode(&messages); err != nil {
			return nil, err
		}
		return nil, s.publish(messages)
	}
	var ask request
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
		return nil, err
	}
	switch r.URL.Path {
	case "/start":
		return s.start(ask)
	case "/stop":
		return nil, s.stop()
	case "/fleet":
		return nil, s.fleet(ask.From, ask.Devices)
	case "/recover":
		s.receivers[ask.Receiver].behave()
		return nil, nil
	case "/noted":
		return s.noted.list(), nil
	case "/received":
		l := s.receivers[ask.Receiver]
		return map[string]any{"requests": l.requests(), "told": append([]record{}, l.unique(s.t)...)}, nil
	default:
		return nil, fmt.Errorf("%s is nothing that a stage does", r.URL.Path)
	}
}

// start writes the configuration and runs the bridge until it is ready.
func (s *stage) start(ask request) (any, error) {
	if ask.Rules != "" {
		writeFiles(s.t, s.dir, map[string]string{"rules/more.toml": ask.Rules})
	}
	var b strings.Builder
	fmt.Fprintf(&b, "schema = 1\nrules = [\"rules/*.toml\"]\n%s[source.plant]\ntopic = \"plant/{device}/telemetry\"\ndecoder = \"json\"\ntime = { path = \"$.ts\", format = \"auto\" }\n", embedded(s.mqtt))
	fmt.Fprintf(&b, "[store]\npath = \"data\"\n[http]\nlisten = %q\n", s.http)
	if ask.Token != "" {
		writeFiles(s.t, s.dir, map[string]string{"secrets/token": ask.Token})
		b.WriteString("token = { file = \"secrets/token\" }\n")
	}
	giveUp := ""
	if ask.Impatient {
		giveUp = ", give_up_after = \"1s\""
	}
	b.WriteString(openRegistration)
	for _, name := range strings.Fields(cmp.Or(ask.Endpoints, "good bad spare")) {
		url := s.rude.URL
		if l := s.receivers[name]; l != nil {
			url = l.url
		}
		fmt.Fprintf(&b, "[endpoint.%s]\nurl = %q\nsecret = { file = \"secrets/shared\" }\n", name, url)
		fmt.Fprintf(&b, "egress = { allow_http = true, allow_cidrs = [\"127.0.0.0/8\"] }\nretry = { schedule = [\"0s\", \"200ms\", \"1s\"]%s }\n", giveUp)
	}
	writeFiles(s.t, s.dir, map[string]string{"tocsin.toml": b.String()})
	s.p = startTocsin(s.t, s.dir)
	select {
	case <-s.p.ready:
		return map[string]string{"url": "http://" + s.http, "own": s.own.URL}, nil
	case <-s.p.exited:
		return nil, fmt.Errorf("tocsin ended before it was ready:\n%s", s.p.log())
	}
}

func (s *stage) stop() error {
	if s.client != nil {
		s.client.Disconnect(0)
		s.client = nil
	}
	s.p.terminate()
	return nil
}

type message struct{ Topic, Payload string }

// publish sends messages and waits until each was acknowledged.
func (s *stage) publish(messages []message) error {
	if s.client == nil {
		s.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + s.mqtt).SetClientID("stage").
			SetAutoReconnect(false).SetConnectTimeout(deadline).SetMaxResumePubInFlight(100))
		if tok := s.client.Connect(); !tok.WaitTimeout(deadline) || tok.Error() != nil {
			return fmt.Errorf("connect: %w", tok.Error())
		}
	}
	sent := make([]mqtt.Token, 0, len(messages))
	for _, m := range messages {
		sent = append(sent, s.client.Publish(m.Topic, 1, false, m.Payload))
	}
	for i, tok := range sent {
		if !tok.WaitTimeout(deadline) || tok.Error() != nil {
			return fmt.Errorf("publish to %s: %w", messages[i].Topic, tok.Error())
		}
	}
	return nil
}

// fleet publishes one reading of each of n devices.
func (s *stage) fleet(from, n int) error {
	messages := make([]message, 0, n)
	for i := from; i < from+n; i++ {
		messages = append(messages, message{fmt.Sprintf("plant/sensor-%05d/telemetry", i), fmt.Sprintf(`{"temperature":%d.5,"humidity":%d}`, i%30, 40+i%20)})
	}
	return s.publish(messages)
}

// A note is a request as it came.
type note struct {
	Header http.Header `json:"header"`
	Body   string      `json:"body"`
}

// notes accepts everything and keeps it.
type notes struct {
	mu  sync.Mutex
	all []note
}

func (n *notes) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, note{r.Header, string(body)})
}

func (n *notes) list() []note {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]note{}, n.all...) // a list, never null
}

// log is what the bridge has logged.
func (s *stage) log() string {
	if s.p == nil {
		return filepath.Join(s.dir, "tocsin.toml") + " was never run"
	}
	return s.p.log()
}
