package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tocsin/bridge/config"
)

// command runs the binary against a running bridge.
func (p *process) command(args ...string) (code int, stdout, stderr string) {
	p.t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(p.t.Context(), tocsinBinary(p.t), append(args, "--server", "http://"+p.listen["http"])...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // the exit code says it
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func TestPlanAsksTheRunningBridge(t *testing.T) {
	dir, p, l := reloadable(t)
	publish(t, p, "freezer-1", `{"temperature":-12}`)
	eventually(t, "fired", func() bool { return len(l.unique(t)) == 1 })
	rules := filepath.Join(dir, "rules", "cold.toml")
	good := read(t, rules)

	code, out, errs := p.command("alarms")
	if code != 0 || !strings.Contains(out, "warm/freezer-1  firing  warning") {
		t.Errorf("alarms: %d %s%s", code, out, errs)
	}
	if code, out, errs = p.command("plan"); code != 0 || !strings.Contains(out, "rules: unchanged") || !strings.Contains(out, "0 alarms would change, 1 would go on") {
		t.Errorf("nothing has changed: %d %s%s", code, out, errs)
	}
	writeFiles(t, dir, map[string]string{
		"next/cold.toml": strings.Replace(good, "[rule.warm]", "[rule.warm]\ntitle = \"new\"", 1),
		"next.toml":      strings.Replace(read(t, filepath.Join(dir, "tocsin.toml")), "rules/*.toml", "next/*.toml", 1),
	})
	if code, out, errs = p.command("plan", "-c", filepath.Join(dir, "next.toml")); code != 0 || !strings.Contains(out, "rules: changed warm") {
		t.Errorf("another file: %d %s%s", code, out, errs)
	}
	if !strings.Contains(out, "0 alarms would change, 1 would go on as they are") || strings.Contains(out, "warm/freezer-1") {
		t.Errorf("an alarm that only its title changes is listed: %s", out)
	}
	if !strings.Contains(out, "endpoints: unchanged") || strings.Contains(out, "at the next start only") {
		t.Errorf("another file in the same folder says the same of endpoints and the store: %s", out)
	}
	if code, out, errs = p.command("plan", "--json", "-c", filepath.Join(dir, "next.toml")); code != 0 || !strings.Contains(out, "\"changed\": [\n") {
		t.Errorf("as JSON: %d %s%s", code, out, errs)
	}
	for _, path := range []string{"/etc/passwd", filepath.Join(dir, "secrets", "ops"), filepath.Join(dir, "..", "x.toml")} {
		if code, out, errs = p.command("plan", "-c", path); code != 1 || !strings.Contains(errs, "is not a .toml file in") {
			t.Errorf("%s: %d %s%s", path, code, out, errs)
		}
	}
	writeFiles(t, dir, map[string]string{"next/cold.toml": strings.Replace(good, "[rule.warm]", "[rule.other]", 1)})
	if code, out, errs = p.command("plan", "-c", filepath.Join(dir, "next.toml")); code != 0 ||
		!strings.Contains(out, "alarm.cancelled to ops (rule_removed)") || !strings.Contains(out, "firing warning") {
		t.Errorf("a rule that goes: %d %s%s", code, out, errs)
	}
	if code, out, errs = p.command("alarms", "ack", "warm/freezer-1", "--by", "me"); code != 0 || out != "warm/freezer-1 is acknowledged, by me\n" || errs != "" {
		t.Errorf("acknowledging: %d %s%s", code, out, errs)
	}
	if code, out, errs = p.command("alarms"); code != 0 || !strings.Contains(out, "acknowledged by me") {
		t.Errorf("alarms: %d %s%s", code, out, errs)
	}
	if code, out, errs = p.command("alarms", "ack", "warm/nobody"); code != 1 || !strings.Contains(errs, "there is no alarm warm/nobody") {
		t.Errorf("acknowledging nothing: %d %s%s", code, out, errs)
	}
	if code, out, errs = p.command("alarms", "ack", "warm/hall//../7"); code != 1 || !strings.Contains(errs, "there is no alarm warm/hall//../7") {
		t.Errorf("acknowledging what has slashes of its own: %d %s%s", code, out, errs)
	}
	if code, out, errs = p.command("explain", "hall//../7"); code != 1 || !strings.Contains(errs, `a device "hall//../7"`) {
		t.Errorf("explaining what has slashes of its own: %d %s%s", code, out, errs)
	}
	code, out, errs = p.command("explain", "freezer-1")
	for _, want := range []string{"warm/freezer-1  firing warning since", "temperature -12 °C", "fires: ", "clears: ", "told", "rules/cold.toml:5"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("explain does not say %q: %d %s%s", want, code, out, errs)
		}
	}
	save(t, rules, good+"nonsense = 1\n")
	if code, out, errs = p.command("plan"); code != 2 || !strings.Contains(errs, "cold.toml:9:1") || out != "" {
		t.Errorf("a broken file: %d %s%s", code, out, errs)
	}
	if got := l.of(t, "warm/freezer-1"); slices.Contains(got, "alarm.cancelled") {
		t.Error("planning told somebody something")
	}
}

// A bridge that was started with a relative path compares like with like: paths
// of a file beside its own are not other ones because a client names it in full.
func TestPlanNamesFilesAsTheRunningConfigurationDoes(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"next.toml": "", "other/next.toml": ""})
	t.Chdir(dir)
	for started, want := range map[string]string{
		"tocsin.toml":                         filepath.Join("other", "next.toml"),
		filepath.Join(dir, "tocsin.toml"):     filepath.Join(dir, "other", "next.toml"),
		filepath.Join("other", "tocsin.toml"): filepath.Join("other", "next.toml"),
	} {
		r := &reloader{started: &config.Config{Path: started}}
		if got, err := r.near(filepath.Join(dir, "other", "next.toml")); got != want || err != nil {
			t.Errorf("started as %s: %s, %v, want %s", started, got, err, want)
		}
	}
}
