package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tocsin/bridge/api"
	"tocsin/bridge/config"
	"tocsin/bridge/preset"
	"tocsin/bridge/webhook"
	"tocsin/broker"
)

// What no test can bring about on its machine is judged all the same.
func TestDoctorJudgesWhatOperatorsTripOn(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	f := func(got finding, want verdict, fact string) {
		t.Helper()
		if got.Verdict != want || !strings.Contains(got.Fact, fact) || (got.Remedy == "") != (want == fine) {
			t.Errorf("%+v, want %s and %q, with a remedy unless all is well", got, want, fact)
		}
	}
	f(judgeClock(now, true, true), fine, "kept right")
	f(judgeClock(now, false, true), suspect, "nothing keeps it right")
	f(judgeClock(now, false, false), fine, "cannot be told")
	f(judgeClock(time.Unix(0, 0), true, true), wrong, "1970")

	f(judgeSync("data", time.Millisecond), fine, "1ms")
	f(judgeSync("data", time.Second), suspect, "1s")
	f(judgeSpace(10<<30), fine, "10240 MiB")
	f(judgeSpace(100<<20), suspect, "100 MiB")
	f(judgeSpace(1<<20), wrong, "1 MiB")

	f(judgeExpiry("certificates", "ours", now.AddDate(1, 0, 0), now), fine, "2027-06-01")
	f(judgeExpiry("certificates", "ours", now.AddDate(0, 0, 5), now), suspect, "in 5 days")
	f(judgeExpiry("certificates", "ours", now.AddDate(0, 0, -5), now), wrong, "ended 2026-05-27")

	f(judgePort("x", nil, false), fine, "free")
	f(judgePort("x", nil, true), suspect, "free, although a bridge runs")
	f(judgePort("x", syscall.EADDRINUSE, true), fine, "as it should be")
	f(judgePort("x", syscall.EADDRINUSE, false), wrong, "another program")
	f(judgePort("x", fmt.Errorf("bind: %w", syscall.EACCES), false), wrong, "not allowed")
	f(judgePort("x", fmt.Errorf("bind: %w", syscall.EADDRNOTAVAIL), false), wrong, "cannot assign")

	f(judgeTrip(time.Millisecond, nil), fine, "after 1ms")
	f(judgeTrip(0, fmt.Errorf("subscribing: %w", broker.ErrNotAllowed)), suspect, "lets us in")
	f(judgeTrip(0, errors.New("connection refused (check that the broker runs)")), wrong, "connection refused")

	accepted := preset.Reply{Result: webhook.Result{Verdict: webhook.Accepted, Status: 204}}
	f(judgePing("endpoint ops", accepted), fine, "204 No Content")
	accepted.Skew = -2 * time.Minute
	f(judgePing("endpoint ops", accepted), suspect, "-2m0s")
	f(judgePing("endpoint ops", preset.Reply{Result: webhook.Result{Status: 401, Err: errors.New("answered 401 Unauthorized")}}), wrong, "401")
}

