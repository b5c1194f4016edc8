package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"tocsin/bridge/webhook"
)

// A client publishes payloads to a topic, each acknowledged before the next.
type client struct {
	name    string
	publish func(t *testing.T, addr, topic string, payloads []string)
}

// foreignClients are MQTT clients that we did not write.
func foreignClients() []client {
	var cs []client
	for _, version := range []string{"mqttv311", "mqttv5"} {
		for _, qos := range []string{"0", "1", "2"} {
			cs = append(cs, client{"mosquitto_pub " + version + " QoS " + qos, func(t *testing.T, addr, topic string, payloads []string) {
				mosquittoPub(t, addr, topic, payloads, "-V", version, "-q", qos)
			}})
		}
	}
	for _, version := range []string{"4", "5"} {
		cs = append(cs, client{"mqtt.js protocol " + version, func(t *testing.T, addr, topic string, payloads []string) {
			node(t, nil, append([]string{"publish.mjs", "--url", "mqtt://" + addr, "-t", topic, "--protocol", version}, payloads...)...)
		}})
	}
	return append(cs,
		client{"mqtt.js with a persistent session", func(t *testing.T, addr, topic string, payloads []string) {
			node(t, nil, append([]string{"publish.mjs", "--url", "mqtt://" + addr, "-t", topic, "-i", "node-1", "--persistent"}, payloads...)...)
		}},
		client{"paho with a persistent session", persistentPublish},
	)
}

func mosquittoPub(t *testing.T, addr, topic string, payloads []string, args ...string) {
	t.Helper()
	path, err := exec.LookPath("mosquitto_pub")
	if err != nil {
		t.Skip("no mosquitto_pub on this machine (Debian package mosquitto-clients)")
	}
	host, port, _ := strings.Cut(addr, ":")
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append([]string{"-h", host, "-p", port, "-t", topic, "-l"}, args...)...)
	cmd.Stdin = strings.NewReader(strings.Join(payloads, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_pub: %v\n%s", err, out)
	}
}

// node runs one of testdata/node's scripts and returns what it printed.
func node(t *testing.T, env []string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		t.Skip("no node on this machine")
	}
	if _, err := os.Stat("testdata/node/node_modules"); err != nil {
		t.Skip("testdata/node/node_modules is missing (npm ci --prefix cmd/tocsin/testdata/node)")
	}
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = "testdata/node"
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("node %s: %v\n%s", args[0], err, out)
	}
	return string(out)
}

// persistentPublish goes away and comes back between two readings.
func persistentPublish(t *testing.T, addr, topic string, payloads []string) {
	t.Helper()
	for _, payload := range payloads {
		o := mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("paho-1").
			SetCleanSession(false).SetAutoReconnect(false).SetConnectTimeout(deadline)
		c := mqtt.NewClient(o)
		for _, token := range []func() mqtt.Token{
			c.Connect,
			func() mqtt.Token { return c.Publish(topic, 1, false, payload) },
		} {
			tok := token()
			if !tok.WaitTimeout(deadline) || tok.Error() != nil {
				t.Fatalf("paho: %v", tok.Error())
			}
		}
		c.Disconnect(100)
	}
}

func TestForeignClientsMakeWebhooksThatForeignLibrariesVerify(t *testing.T) {
	brokers := map[string]func(t *testing.T) (config, addr string){
		"embedded": func(t *testing.T) (string, string) {
			addr := freeAddr(t)
			return embedded(addr), addr
		},
		"mosquitto": func(t *testing.T) (string, string) {
			addr := startMosquitto(t)
			return external(addr, "tocsin-test"), addr
		},
	}
	for name, open := range brokers {
		t.Run(name, func(t *testing.T) {
			broker, addr := open(t)
			secret := webhook.NewSecret()
			l := startReceiver(t, secret, "")
			p := startTocsin(t, plant(t, broker, secret, l.url))
			p.waitReady()
			ran := 0
			for i, c := range foreignClients() {
				t.Run(c.name, func(t *testing.T) {
					device := fmt.Sprintf("freezer-%d", i)
					topic := "plant/" + device + "/telemetry"
					c.publish(t, addr, topic, []string{
						`{"temperature":-20}`, `{"temperature":-12.5}`, `{"temperature":-16}`, `{"temperature":-18}`,
					})
					want := []string{"alarm.fired", "alarm.resolved"}
					eventually(t, "fired and resolved were received", func() bool { return slices.Equal(l.of(t, "warm/"+device), want) })
					ran++
				})
			}
			if got := len(l.unique(t)); got != 2*ran {
				t.Errorf("%d events were received, want %d", got, 2*ran)
			}
			verifyByOthers(t, l, secret.Reveal())
			if code := p.terminate(); code != 0 {
				t.Errorf("exit code %d after SIGINT, want 0:\n%s", code, p.log())
			}
		})
	}
}

// verifyByOthers has what was received verified by two libraries that share no
// code with ours.
func verifyByOthers(t *testing.T, l *ledger, secret string) {
	t.Helper()
	l.mu.Lock()
	lines := l.record.String()
	l.mu.Unlock()
	path := filepath.Join(t.TempDir(), "received.jsonl")
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	hook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(lines) {
		var got struct {
			Raw     string
			Headers map[string]string
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		body, err := base64.StdEncoding.DecodeString(got.Raw)
		if err != nil {
			t.Fatal(err)
		}
		header := http.Header{}
		for name, value := range got.Headers {
			header.Set(name, value)
		}
		if err := hook.Verify(body, header); err != nil {
			t.Errorf("the Standard Webhooks library for Go refuses a request: %v", err)
		}
		n++
	}
	t.Logf("the Standard Webhooks library for Go verified %d requests", n)
	out := node(t, []string{"TOCSIN_SECRET=" + secret}, "verify.mjs", path)
	t.Logf("standardwebhooks from npm: %s", strings.TrimSpace(out))
	if want := fmt.Sprintf("%d verified, 0 failed", n); !strings.Contains(out, want) {
		t.Errorf("npm standardwebhooks says %q, want %q", out, want)
	}
}

// device publishes at QoS 1 until each payload is acknowledged, over as many
// connections as it takes.
type device struct {
	addr, id, topic string
	conn            mqtt.Client
}

// deliver publishes payload until it is acknowledged, or ctx ends.
func (d *device) deliver(ctx context.Context, payload string) error {
	for {
		if d.conn == nil || !d.conn.IsConnectionOpen() {
			if err := d.connect(ctx); err != nil {
				return err
			}
		}
		tok := d.conn.Publish(d.topic, 1, false, payload)
		select {
		case <-tok.Done():
			if tok.Error() == nil {
				return nil
			}
		case <-time.After(5 * time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
		d.close()
	}
}

func (d *device) connect(ctx context.Context) error {
	for {
		d.close()
		o := mqtt.NewClientOptions().AddBroker("tcp://" + d.addr).SetClientID(d.id).SetProtocolVersion(4).
			SetCleanSession(true).SetAutoReconnect(false).SetConnectTimeout(2 * time.Second)
		d.conn = mqtt.NewClient(o)
		tok := d.conn.Connect()
		select {
		case <-tok.Done():
			if tok.Error() == nil {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (d *device) close() {
	if d.conn != nil {
		d.conn.Disconnect(0)
		d.conn = nil
	}
}
