package rules

import (
	"strings"
	"testing"
)

// A metric that a rule mistypes is refused, since the rule would be silent for
// ever; one that is merely like another is only asked about, and a sibling is not
// even that wherever both are written.
func TestAMistypedMetricIsRefused(t *testing.T) {
	const known = `
[metric.temperature]
unit = "°C"
[metric.temp_min]
[metric.accel_x]
[metric.phase_1]
[rule.other]
metric = "humidity"
above  = 90
[rule.r]
`
	for text, want := range map[string]string{
		`when = "temprature > 5"`:                                           `error no metric is declared as temprature (did you mean "temperature"? if not, declare [metric.temprature])`,
		`when = "temperature > 5 and humidty > 5"`:                          `error no metric is declared as humidty (did you mean "humidity"? if not, declare [metric.humidty])`,
		"when = \"temperature > 5\"\nclear = \"tempreture<4\"":              `error no metric is declared as tempreture (did you mean "temperature"? if not, declare [metric.tempreture])`,
		`when = "avg(temperatur, 5m) > 5"`:                                  `error no metric is declared as temperatur (did you mean "temperature"? if not, declare [metric.temperatur])`,
		"metric = \"temprature\"\nabove = 5":                                `error rule.r.metric: no metric is declared as temprature (did you mean "temperature"? if not, declare [metric.temprature])`,
		"metric = \"phase_2\"\nabove = 5":                                   `warning rule.r.metric: no metric is declared as phase_2 (did you mean "phase_1"?)`,
		"metric = \"pressure\"\nabove = 5":                                  "",
		`when = "device == 'x'"`:                                            `error no metric is declared as device, and conditions do not ask which device it is (write devices = "ID" beside when, or except; if it is a metric, declare [metric.device])`,
		`when = "temperature > 5 and device != 'x'"`:                        `error no metric is declared as device, and conditions do not ask which device it is (write devices = "ID" beside when, or except; if it is a metric, declare [metric.device])`,
		"when = \"device == 'x'\"\n[metric.device]\ntype = \"text\"":        "",
		`when = "temp_max > 5"`:                                             `warning no metric is declared as temp_max (did you mean "temp_min"?)`,
		`when = "accel_y > 5"`:                                              `warning no metric is declared as accel_y (did you mean "accel_x"?)`,
		`when = "phase_2 > 5"`:                                              `warning no metric is declared as phase_2 (did you mean "phase_1"?)`,
		`when = "pressure > 5"`:                                             "",
		"when = \"humidty > 5\"\n[metric.humidty]":                          `error rule.other.metric: no metric is declared as humidity (did you mean "humidty"? if not, declare [metric.humidity])`,
		"when = \"humidty > 5\"\n[rule.s]\nmetric = \"humidty\"\nbelow = 4": "",
	} {
		p, list := Compile(readFile(t, known+text))
		got := strings.Join(strings.Fields(problems(list)), " ")
		if !strings.Contains(want, ".metric: ") {
			want = strings.ReplaceAll(want, " no metric", " rule.r.when: no metric")
		}
		if strings.Contains(text, "clear") {
			want = strings.ReplaceAll(want, "rule.r.when", "rule.r.clear")
		}
		if got != want || (p == nil) != strings.HasPrefix(want, "error") {
			t.Errorf("%s:\n got %s\nwant %s", text, got, want)
		}
	}
}

// What stands before the colon of a scope selects nothing unless it is one of three
// words. A device's id may hold a colon too.
func TestAMistypedKindOfScopeIsRefused(t *testing.T) {
	const known = `
[device.tank-1]
type   = "tank"
labels = { site = "lyon" }
[group.tanks]
match = { type = "tank" }
`
	rule := func(scope string) string {
		return known + "[rule.r]\nmetric = \"temp\"\nabove = 5\ndevices = " + scope
	}
	for text, want := range map[string]string{
		rule(`"grp:tanks"`):                                `error rule.r.devices: "grp:" is no kind of scope (did you mean "group:tanks"? a device of that id is written "grp[:]tanks")`,
		rule(`["*", "Type:tank"]`):                         `error rule.r.devices: "Type:" is no kind of scope (did you mean "type:tank"? a device of that id is written "Type[:]tank")`,
		rule(`"lable:site=lyon"`):                          `error rule.r.devices: "lable:" is no kind of scope (did you mean "label:site=lyon"? a device of that id is written "lable[:]site=lyon")`,
		rule(`"typ[:]tank"`):                               "",
		rule(`"aa:bb:cc:dd:ee:ff"`):                        "",
		rule(`"urn:dev:*"`):                                "",
		rule(`"site:lyon"`):                                `warning rule.r.devices: "site:lyon" is read as a device's id (did you mean "label:site=lyon"?)`,
		rule(`"site=lyon"`):                                `warning rule.r.devices: "site=lyon" is read as a device's id (did you mean "label:site=lyon"?)`,
		rule(`"tanks"`):                                    `warning rule.r.devices: "tanks" is read as a device's id (did you mean "group:tanks"?)`,
		rule(`"tank"`):                                     `warning rule.r.devices: "tank" is read as a device's id (did you mean "type:tank"?)`,
		rule(`"type=tank"`):                                `warning rule.r.devices: "type=tank" is read as a device's id (did you mean "type:tank"?)`,
		rule(`"device:tank-1"`):                            `warning rule.r.devices: "device:tank-1" is read as a device's id (did you mean "tank-1"?)`,
		rule(`"tank-1"`) + "\nexcept = \"tpye:tank\"":      `error rule.r.except: "tpye:" is no kind of scope (did you mean "type:tank"? a device of that id is written "tpye[:]tank")`,
		rule(`"grp:a"`) + "\n[device.\"grp:boiler\"]":      `warning rule.r.devices: "grp:a" is read as a device's id, as "grp:boiler" is (did you mean "group:a"?)`,
		rule(`"grp:a"`) + "\n[device.\"grp:a\"]":           "",
		rule(`"*"`) + "\noverride.\"grp:tanks\".above = 6": `error rule.r.override.grp:tanks: "grp:" is no kind of scope (did you mean "group:tanks"?)`,
		rule(`"*"`) + "\n[maintenance.m]\ndevices = \"lbl:site=lyon\"\nfrom = 2026-11-12T22:00:00Z\nto = 2026-11-13T22:00:00Z": `error maintenance.m.devices: "lbl:" is no kind of scope (did you mean "label:site=lyon"? a device of that id is written "lbl[:]site=lyon")`,
	} {
		p, list := Compile(readFile(t, text))
		got := strings.TrimSpace(problems(list))
		if got != want || (p == nil) != strings.HasPrefix(want, "error") {
			t.Errorf("%s:\n got %s\nwant %s", text[len(known):], got, want)
		}
	}
}

