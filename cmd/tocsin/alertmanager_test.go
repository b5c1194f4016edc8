package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"tocsin/bridge/webhook"
)

// startAlertmanager starts the Alertmanager of Debian and returns its address.
func startAlertmanager(t *testing.T) (url string) {
	t.Helper()
	path, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		t.Skip("no prometheus-alertmanager on this machine (Debian package prometheus-alertmanager): the real one is not told")
	}
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"alertmanager.yml": "route:\n  receiver: nobody\nreceivers:\n- name: nobody\n"})
	addr := freeAddr(t)
	var out bytes.Buffer
	cmd := exec.Command(path, "--config.file="+filepath.Join(dir, "alertmanager.yml"), "--storage.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+addr, "--cluster.listen-address=")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("alertmanager said:\n%s", &out)
		}
	})
	url = "http://" + addr
	eventually(t, "alertmanager is ready", func() bool {
		resp, err := http.Get(url + "/-/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return url
}

// An alert as Alertmanager tells of it.
type amAlert struct {
	Labels      map[string]string
	Annotations map[string]string
	EndsAt      time.Time
	Status      struct{ State string }
}

// A real Alertmanager takes our alarms for alerts, and their ends for ends.
func TestAlertmanagerFiresAndResolvesOurAlarms(t *testing.T) {
	at := startAlertmanager(t)
	alerts := func() (list []amAlert) {
		t.Helper()
		resp, err := http.Get(at + "/api/v2/alerts")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
			t.Fatal(err)
		}
		return list
	}
	secret := webhook.NewSecret()
	ops := startReceiver(t, secret, "")
	addr := freeAddr(t)
	dir := plant(t, embedded(addr), secret, ops.url)
	text := read(t, filepath.Join(dir, "tocsin.toml")) + `
[endpoint.am]
preset = "alertmanager"
url    = "` + at + `"
egress = { allow_http = true, allow_cidrs = ["127.0.0.0/8"] }
`
	writeFiles(t, dir, map[string]string{"tocsin.toml": text})
	p := startTocsin(t, dir)
	p.waitReady()
	publishCrossings(t, addr, "freezer-1", 1)
	eventually(t, "it fires there", func() bool { return len(alerts()) == 1 })
	a := alerts()[0]
	if a.Status.State != "active" && a.Status.State != "unprocessed" || a.Labels["alertname"] != "warm" || a.Labels["device"] != "freezer-1" ||
		a.Annotations["summary"] == "" || time.Until(a.EndsAt) < time.Hour {
		t.Errorf("fires as %+v", a)
	}
	publish(t, p, "freezer-1", `{"temperature":-20}`)
	eventually(t, "it has ended there", func() bool { return len(alerts()) == 0 })
	eventually(t, "its end is no longer owed", func() bool { return p.metric(`tocsin_deliveries_pending{endpoint="am"}`) == "0" })
}
