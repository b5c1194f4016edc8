package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tocsin/bridge/webhook"
)

// save replaces a file as editors do: by renaming another to its name.
func save(t *testing.T, path, text string) {
	t.Helper()
	next := path + "~"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// reloadable starts a bridge whose endpoint wants everything.
func reloadable(t *testing.T) (dir string, p *process, l *ledger) {
	t.Helper()
	secret := webhook.NewSecret()
	l = startReceiver(t, secret, "")
	dir = plant(t, embedded(freeAddr(t)), secret, l.url)
	path := filepath.Join(dir, "tocsin.toml")
	save(t, path, read(t, path)+"match = { types = [\"alarm.*\", \"config.*\"] }\n")
	p = startTocsin(t, dir)
	p.waitReady()
	return dir, p, l
}

const successMetric = "tocsin_config_last_reload_success"

func TestSavedFileIsReloadedAndABrokenOneChangesNothing(t *testing.T) {
	dir, p, l := reloadable(t)
	rules := filepath.Join(dir, "rules", "cold.toml")
	good := read(t, rules)

	save(t, rules, good+"[rule.hot]\nmetric = \"temperature\"\nabove = \"40 °C\"\n")
	eventually(t, "the rule was added", func() bool { return strings.Contains(p.log(), `"rules_added":"hot"`) })

	save(t, rules, good+"[rule.hot]\nmetric = \"temperature\"\nabovee = \"40 °C\"\n")
	eventually(t, "the file was rejected", func() bool { return p.metric(successMetric) == "0" })
	eventually(t, "the log said what and where", func() bool {
		return strings.Contains(p.log(), "abovee") && strings.Contains(p.log(), "cold.toml:11:1")
	})
	eventually(t, "the rejection was told", func() bool { return slices.Contains(l.of(t, ""), "config.rejected") })
	// The rules that were good run on.
	publish(t, p, "freezer-1", `{"temperature":50}`)
	eventually(t, "both rules fired", func() bool {
		return len(l.of(t, "warm/freezer-1")) == 1 && len(l.of(t, "hot/freezer-1")) == 1
	})

	// Written in place, as some editors do: and the rule goes, with its alarm.
	if err := os.WriteFile(rules, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the alarm was cancelled", func() bool { return slices.Contains(l.of(t, "hot/freezer-1"), "alarm.cancelled") })
	if p.metric(successMetric) != "1" {
		t.Error("the metric still says that the configuration has an error")
	}
	if got := l.of(t, "warm/freezer-1"); !slices.Equal(got, []string{"alarm.fired"}) {
		t.Errorf("the rule that did not change was told as %q", got)
	}
	if code := p.terminate(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, p.log())
	}
}

func TestHangupReadsAgainAndUnchangedFilesTellNothing(t *testing.T) {
	dir, p, l := reloadable(t)
	publish(t, p, "freezer-1", `{"temperature":-12}`)
	eventually(t, "fired", func() bool { return len(l.unique(t)) == 1 })
	rules := filepath.Join(dir, "rules", "cold.toml")
	for i := range 3 {
		save(t, rules, read(t, rules))
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the configuration was read again", func() bool {
			return strings.Count(p.log(), "configuration read again") == i+1
		})
	}
	publish(t, p, "freezer-1", `{"temperature":-20}`)
	eventually(t, "resolved", func() bool { return len(l.unique(t)) >= 2 })
	if got := l.of(t, "warm/freezer-1"); !slices.Equal(got, []string{"alarm.fired", "alarm.resolved"}) {
		t.Errorf("told %q", got)
	}
	if strings.Contains(p.log(), "configuration reloaded") {
		t.Errorf("unchanged files are a change:\n%s", p.log())
	}
}