// An override that nothing can ever be of is a mistake in its key.
func TestAnOverrideOfNothingIsSuspect(t *testing.T) {
	const rule = `
[device.tank-1]
type   = "tank"
labels = { site = "lyon" }
[rule.r]
metric = "temp"
above  = 5
`
	for key, want := range map[string]string{
		"label:site=lyno": `warning rule.r.override.label:site=lyno: "label:site=lyno" selects no declared device (did you mean "label:site=lyon"?)`,
		"label:sit=lyon":  `warning rule.r.override.label:sit=lyon: "label:sit=lyon" selects no declared device (did you mean "label:site=lyon"?)`,
		"label:hall=a":    "", // a topic may give it
		"label:site=nice": "",
		"label:site=lyon": "",
	} {
		_, list := Compile(readFile(t, rule+"[rule.r.override.\""+key+"\"]\nabove = 6"))
		if got := strings.TrimSpace(problems(list)); got != want {
			t.Errorf("%s:\n got %s\nwant %s", key, got, want)
		}
	}
}

func TestAnOverrideThatNoDeviceHeardOfIsOfIsSuspect(t *testing.T) {
	for key, want := range map[string]string{
		"label:site=lyon":  "",
		"label:site=paris": `rule.r.override.label:site=paris: is never used: none of the 2 devices that the rule looks at and that were heard of is of it (correct the key, or wait until such a device reports)`,
		"label:sit=lyon":   `rule.r.override.label:sit=lyon: is never used: none of the 2 devices that the rule looks at and that were heard of is of it (did you mean "label:site=lyon"?)`,
		"group:north":      `rule.r.override.group:north: is never used: none of the 2 devices that the rule looks at and that were heard of is of it (correct the key, or wait until such a device reports)`,
		"group:south":      "",
		"type:spare":       "", // it is declared, and may be put to use
		"freezer-99":       `rule.r.override.freezer-99: is never used: no device of that id was heard of (did you mean "freezer-1"?)`,
		"cellar":           `rule.r.override.cellar: is never used: no device of that id was heard of (correct the key, or wait until it reports)`,
	} {
		p, list := Compile(readFile(t, `
[device.spare-1]
type   = "spare"
[group.north]
match = { site = "lille" }
[group.south]
match = { site = "lyon" }
[rule.r]
metric = "temp"
above  = 5
[rule.r.override."`+key+`"]
above = 6`))
		if p == nil {
			t.Fatal(problems(list))
		}
		l := NewLinter(p)
		for i, site := range []string{"lyon", "nice"} {
			s := reading(start, 3)
			s.Device, s.Metric, s.Labels = []string{"freezer-1", "freezer-2"}[i], "temp", map[string]string{"site": site}
			l.Take(Input{Now: start, Sample: s})
		}
		var got []string
		for _, p := range l.Problems() {
			got = append(got, strings.Join(p.Path, ".")+": "+p.Fact+" ("+p.Remedy+")")
		}
		if got := strings.Join(got, "; "); got != want {
			t.Errorf("%s:\n got %s\nwant %s", key, got, want)
		}
	}
}

// A word of three letters that shares one of them with another is no slip of it.
func TestShortNameIsNotTakenForAnother(t *testing.T) {
	for when, want := range map[string]bool{"ext > 5": false, "cat > 5": true} {
		_, list := Compile(readFile(t, "schema = 1\n[metric.bat]\n[rule.r]\nwhen = \""+when+"\"\n"))
		if got := strings.Contains(problems(list), "did you mean"); got != want {
			t.Errorf("%s: %s", when, problems(list))
		}
	}
}
