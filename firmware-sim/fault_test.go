package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// plays takes steps of one device that measures x = 20 every ten seconds, and
// tells each as "second: what", with what it sends as made by show.
func plays(t *testing.T, steps int, toml string, show func(m Sent) string) []string {
	t.Helper()
	o := Options{Speed: 1, StartAt: time.Unix(1_800_000_000, 0)}
	d := soloDevice(t, `
firmware = "1.0"
events = "{device}/events"
[model.m.signal.x]
base = 20.0
`+toml, o)
	var told []string
	for range steps {
		s := d.next(o)
		what := fmt.Sprintf("%g:", s.at.Seconds())
		if s.cut {
			what += " cut"
		}
		if s.silent {
			what += " silent"
		}
		if s.try != nil {
			what += " try"
		}
		if s.dial {
			what += " dial"
		}
		for _, m := range s.sent {
			what += " " + show(m)
		}
		told = append(told, what)
	}
	return told
}

// value is x as it was sent; a + for a copy, a - if its acknowledgement gets lost.
func value(m Sent) string {
	mark := ""
	if m.Copy > 0 {
		mark += "+"
	}
	if m.loseAck {
		mark += "-"
	}
	_, rest, found := strings.Cut(string(m.Payload), `"x":`)
	if !found {
		return "none"
	}
	text, _, _ := strings.Cut(rest, `,"fw"`)
	return text + mark
}

func number(m Sent) string { return fmt.Sprint(m.Seq) }

// at is the stamp in the payload, in seconds since the start.
func at(m Sent) string {
	var p struct {
		TS *time.Time `json:"ts"`
	}
	if err := json.Unmarshal(m.Payload, &p); err != nil || p.TS == nil {
		return "none"
	}
	return fmt.Sprint(p.TS.Sub(time.Unix(1_800_000_000, 0)).Seconds())
}

func boot(m Sent) string { return fmt.Sprintf("%.4s/%d", m.Boot, m.Seq) }