// Programs empty a file before they write it, may be held up in between, and leave it
// empty where the disk is full: no alarm ends by that.
func TestFileThatWasEmptiedEndsNoAlarm(t *testing.T) {
	dir, p, l := reloadable(t)
	publish(t, p, "freezer-1", `{"temperature":-12}`)
	eventually(t, "fired", func() bool { return len(l.of(t, "warm/freezer-1")) == 1 })
	for _, name := range []string{"tocsin.toml", "rules/cold.toml"} {
		path := filepath.Join(dir, name)
		good := read(t, path)
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the empty file was rejected", func() bool { return p.metric(successMetric) == "0" })
		if !strings.Contains(p.log(), name+":1:1: is empty") {
			t.Errorf("nobody says that %s is empty:\n%s", name, p.log())
		}
		if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the file as it was is accepted", func() bool { return p.metric(successMetric) == "1" })
	}
	publish(t, p, "freezer-1", `{"temperature":-20}`)
	eventually(t, "resolved", func() bool { return len(l.of(t, "warm/freezer-1")) == 2 })
	if got := l.of(t, "warm/freezer-1"); !slices.Equal(got, []string{"alarm.fired", "alarm.resolved"}) {
		t.Errorf("told %q", got)
	}

	// Whoever means it says so.
	publish(t, p, "freezer-1", `{"temperature":-12}`)
	eventually(t, "fired again", func() bool { return len(l.of(t, "warm/freezer-1")) == 3 })
	save(t, filepath.Join(dir, "rules", "cold.toml"), "# there are none today\n")
	eventually(t, "the alarm was cancelled", func() bool { return slices.Contains(l.of(t, "warm/freezer-1"), "alarm.cancelled") })
}

// A file that is moved away and comes back, as editors do it, was never gone.
func TestFileThatComesBackWasNeverGone(t *testing.T) {
	dir, p, l := reloadable(t)
	publish(t, p, "freezer-1", `{"temperature":-12}`)
	eventually(t, "fired", func() bool { return len(l.of(t, "warm/freezer-1")) == 1 })
	path := filepath.Join(dir, "rules", "cold.toml")
	good := read(t, path)
	if err := os.Rename(path, path+"~"); err != nil {
		t.Fatal(err)
	}
	<-time.After(3 * settle) // an editor that is held up
	save(t, path, good+"[rule.hot]\nmetric = \"temperature\"\nabove = \"40 °C\"\n")
	eventually(t, "the rule was added", func() bool { return strings.Contains(p.log(), `"rules_added":"hot"`) })
	publish(t, p, "freezer-1", `{"temperature":-20}`)
	eventually(t, "resolved", func() bool { return len(l.of(t, "warm/freezer-1")) >= 2 })
	if got := l.of(t, "warm/freezer-1"); !slices.Equal(got, []string{"alarm.fired", "alarm.resolved"}) {
		t.Errorf("told %q", got)
	}
}

// A volume of a cluster turns a link to a new folder; no file is written.
func TestTurnedLinkIsReloaded(t *testing.T) {
	secret := webhook.NewSecret()
	l := startReceiver(t, secret, "")
	dir := plant(t, embedded(freeAddr(t)), secret, l.url)
	rules := filepath.Join(dir, "rules", "cold.toml")
	good := read(t, rules)
	writeFiles(t, dir, map[string]string{
		"rules/..1/cold.toml": good,
		"rules/..2/cold.toml": good + "[rule.hot]\nmetric = \"temperature\"\nabove = \"40 °C\"\n",
	})
	link := func(target string) {
		t.Helper()
		tmp := filepath.Join(dir, "rules", "..tmp")
		if err := os.Symlink(target, tmp); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(dir, "rules", "..data")); err != nil {
			t.Fatal(err)
		}
	}
	link("..1")
	if err := os.Remove(rules); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("..data/cold.toml", rules); err != nil {
		t.Fatal(err)
	}
	p := startTocsin(t, dir)
	p.waitReady()
	link("..2")
	eventually(t, "the rule was added", func() bool { return strings.Contains(p.log(), `"rules_added":"hot"`) })
}

func TestWhatNeedsARestartIsNamed(t *testing.T) {
	dir, p, _ := reloadable(t)
	path := filepath.Join(dir, "tocsin.toml")
	text := strings.Replace(read(t, path), `path = "data"`, `path = "elsewhere"`, 1)
	save(t, path, strings.Replace(text, `[endpoint.ops]`, "[log]\nformat = \"json\"\n[endpoint.ops]", 1))
	eventually(t, "the sections are named", func() bool { return strings.Contains(p.log(), `"sections":"store log"`) })
	if _, err := os.Stat(filepath.Join(dir, "elsewhere")); err == nil {
		t.Error("the store was moved")
	}
}

