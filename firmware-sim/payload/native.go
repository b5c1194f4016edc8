package payload

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"time"
)

// A scalar is published alone on a topic of its own, as {metric} says. It has no
// place for a number, a boot or a time.
type scalar struct{ o Options }

func (s scalar) reading(r Reading) []Message {
	all := make([]Message, 0, len(r.Fields))
	for _, f := range r.Fields {
		text := f.Text
		if f.Kind != Text {
			text = value(f, "nan")
		}
		all = append(all, Message{Topic: strings.ReplaceAll(s.o.Topic, "{metric}", f.Name), Payload: []byte(text)})
	}
	return all
}

func (s scalar) progress(u Progress) []Message { return tell(s.o, u) }

// A Shelly of the second generation sends everything after it booted
// (NotifyFullStatus), and from then on the components that changed (NotifyStatus). A component is the part of a field's name before its
// first dot. The number and the boot are a component called sim.
type shelly struct {
	o    Options
	boot string
	last map[string]string // what each component said last
}

func (s *shelly) reading(r Reading) []Message {
	method := "NotifyStatus"
	if s.boot != r.Boot {
		s.boot, s.last, method = r.Boot, make(map[string]string), "NotifyFullStatus"
	}
	o := s.begin(r, method)
	for _, c := range groups(r.Fields) {
		if c.name == "" && len(c.fields) == 0 {
			continue
		}
		if c.name == "" {
			c.name = "sys"
		}
		one := component(c)
		if s.last[c.name] != one {
			s.last[c.name] = one
			o.raw(c.name, one)
		}
	}
	return s.finish(o, r)
}

// component is one as JSON, with its number and, for a temperature, both units.
func component(c group) string {
	o := begin()
	if _, number, numbered := strings.Cut(c.name, ":"); numbered {
		if n, err := strconv.ParseUint(number, 10, 32); err == nil {
			o.count("id", n)
		}
	}
	for _, f := range c.fields {
		o.field(f.Name, f, "null")
		if f.Name == "tC" && f.Kind == Number {
			o.raw("tF", strconv.FormatFloat(f.Num*1.8+32, 'f', 1, 64))
		}
	}
	return string(o.close().b)
}

func (s *shelly) begin(r Reading, method string) *object {
	o := begin().text("src", s.o.Device).text("dst", s.o.Device+"/events").text("method", method).open("params")
	if !r.At.IsZero() {
		o.raw("ts", seconds(r.At, 2))
	}
	return o
}

func (s *shelly) finish(o *object, r Reading) []Message {
	o.open("sim").sim(r).close()
	return []Message{{Topic: s.o.Topic, Payload: o.close().close().b}}
}

func (s *shelly) progress(u Progress) []Message {
	events := map[string]string{"announced": "ota_begin", "downloading": "ota_progress", "installed": "ota_success", "rolled_back": "ota_error"}
	o := s.begin(u.Reading, "NotifyEvent").key("events")
	o.b = append(o.b, `[{`...)
	o.text("component", "sys").text("event", events[u.State]).text("msg", u.State+" "+u.Version).count("progress_percent", percent(u)).close()
	o.b = append(o.b, ']')
	return s.finish(o, u.Reading)
}

// The Things Stack's uplink (v3): the frame counter is the message's number
// less one, left out where it is 0, as are all fields that are; the boot is in
// the decoded payload; the time is the gateway's, which has a clock even where
// the device has none.
type ttn struct{ o Options }

func (t ttn) reading(r Reading) []Message {
	own := sha256.Sum256([]byte(t.o.Device))
	eui := strings.ToUpper(hex.EncodeToString(own[:8]))
	session := base64.StdEncoding.EncodeToString(digest(r.Boot))
	draw := digest(r.Boot + strconv.FormatUint(r.Seq, 10))
	rssi := -60 - int(draw[0])%60
	received := r.At.UTC().Format("2006-01-02T15:04:05.000000000Z")

	o := begin().open("end_device_ids").text("device_id", t.o.Device)
	o.open("application_ids").text("application_id", t.o.Vars["app"]).close()
	o.text("dev_eui", eui).text("join_eui", "70B3D57ED0000000").text("dev_addr", strings.ToUpper(hex.EncodeToString(digest(r.Boot)[:4]))).close()
	if !r.At.IsZero() {
		o.text("received_at", received)
	}
	o.open("uplink_message").text("session_key_id", session).count("f_port", 1)
	if r.Seq > 1 {
		o.count("f_cnt", r.Seq-1)
	}
	o.text("frm_payload", base64.StdEncoding.EncodeToString(frame(r))).open("decoded_payload")
	for _, f := range r.Fields {
		o.field(f.Name, f, "null")
	}
	o.text("boot", r.Boot).close().key("rx_metadata")
	o.b = append(o.b, `[{`...)
	o.open("gateway_ids").text("gateway_id", "gtw1").text("eui", "B827EBFFFE000001").close()
	if !r.At.IsZero() {
		o.text("time", r.At.UTC().Format(stampFormat))
	}
	o.raw("rssi", strconv.Itoa(rssi)).raw("channel_rssi", strconv.Itoa(rssi)).raw("snr", strconv.FormatFloat(float64(int(draw[1])%25)/2-4, 'f', -1, 64)).close()
	o.b = append(o.b, ']')
	o.open("settings").open("data_rate").open("lora").count("bandwidth", 125000).count("spreading_factor", 7+uint64(draw[2])%6)
	o.close().close().text("frequency", "868100000").close()
	if !r.At.IsZero() {
		o.text("received_at", received)
	}
	return []Message{{Topic: t.o.Topic, Payload: o.close().close().b}}
}

// progress: an update over LoRaWAN has no uplink of its own.
func (t ttn) progress(Progress) []Message { return nil }

func digest(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:16]
}

// frame is what the radio would carry: two bytes for each number, in hundredths.
func frame(r Reading) []byte {
	b := make([]byte, 0, 2*len(r.Fields))
	for _, f := range r.Fields {
		n := f.Num * 100
		if f.Kind == Bool && f.On {
			n = 100
		}
		n = max(math.MinInt16, min(math.MaxInt16, n))
		b = binary.BigEndian.AppendUint16(b, uint16(int16(n))) // #nosec G115 -- two's complement is what is sent
	}
	return b
}

// milliseconds since 1970, as Sparkplug counts.
func milliseconds(at time.Time) uint64 {
	return uint64(max(0, at.UnixMilli())) // #nosec G115 -- not negative
}
