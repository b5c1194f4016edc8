package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tocsin/bridge/config"
	"tocsin/bridge/webhook"
)

func TestTheEndOfASecretIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(90*time.Minute + 500*time.Microsecond)
		endpoints := map[string]*config.Endpoint{"ops": {
			Secrets: []webhook.Secret{webhook.NewSecret(), webhook.NewSecret().Until(end), webhook.NewSecret().Until(time.Now().Add(-time.Hour))},
			Keys:    []webhook.PrivateKey{webhook.NewPrivateKey().Until(end.Add(time.Hour))},
		}}
		var mu sync.Mutex
		var out bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go watchSecrets(ctx, slog.New(slog.NewJSONHandler(lockedWriter{&mu, &out}, nil)), func() map[string]*config.Endpoint { return endpoints })
		f := func(wait time.Duration, want ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			out.Reset()
			mu.Unlock()
			time.Sleep(wait)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if n := strings.Count(out.String(), "\n"); n != min(len(want), 1) {
				t.Errorf("after %s %d lines: %s", wait, n, &out)
			}
			for _, w := range want {
				if !strings.Contains(out.String(), w) {
					t.Errorf("after %s told %q, want %q", wait, &out, w)
				}
			}
		}
		f(time.Until(end)) // its last moment
		f(2*time.Millisecond, `"INFO"`, `"endpoint":"ops"`, `"kind":"secret"`, `"left":1`)
		f(30 * time.Minute)
		f(30*time.Minute, `"ERROR"`, `"kind":"key"`)
		f(time.Hour)
		cancel()
		synctest.Wait()
	})
}

func TestPublicKeysAreThoseThatSign(t *testing.T) {
	now := time.Now()
	a, b, old := webhook.NewPrivateKey(), webhook.NewPrivateKey(), webhook.NewPrivateKey()
	endpoints := map[string]*config.Endpoint{
		"one": {Keys: []webhook.PrivateKey{a, old.Until(now.Add(-1))}},
		"two": {Keys: []webhook.PrivateKey{b.Until(now), a}},
	}
	text, err := json.Marshal(publicKeys(endpoints, now))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Keys []struct{ Kty, Crv, X, Kid, Use, Alg, Whpk string }
	}
	if err := json.Unmarshal(text, &got); err != nil || len(got.Keys) != 2 {
		t.Fatalf("%v: %s", err, text)
	}
	for i, k := range []webhook.PrivateKey{a, b} {
		if g := got.Keys[i]; g.Whpk != k.Public().String() || g.Kid != k.Public().ID() || g.Kty != "OKP" || g.Crv != "Ed25519" || g.Alg != "EdDSA" || g.Use != "sig" || len(g.X) != 43 {
			t.Errorf("key %d is %+v", i, g)
		}
	}
	if bytes.Contains(text, []byte("whsk_")) || bytes.Contains(text, []byte(a.Reveal()[5:40])) {
		t.Error("a private key is shown")
	}
	if text, _ := json.Marshal(publicKeys(nil, now)); string(text) != `{"keys":[]}` {
		t.Errorf("without keys it is %s", text)
	}
}

func TestTheGaugeCountsWhatSigns(t *testing.T) {
	endpoints := map[string]*config.Endpoint{"ops": {
		Secrets: []webhook.Secret{webhook.NewSecret(), webhook.NewSecret().Until(time.Now().Add(time.Hour)), webhook.NewSecret().Until(time.Now().Add(-time.Hour))},
		Keys:    []webhook.PrivateKey{webhook.NewPrivateKey()},
	}}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newSigningKeys(func() map[string]*config.Endpoint { return endpoints }))
	families, err := registry.Gather()
	if err != nil || len(families) != 1 {
		t.Fatalf("%v, %v", families, err)
	}
	want := map[string]float64{"secret": 2, "key": 1}
	for _, m := range families[0].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "kind" && m.GetGauge().GetValue() != want[l.GetValue()] {
				t.Errorf("%s: %v", l.GetValue(), m.GetGauge().GetValue())
			}
		}
	}
}

// What the real binary sends carries every signature that was asked for, and the
// key it serves to everybody verifies it.
func TestEverySignatureArrivesAndVerifiesWithThePublishedKey(t *testing.T) {
	secret, key := webhook.NewSecret(), webhook.NewPrivateKey()
	l := startReceiver(t, secret, "500:1") // so that there is a second attempt
	dir := plant(t, embedded("127.0.0.1:0"), secret, l.url)
	writeFiles(t, dir, map[string]string{"secrets/ops.key": key.Reveal() + "\n"})
	path := filepath.Join(dir, "tocsin.toml")
	save(t, path, read(t, path)+`match = { types = ["alarm.*", "config.*"] }
key   = { file = "secrets/ops.key", not_after = 2999-01-01T00:00:00Z }
sign  = ["standard", "ed25519", "github", "stripe", "rfc9421"]
`)
	p := startTocsin(t, dir)
	p.waitReady()
	status, page := p.get("/.well-known/tocsin-keys.json")
	var set struct{ Keys []struct{ Whpk string } }
	if err := json.Unmarshal([]byte(page), &set); status != 200 || err != nil || len(set.Keys) != 1 {
		t.Fatalf("answered %d: %s", status, page)
	}
	public, err := webhook.ParsePublicKey(set.Keys[0].Whpk)
	if err != nil {
		t.Fatal(err)
	}
	l.receiver.mu.Lock()
	l.receiver.o.Public, l.receiver.o.Schemes = []webhook.PublicKey{public}, webhook.Schemes()
	l.receiver.mu.Unlock()

	save(t, filepath.Join(dir, "rules", "cold.toml"), "[rule.broken]\nabovee = 1\n")
	eventually(t, "a first attempt was answered badly", func() bool { return l.requests() > 0 })
	l.behave()
	eventually(t, "the event was accepted", func() bool { return len(l.unique(t)) == 1 })
	if got := l.unique(t)[0].Type; got != "config.rejected" {
		t.Errorf("told of %s", got)
	}
	for kind, want := range map[string]string{"secret": "1", "key": "1"} {
		if got := p.metric(`tocsin_endpoint_signing_keys{endpoint="ops",kind="` + kind + `"}`); got != want {
			t.Errorf("%s: %s sign, want %s", kind, got, want)
		}
	}
}
