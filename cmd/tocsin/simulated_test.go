package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tocsin/bridge/webhook"
	sim "tocsin/firmware-sim"
)

// simulator makes a folder of the example that the simulator's profiles are
// judged with, which listens where it can and tells a receiver.
func simulator(t *testing.T, url string, secret webhook.Secret) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../configs/simulator")); err != nil {
		t.Fatal(err)
	}
	main := filepath.Join(dir, "tocsin.toml")
	text, err := os.ReadFile(main)
	if err != nil {
		t.Fatal(err)
	}
	mine := strings.NewReplacer("127.0.0.1:1883", "127.0.0.1:0", "127.0.0.1:8080", "127.0.0.1:0", "http://127.0.0.1:9000/hook", url).Replace(string(text))
	if err := os.Mkdir(filepath.Join(dir, "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{main: mine, filepath.Join(dir, "secrets", "receiver"): secret.Reveal() + "\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Two programs that share no code agree on what every fleet must lead to: the
// bridge with the rules of the example, and the simulator with its ledger.
func TestSimulatorFindsEveryPromiseKept(t *testing.T) {
	f := func(profile string, speed float64, except ...string) {
		t.Run(profile, func(t *testing.T) {
			if testing.Short() && profile != "freezer-store" {
				t.Skip("takes ten seconds, as each profile does")
			}
			p, err := sim.Load(profile)
			if err != nil {
				t.Fatal(err)
			}
			secret := webhook.NewSecret()
			receiver := startReceiver(t, secret, "")
			bridge := startTocsin(t, simulator(t, receiver.url, secret))
			bridge.waitReady()
			var ledger bytes.Buffer
			sum, err := sim.Run(t.Context(), p, sim.Options{
				Broker: "mqtt://" + bridge.listen["mqtt"], Seed: 7, Speed: speed, Duration: 10 * time.Second, QoS: 1, Ledger: &ledger,
			})
			if err != nil {
				t.Fatalf("%v\n%s", err, bridge.log())
			}
			if sum.Fired == 0 || sum.Resolved == 0 {
				t.Errorf("%+v: nothing must follow from that", sum)
			}
			var report *sim.Report
			for end := time.Now().Add(deadline); ; pause(100 * time.Millisecond) { // what is owed is still coming
				receiver.mu.Lock()
				received := bytes.NewReader(bytes.Clone(receiver.record.Bytes()))
				receiver.mu.Unlock()
				if report, err = sim.Verify(bytes.NewReader(ledger.Bytes()), received, except...); err != nil {
					t.Fatal(err)
				}
				if report.OK() || time.Now().After(end) {
					break
				}
			}
			for _, found := range report.Findings[:min(10, len(report.Findings))] {
				t.Errorf("%s: %s: %s", found.Kind, found.Alarm, found.Detail)
			}
			t.Logf("%d messages; %d events due, %d more possible, %d received; %d findings",
				report.Messages, report.Expected, report.Open, report.Received, len(report.Findings))
		})
	}
	f("freezer-store", 60)
	f("factory-pumps", 120)
	f("office-climate", 5000)
	f("leak-sensors", 3000)
	f("lorawan-field", 5000)
	f("everything-wrong", 20, "sparkplug-*")
}

func TestExampleOfTheSimulatorIsWithoutAWarning(t *testing.T) {
	dir := simulator(t, "http://127.0.0.1:9000/hook", webhook.NewSecret())
	var out strings.Builder
	code := run(t.Context(), env{
		Args: []string{"check", "-c", filepath.Join(dir, "tocsin.toml")}, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out,
		LookupEnv: func(string) (string, bool) { return "", false },
	})
	if code != 0 || !strings.Contains(out.String(), "0 errors, 0 warnings") {
		t.Errorf("exit %d: %s", code, &out)
	}
}
