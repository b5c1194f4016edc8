package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// Whoever changes the configuration by its files is in the audit log as well as who
// asks over HTTP, with what it changed; what changed nothing is not.
func TestReloadsWithoutARequestAreAudited(t *testing.T) {
	dir, p, _ := reloadable(t)
	rules := filepath.Join(dir, "rules", "cold.toml")
	good := read(t, rules)
	entries := func() (list []string) {
		answer, _ := p.asks(200, "GET", "audit", "")
		for _, e := range answer["audit"].([]any) {
			e := e.(map[string]any)
			said, _ := json.Marshal(e["said"])
			list = append(list, fmt.Sprint(e["who"], " ", e["method"], " ", e["status"], " ", string(said), " ", e["error"]))
		}
		slices.Reverse(list)
		return list
	}
	wants := func(n int, parts ...string) {
		t.Helper()
		eventually(t, fmt.Sprint(n, " entries"), func() bool { return len(entries()) == n })
		for _, part := range parts {
			if last := entries()[n-1]; !strings.Contains(last, part) {
				t.Errorf("%s, want %s", last, part)
			}
		}
	}
	save(t, rules, good+"[rule.hot]\nmetric = \"temperature\"\nabove = \"40 °C\"\n")
	wants(1, "file RELOAD 200", `"rules_added":"hot"`)
	save(t, rules, read(t, rules)) // as it was
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	wants(2, "SIGHUP RELOAD 200")
	save(t, rules, good+"[rule.hot]\nabovee = \"40 °C\"\n")
	wants(3, "file RELOAD 422", "abovee")
	save(t, rules, good)
	wants(4, "file RELOAD 200", `"rules_removed":"hot"`)
	p.asks(200, "POST", "reload", "")
	wants(5, "loopback POST 200")
	many := ""
	for i := range 100 {
		many += fmt.Sprintf("[rule.warm-%d]\nmetric = \"temperature\"\nabove = \"40 °C\"\n", i)
	}
	save(t, rules, good+many)
	wants(6, "file RELOAD 200", `"rules_added":"warm-0 `)
	if last := entries()[5]; len(last) > 600 { // 10,000 of them are kept
		t.Errorf("an entry of %d bytes", len(last))
	}
	if code, out, errs := p.command("audit"); code != 0 || !strings.Contains(out, "rules_removed=hot") {
		t.Errorf("%d %s%s", code, out, errs)
	}
}