func TestFaultsDoWhatTheySay(t *testing.T) {
	f := func(kind, fault string, show func(Sent) string, want ...string) {
		t.Helper()
		signal := ""
		if kinds()[kind].aspect == ofSignal {
			signal = "signal = \"x\"\n"
		}
		got := plays(t, len(want), fmt.Sprintf("[fault.f]\ndevice = \"*\"\nkind = %q\n%s%s", kind, signal, fault), show)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q\nwant %q", kind, got, want)
		}
	}
	// Of a signal.
	f("offset", `at = "10s"`+"\nfor = \"10s\"\nadd = 2.0", value, "0: 20", "10: 22", "20: 20")
	f("set", `at = "10s"`+"\nfor = \"10s\"\nset = 2.0", value, "0: 20", "10: 2", "20: 20")
	f("drift", `for = "20s"`+"\nadd = 360.0", value, "0: 20", "10: 21", "20: 20")
	f("spikes", `at = "10s"`+"\nfor = \"10s\"\nadd = 0.0", value, "0: 20", "10: 20")
	f("out-of-range", `at = "10s"`+"\nfor = \"10s\"\nset = -127.0", value, "0: 20", "10: -127", "20: 20")
	f("unit", `at = "10s"`+"\nfor = \"10s\"", value, "0: 20", "10: 68", "20: 20")
	f("unit", `for = "10s"`+"\ngain = 0.1\nunit = \"bar\"", value, "0: 2", "10: 20")
	f("nan", `at = "10s"`+"\nfor = \"10s\"", value, "0: 20", "10: NaN", "20: 20")
	f("null", `at = "10s"`+"\nfor = \"10s\"", value, "0: 20", "10: null")
	f("missing", `at = "10s"`+"\nfor = \"10s\"", value, "0: 20", "10: none", "20: 20")
	f("text", `for = "20s"`+"\nword = \"err\"", value, `0: "err"`, `10: "err"`, "20: 20")
	f("text", `for = "10s"`, value, `0: "unavailable"`)

	// Of the device: boots begin the numbers again.
	f("power-cut", `at = "15s"`+"\nfor = \"20s\"", boot, "0: cf9d/1", "10: cf9d/2", "15: cut", "20:", "30:", "35: dial", "40: c678/1")
	f("power-cut", `at = "15s"`, boot, "0: cf9d/1", "10: cf9d/2", "15: cut", "20:", "30:", "40:")
	f("brown-out", `at = "15s"`+"\nfor = \"15s\"\nevery = \"8s\"", boot, "0: cf9d/1", "10: cf9d/2", "15: cut dial", "20: c678/1", "23: cut dial", "30: bab5/1")
	f("ota", `at = "5s"`+"\nfor = \"10s\"\nversion = \"2.0\"\nfails = true", func(m Sent) string {
		if _, rest, found := strings.Cut(string(m.Payload), `"ota":`); found {
			return boot(m) + rest
		}
		_, rest, _ := strings.Cut(string(m.Payload), `"fw":`)
		return boot(m) + rest
	},
		`0: cf9d/1"1.0"}`,
		`5: cf9d/2{"state":"announced","percent":0,"version":"2.0"}}`,
		`6: cf9d/3{"state":"downloading","percent":10,"version":"2.0"}}`,
		`7: cf9d/4{"state":"downloading","percent":20,"version":"2.0"}}`,
		`8: cf9d/5{"state":"downloading","percent":30,"version":"2.0"}}`,
		`9: cf9d/6{"state":"downloading","percent":40,"version":"2.0"}}`,
		`10: cf9d/7{"state":"downloading","percent":50,"version":"2.0"}}`,
		`10: cf9d/8"1.0"}`,
		`11: cf9d/9{"state":"downloading","percent":60,"version":"2.0"}}`,
		`12: cf9d/10{"state":"downloading","percent":70,"version":"2.0"}}`,
		`13: cf9d/11{"state":"downloading","percent":80,"version":"2.0"}}`,
		`14: cf9d/12{"state":"downloading","percent":90,"version":"2.0"}}`,
		`15: cut dial c678/1{"state":"installed","percent":100,"version":"2.0"}}`,
		`17: cut dial bab5/1{"state":"rolled_back","percent":100,"version":"2.0"}}`,
		`20: bab5/2"1.0"}`)

	// Of the clock.
	f("skew", `for = "20s"`+"\nahead = \"90s\"", at, "0: 90", "10: 100", "20: 20")
	f("skew", `for = "30s"`+"\nbehind = \"90s\"\nover = \"20s\"", at, "0: 0", "10: -35", "20: -70", "30: 30")
	f("epoch", `at = "10s"`+"\nfor = \"20s\"", at, "0: 0", "10: -1.8e+09", "20: -1.79999999e+09", "30: 30")
	f("no-clock", `for = "10s"`, at, "0: none", "10: 10")

	// Of the connection: what was kept leaves with its old time.
	f("offline", `at = "5s"`+"\nfor = \"30s\"", at, "0: 0", "5: cut", "35: 10", "35: 20", "35: 30", "35: dial", "40: 40")
	f("offline", `at = "5s"`+"\nfor = \"30s\"\nkeep = 1", at, "0: 0", "5: cut", "10:", "20:", "35: 30", "35: dial")
	f("offline", `at = "5s"`+"\nfor = \"30s\"\nkeep = 0", at, "0: 0", "5: cut", "10:", "20:", "30:", "35: dial", "40: 40")
	f("half-open", `at = "5s"`+"\nfor = \"20s\"\nkeep = 1", at, "0: 0", "5: silent", "10:", "25: 20", "25: dial", "30: 30")
	f("distrust", `at = "5s"`+"\nfor = \"20s\"", at, "0: 0", "5: cut try", "25: 10", "25: 20", "25: dial", "30: 30")
	f("trickle", `for = "10s"`+"\nbytes = 5.0", value, "0: 20", "10: 20")
	f("duplicate", `at = "10s"`+"\nfor = \"10s\"", value, "0: 20", "10: 20 20+", "20: 20")
	f("reorder", `at = "10s"`+"\nfor = \"10s\"", number, "0: 1", "20: 3 2", "30: 4")
	f("lost-ack", `at = "10s"`+"\nfor = \"10s\"", value, "0: 20", "10: 20-", "20: 20")
	f("reconnect", `at = "15s"`, number, "0: 1", "10: 2", "15: cut dial", "20: 3")
}

func TestSlowNetworkKeepsTheOrder(t *testing.T) {
	last := -1.0
	late := 0
	for i, told := range plays(t, 50, "[fault.f]\ndevice = \"*\"\nkind = \"slow\"\nfor = \"10m\"\ndelay = \"35s\"", at) {
		var leaves, stamp float64
		if _, err := fmt.Sscanf(told, "%g: %g", &leaves, &stamp); err != nil {
			t.Fatal(told, err)
		}
		if leaves < stamp || leaves > stamp+35+35 || leaves < last || stamp != float64(10*i) {
			t.Errorf("%s, after one at %v", told, last)
		}
		if leaves > stamp {
			late++
		}
		last = leaves
	}
	if late < 40 {
		t.Errorf("%d of 50 are late", late)
	}
}

func TestChanceIsThatOfTheReadings(t *testing.T) {
	copies := 0
	for _, told := range plays(t, 2000, "[fault.f]\ndevice = \"*\"\nkind = \"duplicate\"\nfor = \"10h\"\nchance = 0.25", value) {
		copies += strings.Count(told, "+")
	}
	if copies < 400 || copies > 600 {
		t.Errorf("%d of 2000 are sent twice, want about 500", copies)
	}
}