func TestDoctorJudgesAUnitAndItsLimits(t *testing.T) {
	dir := t.TempDir()
	program, file := filepath.Join(dir, "tocsin"), filepath.Join(dir, "tocsin.toml")
	writeFiles(t, dir, map[string]string{"tocsin": "", "tocsin.toml": "", "other.toml": ""})
	if err := os.Chmod(program, 0o700); err != nil {
		t.Fatal(err)
	}
	cfg := &config.Config{Path: file, Store: config.Store{Path: filepath.Join(dir, "data")}}
	f := func(want verdict, fact, unit string) {
		t.Helper()
		place := filepath.Join(t.TempDir(), "tocsin.service")
		writeFiles(t, filepath.Dir(place), map[string]string{"tocsin.service": unit})
		got := examineUnit(cfg, []string{filepath.Join(dir, "none"), place})
		if len(got) != 1 || got[0].Verdict != want || !strings.Contains(got[0].Fact, fact) || (got[0].Remedy == "") != (want == fine) {
			t.Errorf("%+v, want %s and %q", got, want, fact)
		}
	}
	start := "[Service]\nExecStart=" + program + " run -c "
	f(fine, "starts this configuration", start+file+"\nProtectSystem=strict\nReadWritePaths="+dir+"\n")
	f(fine, "starts this configuration", start+file+"\n")
	f(wrong, "does not let tocsin write to", start+file+"\nProtectSystem=strict\nReadWritePaths=/var/lib/elsewhere\n")
	f(wrong, "does not let tocsin write to", start+file+"\nProtectSystem=strict\nReadWritePaths="+dir+"-2\n")
	f(suspect, "and not with this configuration", start+filepath.Join(dir, "other.toml")+"\n")
	f(wrong, "which is no program here", "[Service]\nExecStart="+file+" run\n")
	f(wrong, "starts nothing", "[Service]\n#ExecStart="+program+" run\n")
	if got := examineUnit(cfg, []string{filepath.Join(dir, "none")}); got != nil {
		t.Errorf("without a unit: %+v", got)
	}

	if got := judgeLimit(1024, 10_000); got.Verdict != suspect || !strings.Contains(got.Remedy, "LimitNOFILE=10512") || !strings.Contains(got.Fact, "leaves 640 for devices") {
		t.Errorf("%+v", got)
	}
	if got := judgeLimit(65536, 10_000); got.Verdict != fine || got.Remedy != "" {
		t.Errorf("%+v", got)
	}
}

// diagnose runs the command and returns its exit code and findings by verdict.
func diagnose(t *testing.T, dir string, args ...string) (code int, out string) {
	t.Helper()
	code, out, errs := runHere(t.Context(), "", nil, append([]string{"doctor", "-c", filepath.Join(dir, "tocsin.toml")}, args...)...)
	if errs != "" {
		t.Errorf("on standard error: %s", errs)
	}
	return code, out
}

func wantFinding(t *testing.T, out string, v verdict, place, fact string) {
	t.Helper()
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, string(v)) && strings.Contains(line, " "+place+" ") && strings.Contains(line, fact) {
			return
		}
	}
	t.Errorf("no %s of %s says %q in\n%s", v, place, fact, out)
}

