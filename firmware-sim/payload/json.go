package payload

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// stampFormat is RFC 3339 in milliseconds, UTC.
const stampFormat = "2006-01-02T15:04:05.000Z"

// quote writes text as JSON.
func quote(text string) []byte {
	b, err := json.Marshal(text)
	if err != nil {
		return []byte(`""`) // a string always has a JSON form
	}
	return b
}

// sim writes what identifies a message where a format lets a device add keys.
func (o *object) sim(r Reading) *object { return o.count("seq", r.Seq).text("boot", r.Boot) }

// A plain device sends one flat object: "ts", "seq" and "boot", then what it measures.
type plain struct{ o Options }

func (p plain) reading(r Reading) []Message {
	o := opening(r)
	for _, f := range r.Fields {
		o.field(f.Name, f, "NaN")
	}
	return []Message{{Topic: p.o.Topic, Payload: o.close().b}}
}

func opening(r Reading) *object {
	o := begin()
	if !r.At.IsZero() {
		o.text("ts", r.At.UTC().Format(stampFormat))
	}
	return o.sim(r)
}

func (p plain) progress(u Progress) []Message { return tell(p.o, u) }

// tell is a message of an update on the topic that the profile has for events.
func tell(o Options, u Progress) []Message {
	if o.Events == "" {
		return nil
	}
	b := opening(u.Reading).open("ota").text("state", u.State).count("percent", percent(u)).text("version", u.Version).close()
	return []Message{{Topic: o.Events, Payload: b.close().b}}
}

func percent(u Progress) uint64 { return uint64(max(0, u.Percent)) }

// Zigbee2MQTT sends one flat object with "last_seen"; "seq" and "boot" are keys
// of the simulator's own among those of the device.
type zigbee struct{ o Options }

func (z zigbee) reading(r Reading) []Message {
	o := begin()
	for _, f := range r.Fields {
		o.field(f.Name, f, "null")
	}
	return z.finish(o, r)
}

func (z zigbee) finish(o *object, r Reading) []Message {
	if !r.At.IsZero() {
		o.text("last_seen", r.At.UTC().Format(stampFormat))
	}
	return []Message{{Topic: z.o.Topic, Payload: o.sim(r).close().b}}
}

func (z zigbee) progress(u Progress) []Message {
	state := "idle"
	if u.State == "announced" {
		state = "available"
	} else if u.State == "downloading" {
		state = "updating"
	}
	o := begin().open("update").text("state", state)
	if state == "updating" {
		o.count("progress", percent(u))
	}
	return z.finish(o.text("latest_version", u.Version).close(), u.Reading)
}

// Tasmota sends local time without a zone, an object for each sensor (the part
// of a field's name before its first dot) and the unit of all temperatures. The
// number and the boot are those of a sensor called Sim.
type tasmota struct{ o Options }

const tasmotaTime = "2006-01-02T15:04:05"

func (t tasmota) reading(r Reading) []Message {
	o := t.begin(r)
	unit := ""
	for _, sensor := range groups(r.Fields) {
		if sensor.name != "" {
			o.open(sensor.name)
		}
		for _, f := range sensor.fields {
			o.field(f.Name, f, "nan")
			if u := strings.TrimPrefix(f.Unit, "°"); u == "C" || u == "F" {
				unit = u
			}
		}
		if sensor.name != "" {
			o.close()
		}
	}
	o.open("Sim").count("Seq", r.Seq).text("Boot", r.Boot).close()
	if unit != "" {
		o.text("TempUnit", unit)
	}
	return []Message{{Topic: t.o.Topic, Payload: o.close().b}}
}

func (t tasmota) begin(r Reading) *object {
	if r.At.IsZero() {
		return begin()
	}
	return begin().text("Time", r.At.UTC().Format(tasmotaTime))
}

func (t tasmota) progress(u Progress) []Message {
	words := map[string]string{
		"announced": "Version " + u.Version, "downloading": "Upgrade " + strconv.Itoa(u.Percent) + "%",
		"installed": "Successful", "rolled_back": "Failed",
	}
	b := t.begin(u.Reading).text("Upgrade", words[u.State]).open("Sim").count("Seq", u.Seq).text("Boot", u.Boot).close()
	return []Message{{Topic: "stat/" + t.o.Device + "/UPGRADE", Payload: b.close().b}}
}

// A group is fields under one key.
type group struct {
	name   string
	fields []Field
}

// groups gathers fields by what stands before the first dot of their names;
// those without a dot come first, under no name.
func groups(fields []Field) []group {
	all := []group{{}}
	for _, f := range fields {
		sensor, name, dotted := strings.Cut(f.Name, ".")
		if !dotted {
			sensor, name = "", f.Name
		}
		f.Name = name
		i := slices.IndexFunc(all, func(g group) bool { return g.name == sensor })
		if i < 0 {
			all, i = append(all, group{name: sensor}), len(all)
		}
		all[i].fields = append(all[i].fields, f)
	}
	return all
}

// SenML (RFC 8428) sends a pack of records: a base name and time in the first,
// "seq" and "boot" as the last two. ut says when the next pack is due.
type senml struct{ o Options }

func (s senml) reading(r Reading) []Message {
	b := []byte{'['}
	o := begin().text("bn", "urn:dev:sim:"+s.o.Device+":")
	if !r.At.IsZero() {
		o.raw("bt", seconds(r.At, 3))
	}
	for _, f := range append(slices.Clone(r.Fields),
		Field{Name: "seq", Text: strconv.FormatUint(r.Seq, 10)},
		Field{Name: "boot", Kind: Text, Text: r.Boot}) {
		o.text("n", f.Name)
		if u := senmlUnit(f); u != "" {
			o.text("u", u)
		}
		switch f.Kind {
		case Bool:
			o.field("vb", f, "")
		case Text:
			o.field("vs", f, "")
		default:
			o.field("v", f, "NaN")
		}
		b = append(append(b, o.b...), '}', ',')
		o = begin()
	}
	b[len(b)-1] = ']'
	return []Message{{Topic: s.o.Topic, Payload: b}}
}

func (s senml) progress(u Progress) []Message { return tell(s.o, u) }

// seconds is a time as a number of seconds with so many decimals.
func seconds(at time.Time, decimals int) string {
	text := strconv.FormatInt(at.UnixMilli(), 10)
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "-", text[1:]
	}
	text = strings.Repeat("0", max(0, 4-len(text))) + text
	whole, part := text[:len(text)-3], text[len(text)-3:]
	return sign + whole + "." + part[:decimals]
}

// senmlUnit is the unit as the registry of RFC 8428 has it.
func senmlUnit(f Field) string {
	if f.Kind != Number && f.Kind != NaN {
		return ""
	}
	registered := map[string]string{ // there, or in RFC 8798
		"°C": "Cel", "%": "%", "%RH": "%RH", "V": "V", "mV": "mV", "A": "A", "mA": "mA", "W": "W", "kW": "kW", "kWh": "kWh",
		"Pa": "Pa", "hPa": "hPa", "m": "m", "cm": "cm", "mm": "mm", "km/h": "km/h", "m/s": "m/s", "m/s2": "m/s2", "Hz": "Hz",
		"lx": "lx", "dB": "dB", "dBm": "dBm", "ppm": "ppm", "l": "l", "l/s": "l/s", "s": "s", "min": "min", "pH": "pH",
	}
	return registered[f.Unit]
}