// Who adds a source to what runs finds everything well, and sees nothing come in.
func TestSourceThatTakesARestartIsSaidWhereverOneLooks(t *testing.T) {
	dir, p, _ := reloadable(t)
	path := filepath.Join(dir, "tocsin.toml")
	text := read(t, path)
	readiness := func() string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+p.listen["http"]+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(body))
	}
	save(t, path, text+"\n[source.stores]\ntopic = \"stores/{device}\"\ndecoder = \"json\"\n")
	eventually(t, "the source is named", func() bool { return strings.Contains(p.log(), `"sections":"source.stores"`) })
	if got, want := readiness(), `{"ready":true,"reasons":[],"restart":["source.stores"]}`; got != want {
		t.Errorf("/readyz says %s, want %s", got, want)
	}
	if _, out, _ := p.command("plan"); !strings.Contains(out, "at the next start only: source.stores") {
		t.Errorf("plan says\n%s", out)
	}
	save(t, path, text)
	eventually(t, "it is as it runs again", func() bool { return readiness() == `{"ready":true,"reasons":[]}` })
}

// publish sends a reading and waits for its acknowledgement.
func publish(t *testing.T, p *process, device, payload string) {
	t.Helper()
	conn := connectRaw(t, p.listen["mqtt"], "publisher")
	defer conn.Close()
	topic := "plant/" + device + "/telemetry"
	packet := append([]byte{0x32, byte(4 + len(topic) + len(payload)), 0, byte(len(topic))}, topic...)
	packet = append(append(packet, 0, 1), payload...)
	var ack [4]byte
	if _, err := conn.Write(packet); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, ack[:]); err != nil {
		t.Fatal(err)
	}
}

// ask sends a request to the bridge's HTTP server.
func (p *process) ask(method, path, body string) (int, string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, "http://"+p.listen["http"]+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestReloadAndPlanOverHTTP(t *testing.T) {
	dir, p, l := reloadable(t)
	publish(t, p, "freezer-1", `{"temperature":-12}`)
	eventually(t, "fired", func() bool { return len(l.unique(t)) == 1 })
	if code, body := p.ask("GET", "/api/v1/alarms", ""); code != 200 || !strings.Contains(body, `"key":"warm/freezer-1"`) || !strings.Contains(body, `"state":"firing"`) {
		t.Errorf("alarms: %d %s", code, body)
	}
	if code, body := p.ask("POST", "/api/v1/reload", ""); code != 200 || !strings.Contains(body, `"added":[]`) {
		t.Errorf("reload of the same: %d %s", code, body)
	}
	rules := filepath.Join(dir, "rules", "cold.toml")
	good := read(t, rules)
	save(t, rules, good+"nonsense = 1\n")
	for _, path := range []string{"reload", "plan"} {
		code, body := p.ask("POST", "/api/v1/"+path, "")
		if code != 422 || !strings.Contains(body, `"fact":`) || !strings.Contains(body, `"line":9`) {
			t.Errorf("%s of a broken file: %d %s", path, code, body)
		}
	}
	if code, body := p.ask("POST", "/api/v1/alarms/warm/nobody/ack", `{"by":"me"}`); code != 404 {
		t.Errorf("a command for an alarm that is not there: %d %s", code, body)
	}
	if code, body := p.ask("POST", "/api/v1/alarms/warm/freezer-1/ack", `{"by":"me"}`); code != 204 {
		t.Errorf("acknowledging: %d %s", code, body)
	}
	if code, body := p.ask("POST", "/api/v1/alarms/warm/freezer-1/ack", `{"by":"me"}`); code != 409 || !strings.Contains(body, "already") {
		t.Errorf("acknowledging twice: %d %s", code, body)
	}
	eventually(t, "told", func() bool { return slices.Contains(l.of(t, "warm/freezer-1"), "alarm.acked") })
	if code, body := p.ask("GET", "/api/v1/devices/freezer-1/explain?rule=warm", ""); code != 200 || !strings.Contains(body, `"acked_by":"me"`) {
		t.Errorf("explain: %d %s", code, body)
	}
	if code, body := p.ask("GET", "/api/v1/devices/nobody/explain", ""); code != 404 {
		t.Errorf("explaining nobody: %d %s", code, body)
	}
	if code, body := p.ask("POST", "/api/v1/alarms/warm/freezer-1/shelve", `{"by":"me"}`); code != 400 {
		t.Errorf("shelving for ever: %d %s", code, body)
	}
}