func TestDoctorAsksARunningBridge(t *testing.T) {
	secret := webhook.NewSecret()
	ops := startReceiver(t, secret, "")
	dir := plant(t, embedded(freeAddr(t)), secret, ops.url)
	path := filepath.Join(dir, "tocsin.toml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	writeFiles(t, dir, map[string]string{"tocsin.toml": strings.Replace(string(text), "127.0.0.1:0", freeAddr(t), 1)})
	p := startTocsin(t, dir)
	p.waitReady()
	code, out := diagnose(t, dir)
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	wantFinding(t, out, fine, "bridge", "")
	wantFinding(t, out, fine, "broker", "a message came back")
	wantFinding(t, out, fine, "store", "tocsin.db is sound: ")
	wantFinding(t, out, fine, "history", "history is sound: ")
	if _, out, _ := p.command("rejected"); !strings.Contains(out, "all input was used") {
		t.Errorf("what doctor sends is counted as somebody's mistake:\n%s", out)
	}
	wantFinding(t, out, fine, "ports", "as it should be")
	wantFinding(t, out, fine, "endpoint ops", "answers after")
	if n := ops.requests(); n != 0 {
		t.Errorf("the endpoint was sent %d requests without --ping", n)
	}
	code, out = diagnose(t, dir, "--ping")
	wantFinding(t, out, fine, "endpoint ops", "it accepts: 200")
	if got := ops.unique(t); code != 0 || len(got) != 1 || got[0].Type != "test.ping" {
		t.Errorf("exit code %d, told %v", code, got)
	}
	if err := os.Chmod(filepath.Join(dir, "data", "lock"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, out = diagnose(t, dir)
	wantFinding(t, out, suspect, "files", "lock can be read or written by everyone (mode 0644)")
	if _, out = diagnose(t, dir, "--json"); !strings.Contains(out, `"place": "endpoint ops"`) {
		t.Errorf("--json: %s", out)
	}
}

func TestDoctorSaysWhyABridgeIsNotReady(t *testing.T) {
	s, err := api.New(api.Options{Ready: func() []string { return []string{"the store is full", "no broker"} }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Run(ctx) }()
	cfg := &config.Config{HTTP: config.HTTP{Listen: s.Addr().String()}}
	got := examineBridge(ctx, cfg, true, doctorFlags{patience: time.Minute})
	want := []finding{{wrong, "bridge", "it is not ready: the store is full; no broker", "its log says more"}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestDoctorSaysWhatTakesARestart(t *testing.T) {
	s, err := api.New(api.Options{Later: func() []string { return []string{"source.stores", "store"} }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Run(ctx) }()
	cfg := &config.Config{Path: "tocsin.toml", HTTP: config.HTTP{Listen: s.Addr().String()}}
	got := examineBridge(ctx, cfg, true, doctorFlags{patience: time.Minute})
	want := []finding{{fine, "bridge", "it is ready", ""},
		{suspect, "bridge", "source.stores, store: what tocsin.toml says takes effect at the next start only", "restart tocsin"}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	is := newIssuer(t)
	cert, key := is.pair(t, "us")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "who are you?")
	}))
	defer refuses.Close()
	stranger := newIssuer(t).serve(t, false, func(http.ResponseWriter, *http.Request) {})

	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		"secrets/ops": webhook.NewSecret().Reveal(), "cert.pem": cert, "key.pem": key,
		"cold.toml": "[rule.warm]\nmetric = \"temperature\"\nabove = 3\n",
		"tocsin.toml": `rules = ["cold.toml"]
[broker]
mode = "external"
[broker.external]
url       = "mqtt://` + freeAddr(t) + `"
client_id = "bridge"
[http]
listen = "` + taken.Addr().String() + `"
tls    = { cert = "cert.pem", key = "key.pem" }
[store]
path = "/proc/tocsin"
[source.plant]
topic = "plant/{device}/telemetry"
[endpoint.down]
url    = "http://` + freeAddr(t) + `/hook"
secret = { file = "secrets/ops" }
egress = { allow_http = true, allow_cidrs = ["127.0.0.1"] }
[endpoint.strange]
url    = "` + stranger.URL + `"
secret = { file = "secrets/ops" }
egress = { allow_cidrs = ["127.0.0.1"] }
[endpoint.refuses]
url    = "` + refuses.URL + `"
secret = { file = "secrets/ops" }
egress = { allow_http = true, allow_cidrs = ["127.0.0.1"] }
`})
	code, out := diagnose(t, dir, "--ping")
	if code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	wantFinding(t, out, wrong, "disk", "/proc/")
	wantFinding(t, out, fine, "certificates", "http.tls: ours ends ")
	wantFinding(t, out, wrong, "ports", "in use by another program")
	wantFinding(t, out, wrong, "broker", "connection refused (check that the broker runs")
	wantFinding(t, out, wrong, "endpoint down", "connection refused")
	wantFinding(t, out, wrong, "endpoint strange", "certificate")
	wantFinding(t, out, wrong, "endpoint refuses", "401 Unauthorized")
}

func TestDoctorNeedsAConfigurationThatCanBeUsed(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"tocsin.toml": "rules = 3\n"})
	code, out, errs := runHere(t.Context(), "", nil, "doctor", "-c", filepath.Join(dir, "tocsin.toml"))
	if code != exitUsage || out != "" || !strings.Contains(errs, "rules") {
		t.Errorf("%d %s%s", code, out, errs)
	}
}
