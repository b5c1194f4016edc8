package config

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
)

// What grows in a file, as tables in which # is a number of their own. The first
// table is there once.
var growing = []struct{ name, once, table string }{
	{"limits", "", "[rule.r#]\nmetric = \"temperature\"\ndevices = [\"dev-#\"]\nabove = #\nfor = \"5m\"\n"},
	{"metrics", "", "[rule.r#]\nmetric = \"m#\"\nabove = 20\n"},
	{"named metrics", "", "[metric.m#]\nunit = \"°C\"\n[rule.r#]\nmetric = \"m#\"\nabove = 20\n"},
	{"undeclared metrics", "", "[metric.m#]\nunit = \"°C\"\n[rule.r#]\nmetric = \"a#b\"\nabove = 20\n"},
	{"mistyped metrics", "", "[metric.temperature#]\nunit = \"°C\"\n[rule.r#]\nmetric = \"temprature#\"\nabove = 20\n"},
	{"expressions", "", "[rule.r#]\nwhen = \"m# > 3\"\n"},
	{"mistyped expressions", "", "[metric.temperature#]\nunit = \"°C\"\n[rule.r#]\nwhen = \"temprature# > 3\"\n"},
	{"one metric", "", "[rule.r#]\nwhen = \"temperature > #\"\n"},
	{"devices", "", "[device.d#]\nattr = { max = \"# °C\" }\n[rule.r#]\nmetric = \"temperature\"\ndevices = [\"d#\"]\nabove = \"@max\"\n"},
	{"mistyped devices", "", "[device.device#]\nevery = \"1m\"\n[rule.r#]\nmetric = \"temperature\"\ndevices = [\"devise#\"]\nabove = #\n"},
	{"types", "", "[device.d#]\ntype = \"t#\"\n[rule.r#]\nmetric = \"temperature\"\ndevices = [\"type:t#\"]\nabove = #\n"},
	{"mistyped types", "", "[device.d#]\ntype = \"type#\"\n[rule.r#]\nmetric = \"temperature\"\ndevices = [\"type:tipe#\"]\nabove = #\n"},
	{"globs", "", "[device.d#]\nevery = \"1m\"\n[rule.r#]\nmetric = \"temperature\"\ndevices = [\"d#*\"]\nabove = #\n"},
	{"labels", "", "[device.d#]\nlabels = { site = \"s#\" }\n[rule.r#]\nmetric = \"temperature\"\ndevices = [\"label:site=s#\"]\nabove = #\n"},
	{"mistyped labels", "", "[device.d#]\nlabels = { site = \"s#\" }\n[rule.r#]\nmetric = \"temperature\"\ndevices = [\"label:sute=s#\"]\nabove = #\n"},
	{"groups", "", "[device.d#]\ntype = \"t#\"\n[group.g#]\nmatch = [\"type:t#\"]\n[rule.r#]\nmetric = \"temperature\"\ndevices = [\"group:g#\"]\nabove = #\n"},
	{"parents", "", "[device.p#]\nvia = \"q#\"\n[device.q#]\nevery = \"1m\"\n[rule.r#]\nsilent = \"1h\"\ndevices = [\"p#\"]\n"},
	{"overrides", "[rule.r]\nmetric = \"temperature\"\nabove = 1\n", "[rule.r.override.d#]\nabove = #\n"},
	{"overrides of declared devices", "[rule.r]\nmetric = \"temperature\"\nabove = 1\n", "[device.d#]\nevery = \"1m\"\n[rule.r.override.d#]\nabove = #\n"},
	{"overrides of mistyped devices", "[rule.r]\nmetric = \"temperature\"\nabove = 1\n", "[device.device#]\nevery = \"1m\"\n[rule.r.override.devise#]\nabove = #\n"},
	{"overrides of labels", "[rule.r]\nmetric = \"temperature\"\nabove = 1\n", "[device.d#]\nlabels = { site = \"s#\" }\n[rule.r.override.\"label:site=s#\"]\nabove = #\n"},
	{"overrides of types", "[rule.r]\nmetric = \"temperature\"\nabove = 1\n", "[device.d#]\ntype = \"t#\"\n[rule.r.override.\"type:t#\"]\nabove = #\n"},
	{"attributes", "[rule.r]\nmetric = \"temperature\"\nabove = \"@max\"\n", "[device.d#]\nattr = { max = \"# °C\" }\n"},
	{"suppressed", "", "[rule.r#]\nmetric = \"temperature\"\ndevices = [\"d#\"]\nabove = #\nsuppress_if = \"s#\"\n[rule.s#]\nmetric = \"door\"\ndevices = [\"d#\"]\nis = \"open\"\n"},
	{"asking", "", "[rule.r#]\nwhen = \"firing(s#)\"\n[rule.s#]\nmetric = \"door\"\ndevices = [\"d#\"]\nis = \"open\"\n"},
	{"asking a mistyped rule", "", "[rule.r#]\nwhen = \"firing(ss#)\"\n[rule.s#x]\nmetric = \"door\"\ndevices = [\"d#\"]\nis = \"open\"\n"},
	{"asking one", "[rule.s]\nmetric = \"door\"\nis = \"open\"\n", "[rule.r#]\nwhen = \"firing(s) and temperature > #\"\n"},
	{"levels", "", "[rule.r#]\nmetric = \"temperature\"\ndevices = [\"dev-#\"]\nabove = #\nlevel.major.above = 1#\nlevel.critical.above = 2#\n"},
	{"schedules", "", "[schedule.s#]\ndays = [\"mon\"]\nhours = [\"08:00-12:00\"]\n[rule.r#]\nmetric = \"temperature\"\ndevices = [\"dev-#\"]\nabove = #\nschedule = \"s#\"\n"},
	{"across", "", "[rule.r#]\nmetric = \"temperature\"\nacross = \"label:l#\"\nreduce = \"avg\"\nabove = #\n"},
	{"counting", "", "[rule.r#]\nmetric = \"temperature\"\ndevices = [\"dev-#\"]\nagg = \"count\"\nover = \"1h\"\nbelow = 3\n"},
	{"silence", "", "[rule.r#]\nsilent = \"5m\"\ndevices = [\"dev-#\"]\n"},
	{"renamed", "", "[rule.r#]\nrenamed_from = \"old#\"\nmetric = \"temperature\"\ndevices = [\"dev-#\"]\nabove = #\n"},
	{"tests", "", "[rule.r#]\nmetric = \"temperature\"\ndevices = [\"dev-#\"]\nabove = #\n[test.t#]\nrule = \"r#\"\ninput = [\"0s 1\"]\nexpect = []\n"},
	{"maintenance", "", "[maintenance.m#]\nfrom = 2026-01-01T00:00:00Z\nto = 2026-01-02T00:00:00Z\ndevices = [\"d#\"]\n[rule.r#]\nmetric = \"temperature\"\ndevices = [\"d#\"]\nabove = #\n"},
	{"unknown endpoints", "", "[rule.r#]\nmetric = \"temperature\"\ndevices = [\"d#\"]\nabove = #\nnotify = [\"opps#\"]\n"},
	{"unknown keys", "", "[rule.r#]\nmetric = \"temperature\"\nabov = 3\nfor = \"ten\"\nsilnt = 3\n"},
	{"devices of one rule", "[rule.r]\nmetric = \"temperature\"\nabove = 1\n", "[device.d#]\nevery = \"1m\"\n"},
	{"same rules", "", "[rule.r#]\nmetric = \"temperature\"\nabove = 3\n"},
}

// BenchmarkGrowth loads 10,000 and 20,000 of each and says how many times as long
// the latter takes: 2 is linear, 4 is quadratic.
func BenchmarkGrowth(b *testing.B) {
	const n = 10_000
	for _, g := range growing {
		b.Run(strings.ReplaceAll(g.name, " ", "-"), func(b *testing.B) {
			load := func(n int) time.Duration {
				var text strings.Builder
				text.WriteString(g.once)
				for i := range n {
					text.WriteString(strings.ReplaceAll(g.table, "#", strconv.Itoa(i)))
				}
				if err := os.WriteFile("rules/cold.toml", []byte(text.String()), 0o600); err != nil {
					b.Fatal(err)
				}
				start := time.Now()
				Load("tocsin.toml", Options{})
				return time.Since(start)
			}
			setUp(b, &txtar.Archive{})
			var once, twice time.Duration
			for b.Loop() {
				once += load(n)
				twice += load(2 * n)
			}
			b.ReportMetric(float64(twice)/float64(once), "growth")
		})
	}
}