func TestStuckSensorRepeatsWhatItSaid(t *testing.T) {
	got := plays(t, 5, "ramp = { by = 4.0, over = \"40s\" }\n[fault.f]\ndevice = \"*\"\nsignal = \"x\"\nkind = \"stuck\"\nat = \"15s\"\nfor = \"20s\"", value)
	if want := []string{"0: 20", "10: 21", "20: 21", "30: 21", "40: 24"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What a sensor says wrong is not what is there: a signal that follows another
// follows the thing and not its sensor.
func TestSignalsFollowTheThingAndNotItsSensor(t *testing.T) {
	got := plays(t, 3, "[model.m.signal.a]\nformula = \"x * 2\"\n[fault.f]\ndevice = \"*\"\nsignal = \"x\"\nkind = \"out-of-range\"\nset = 999.0\nfor = \"20s\"", func(m Sent) string {
		_, rest, _ := strings.Cut(string(m.Payload), `"a":`)
		return rest
	})
	if want := []string{`0: 40,"x":999,"fw":"1.0"}`, `10: 40,"x":999,"fw":"1.0"}`, `20: 40,"x":20,"fw":"1.0"}`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBatteryEmptiesAndTheDeviceIsSilent(t *testing.T) {
	battery := "[model.m.signal.b]\nbattery = { life = \"100s\" }\nquantum = 1.0\n"
	charge := func(m Sent) string {
		_, rest, _ := strings.Cut(string(m.Payload), `"b":`)
		text, _, _ := strings.Cut(rest, ",")
		return text
	}
	got := plays(t, 13, battery, charge)
	want := []string{"0: 100", "10: 98", "20: 96", "30: 94", "40: 91", "50: 89", "60: 87", "70: 85", "80: 69", "90: 39", "100: cut", "110:", "120:"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	// Drained three times as fast for ten seconds, it is twenty older.
	got = plays(t, 10, battery+"[fault.f]\ndevice = \"*\"\nkind = \"drain\"\nfactor = 3.0\nat = \"10s\"\nfor = \"10s\"", charge)
	want = []string{"0: 100", "10: 98", "20: 91", "30: 89", "40: 87", "50: 85", "60: 69", "70: 39", "80: cut", "90:"}
	if !slices.Equal(got, want) {
		t.Errorf("drained: got %q, want %q", got, want)
	}
}

func TestGroupsFailTogether(t *testing.T) {
	p, err := Parse([]byte(`
topic = "{group}/{device}"
[model.m]
every = "10s"
[model.m.signal.x]
[model.n]
every = "20s"
[model.n.signal.y]
[fleet.f]
mix = { m = 2, n = 1 }
count = 40
groups = 4
id = "d%d"
[fault.one]
group = "f/2"
kind = "power-cut"
[fault.half]
group = "f/*"
share = 0.5
kind = "reconnect"
[fault.some]
device = "d*"
share = 0.5
spread = "1m"
kind = "reconnect"
`), "test.toml")
	if err != nil {
		t.Fatal(err)
	}
	devices, err := p.devices(Options{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	has := func(d *device, name string) *Fault {
		i := slices.IndexFunc(d.faults, func(f *Fault) bool { return f.name == name })
		if i < 0 {
			return nil
		}
		return d.faults[i]
	}
	half := make(map[string]int)
	some, models := 0, make(map[Duration]int)
	begins := make(map[Duration]bool)
	for _, d := range devices {
		if (has(d, "one") != nil) != (d.group == "f/2") {
			t.Errorf("%s of %s: in the group's fault: %v", d.id, d.group, has(d, "one"))
		}
		if has(d, "half") != nil {
			half[d.group]++
		}
		if f := has(d, "some"); f != nil {
			some++
			begins[f.At] = true
		}
		models[d.model.Every]++
	}
	for group, n := range half {
		if n != 10 {
			t.Errorf("%d of the 10 of %s fail", n, group)
		}
	}
	if len(half) == 0 || len(half) == 4 {
		t.Errorf("groups %v fail, want some", half)
	}
	if some < 10 || some > 30 || len(begins) != some {
		t.Errorf("%d devices fail, at %d different times; want about 20, each at its own", some, len(begins))
	}
	if models[Duration(10*time.Second)] != 27 || models[Duration(20*time.Second)] != 13 {
		t.Errorf("the mix is %v, want 27 and 13", models)
	}
}

// A reading that arrives after the one behind it has nothing new to tell.
func TestModelIgnoresWhatComesTooLate(t *testing.T) {
	// Twenty, then thirty for one reading: swapped with the next, nobody sees it in time.
	profile := "step = { by = 10.0, at = \"10s\" }\npulse = { by = -10.0, every = \"1s\", for = \"1s\" }\n" +
		"[expect.warm]\nmetric = \"x\"\nabove = 15.0\n[fault.f]\ndevice = \"*\"\nkind = \"reorder\"\nat = \"10s\"\nfor = \"5s\"\n" +
		"[fault.cold]\ndevice = \"*\"\nsignal = \"x\"\nset = 5.0\nat = \"15s\"\nfor = \"10m\"\n"
	crossings := func(m Sent) string {
		told := fmt.Sprint(m.Seq)
		for _, c := range m.Expected {
			told += "!" + c.Type
		}
		return told
	}
	same(t, plays(t, 3, profile, crossings), "0: 1", "20: 3 2", "30: 4")
	same(t, plays(t, 4, strings.Replace(profile, "reorder", "epoch", 1), crossings)[:1], "0: 1")
	in := strings.Replace(profile, `kind = "reorder"`, `kind = "duplicate"`, 1)
	same(t, plays(t, 3, in, crossings), "0: 1", "10: 2!alarm.fired 2", "20: 3!alarm.resolved")
}
