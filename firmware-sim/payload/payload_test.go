package payload

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

func fields() []Field {
	return []Field{
		{Name: "probe.temperature", Text: "-18.25", Num: -18.25, Unit: "°C"},
		{Name: "door", Kind: Bool, On: true},
		{Name: "mode", Kind: Text, Text: `a "b" é`},
	}
}

func moment() time.Time { return time.Date(2026, 11, 22, 9, 0, 0, 432_000_000, time.UTC) }

func encoder(t *testing.T, format string) *Encoder {
	t.Helper()
	o := Options{Format: format, Device: "dev-1", Fields: fields(), Events: "x/dev-1/events"}
	switch {
	case format == "scalar":
		o.Topic = "x/dev-1/{metric}"
	case !HasTopics(format):
		o.Topic = "x/dev-1"
	}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func read(t *testing.T, m Message) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(m.Payload, &v); err != nil {
		t.Fatalf("%s: %v", m.Payload, err)
	}
	return v
}

// at follows a path of keys and array positions.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			object, _ := v.(map[string]any)
			v = object[p]
		case int:
			array, _ := v.([]any)
			if p >= len(array) {
				return nil
			}
			v = array[p]
		}
	}
	return v
}

func TestOtherDecodersReadWhatWasMeasured(t *testing.T) {
	f := func(format, topic string, want map[string]any) {
		t.Run(format, func(t *testing.T) {
			e := encoder(t, format)
			all := e.Reading(Reading{Seq: 12, Boot: "b00t", At: moment(), Fields: fields()})
			if len(all) != 1 || all[0].Topic != topic || all[0].Retain {
				t.Fatalf("%v, want one message on %s", all, topic)
			}
			var v any
			if err := json.Unmarshal(all[0].Payload, &v); err != nil {
				t.Fatalf("%s: %v", all[0].Payload, err)
			}
			for path, value := range want {
				var keys []any
				for k := range strings.SplitSeq(path, "/") {
					if len(k) == 1 && k[0] >= '0' && k[0] <= '9' {
						keys = append(keys, int(k[0]-'0'))
					} else {
						keys = append(keys, k)
					}
				}
				if got := at(v, keys...); got != value {
					t.Errorf("%s is %v, want %v, in %s", path, got, value, all[0].Payload)
				}
			}
		})
	}
	stamp, mode := "2026-11-22T09:00:00.432Z", `a "b" é`
	f("json", "x/dev-1", map[string]any{"ts": stamp, "seq": 12., "boot": "b00t", "probe.temperature": -18.25, "door": true, "mode": mode})
	f("zigbee2mqtt", "zigbee2mqtt/dev-1", map[string]any{"last_seen": stamp, "seq": 12., "boot": "b00t", "probe.temperature": -18.25, "door": true})
	f("tasmota", "tele/dev-1/SENSOR", map[string]any{"Time": "2026-11-22T09:00:00", "Sim/Seq": 12., "Sim/Boot": "b00t",
		"probe/temperature": -18.25, "TempUnit": "C", "mode": mode})
	f("ttn", "v3/app1@ttn/devices/dev-1/up", map[string]any{"end_device_ids/device_id": "dev-1", "uplink_message/f_cnt": 11.,
		"uplink_message/decoded_payload/probe.temperature": -18.25, "uplink_message/decoded_payload/boot": "b00t",
		"uplink_message/rx_metadata/0/time": stamp, "end_device_ids/application_ids/application_id": "app1"})
	f("shelly", "dev-1/events/rpc", map[string]any{"src": "dev-1", "method": "NotifyFullStatus", "params/ts": 1795338000.43,
		"params/probe/temperature": -18.25, "params/sys/door": true, "params/sim/seq": 12., "params/sim/boot": "b00t"})
	f("senml", "x/dev-1", map[string]any{"0/bn": "urn:dev:sim:dev-1:", "0/bt": 1795338000.432, "0/n": "probe.temperature", "0/u": "Cel", "0/v": -18.25,
		"1/vb": true, "2/vs": mode, "3/n": "seq", "3/v": 12., "4/n": "boot", "4/vs": "b00t"})
}

func TestScalarsHaveATopicEach(t *testing.T) {
	var got []string
	for _, m := range encoder(t, "scalar").Reading(Reading{Seq: 3, At: moment(), Fields: append(fields(), Field{Name: "x", Kind: NaN})}) {
		got = append(got, m.Topic+" "+string(m.Payload))
	}
	want := []string{"x/dev-1/probe.temperature -18.25", "x/dev-1/door true", `x/dev-1/mode a "b" é`, "x/dev-1/x nan"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A device without a clock sends no time anywhere, not the year one.
func TestNoClockIsNoTime(t *testing.T) {
	for _, format := range Names() {
		for _, m := range encoder(t, format).Reading(Reading{Seq: 2, Boot: "b", Fields: fields()}) {
			for _, trace := range []string{"0001-", `"ts"`, `"bt"`, `"Time"`, `"time"`, "last_seen", "received_at"} {
				if bytes.Contains(m.Payload, []byte(trace)) {
					t.Errorf("%s: %s holds %s", format, m.Payload, trace)
				}
			}
		}
	}
}

func TestBrokenValuesAreSentAsEachFormatHasThem(t *testing.T) {
	f := func(format string, kind Kind, want string) {
		t.Helper()
		m := encoder(t, format).Reading(Reading{Seq: 2, Boot: "b", At: moment(), Fields: []Field{{Name: "s.t", Kind: kind, Text: "unavailable"}}})
		if !strings.Contains(string(m[0].Payload), want) {
			t.Errorf("%s: %s lacks %s", format, m[0].Payload, want)
		}
	}
	f("json", NaN, `"s.t":NaN`)
	f("json", Null, `"s.t":null`)
	f("json", Text, `"s.t":"unavailable"`)
	f("tasmota", NaN, `"s":{"t":nan}`)
	f("zigbee2mqtt", NaN, `"s.t":null`)
	f("shelly", NaN, `"s":{"t":null}`)
	f("senml", Null, `"n":"s.t","v":null`)
	f("scalar", Null, `null`)
}

func TestShellySendsWhatChanged(t *testing.T) {
	e := encoder(t, "shelly")
	send := func(boot string, c, p string) map[string]any {
		return read(t, e.Reading(Reading{Seq: 1, Boot: boot, At: moment(), Fields: []Field{
			{Name: "temperature:0.tC", Text: c, Num: 20}, {Name: "devicepower:0.percent", Text: p},
		}})[0])
	}
	if v := send("a", "20.0", "90"); v["method"] != "NotifyFullStatus" || at(v, "params", "temperature:0", "tF") != 68. || at(v, "params", "temperature:0", "id") != 0. {
		t.Errorf("first: %v", v)
	}
	if v := send("a", "20.0", "89"); v["method"] != "NotifyStatus" || at(v, "params", "temperature:0") != nil || at(v, "params", "devicepower:0", "percent") != 89. {
		t.Errorf("then: %v", v)
	}
	if v := send("b", "20.0", "89"); v["method"] != "NotifyFullStatus" || at(v, "params", "temperature:0") == nil {
		t.Errorf("after a boot: %v", v)
	}
}

func TestPresenceIsSaidAsEachFormatHasIt(t *testing.T) {
	f := func(format, topic, on, off string) {
		t.Helper()
		e := encoder(t, format)
		birth, will := e.Birth(Reading{}), e.Will()
		if topic == "" {
			if birth != nil || will != nil {
				t.Errorf("%s: %v, %v; want nothing", format, birth, will)
			}
			return
		}
		if len(birth) != 1 || birth[0].Topic != topic || string(birth[0].Payload) != on || !birth[0].Retain ||
			will.Topic != topic || string(will.Payload) != off || !will.Retain {
			t.Errorf("%s: %v, %v; want %s and %s on %s, retained", format, birth, will, on, off, topic)
		}
	}
	f("json", "", "", "")
	f("ttn", "", "", "")
	f("tasmota", "tele/dev-1/LWT", "Online", "Offline")
	f("zigbee2mqtt", "zigbee2mqtt/dev-1/availability", `{"state":"online"}`, `{"state":"offline"}`)
	f("shelly", "dev-1/online", "true", "false")
}

func TestUpdatesAreTold(t *testing.T) {
	f := func(format, topic, state, want string) {
		t.Helper()
		all := encoder(t, format).Progress(Progress{Reading: Reading{Seq: 4, Boot: "b", At: moment()}, State: state, Percent: 30, Version: "2.0"})
		if topic == "" {
			if all != nil {
				t.Errorf("%s: %v, want nothing", format, all)
			}
			return
		}
		if len(all) != 1 || all[0].Topic != topic || !strings.Contains(string(all[0].Payload), want) || !json.Valid(all[0].Payload) {
			t.Errorf("%s: %s %s, want %s on %s", format, all[0].Topic, all[0].Payload, want, topic)
		}
	}
	f("json", "x/dev-1/events", "downloading", `"ota":{"state":"downloading","percent":30,"version":"2.0"}`)
	f("scalar", "x/dev-1/events", "announced", `"seq":4`)
	f("tasmota", "stat/dev-1/UPGRADE", "downloading", `"Upgrade 30%"`)
	f("zigbee2mqtt", "zigbee2mqtt/dev-1", "downloading", `"update":{"state":"updating","progress":30,"latest_version":"2.0"}`)
	f("shelly", "dev-1/events/rpc", "downloading", `"event":"ota_progress"`)
	f("ttn", "", "downloading", "")
	f("sparkplug", "", "downloading", "")
}

func TestUnknownFormatIsRefused(t *testing.T) {
	if _, err := New(Options{Format: "xml"}); err == nil || !strings.Contains(err.Error(), "use json, scalar, senml") {
		t.Errorf("got %v", err)
	}
}

// schema is the part of sparkplug_b.proto that is sent, as its text has it.
func schema(t *testing.T) (payload protoreflect.MessageDescriptor) {
	t.Helper()
	type kind = descriptorpb.FieldDescriptorProto_Type
	message := func(name string, fields ...*descriptorpb.FieldDescriptorProto) *descriptorpb.DescriptorProto {
		return &descriptorpb.DescriptorProto{Name: &name, Field: fields}
	}
	field := func(name string, number int32, k kind, of string, many bool) *descriptorpb.FieldDescriptorProto {
		f := &descriptorpb.FieldDescriptorProto{Name: &name, Number: &number, Type: &k, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
		if of != "" {
			f.TypeName = proto.String(".spb." + of)
		}
		if many {
			f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		}
		return f
	}
	const (
		u32, u64, str  = descriptorpb.FieldDescriptorProto_TYPE_UINT32, descriptorpb.FieldDescriptorProto_TYPE_UINT64, descriptorpb.FieldDescriptorProto_TYPE_STRING
		yesno, dbl, in = descriptorpb.FieldDescriptorProto_TYPE_BOOL, descriptorpb.FieldDescriptorProto_TYPE_DOUBLE, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
	)
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("spb.proto"), Package: proto.String("spb"), Syntax: proto.String("proto2"),
		MessageType: []*descriptorpb.DescriptorProto{
			message("Payload", field("timestamp", 1, u64, "", false), field("metrics", 2, in, "Metric", true), field("seq", 3, u64, "", false)),
			message("Metric", field("name", 1, str, "", false), field("alias", 2, u64, "", false), field("timestamp", 3, u64, "", false),
				field("datatype", 4, u32, "", false), field("is_null", 7, yesno, "", false), field("properties", 9, in, "PropertySet", false),
				field("long_value", 11, u64, "", false), field("double_value", 13, dbl, "", false),
				field("boolean_value", 14, yesno, "", false), field("string_value", 15, str, "", false)),
			message("PropertySet", field("keys", 1, str, "", true), field("values", 2, in, "PropertyValue", true)),
			message("PropertyValue", field("type", 1, u32, "", false), field("string_value", 8, str, "", false)),
		},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return file.Messages().ByName("Payload")
}

// sparkplugged reads a payload with the protobuf library; an unknown field is an error.
func sparkplugged(t *testing.T, b []byte) (m protoreflect.Message, metrics []string) {
	t.Helper()
	p := dynamicpb.NewMessage(schema(t))
	if err := proto.Unmarshal(b, p); err != nil {
		t.Fatalf("%x: %v", b, err)
	}
	if len(p.GetUnknown()) > 0 {
		t.Fatalf("unknown fields %x", p.GetUnknown())
	}
	get := func(m protoreflect.Message, name protoreflect.Name) protoreflect.Value {
		return m.Get(m.Descriptor().Fields().ByName(name))
	}
	list := get(p, "metrics").List()
	for i := range list.Len() {
		metric := list.Get(i).Message()
		if len(metric.GetUnknown()) > 0 {
			t.Fatalf("unknown fields %x in a metric", metric.GetUnknown())
		}
		line := fmt.Sprint(get(metric, "name"), "#", get(metric, "alias"), " ")
		for _, name := range []protoreflect.Name{"is_null", "long_value", "double_value", "boolean_value", "string_value"} {
			if metric.Has(metric.Descriptor().Fields().ByName(name)) {
				line += fmt.Sprint(name, "=", get(metric, name), " ")
			}
		}
		if properties := get(metric, "properties").Message(); properties.IsValid() {
			line += fmt.Sprint(get(properties, "keys").List().Get(0), "=", get(get(properties, "values").List().Get(0).Message(), "string_value"))
		}
		metrics = append(metrics, strings.TrimSpace(line))
	}
	return p, metrics
}

func TestSparkplugIsReadByAnotherDecoder(t *testing.T) {
	e := encoder(t, "sparkplug")
	r := Reading{Seq: 5, Boot: "b00t", At: moment(), Fields: fields()}
	number := func(b []byte) uint64 {
		p, _ := sparkplugged(t, b)
		return p.Get(p.Descriptor().Fields().ByName("seq")).Uint()
	}
	for connection := range 2 {
		will := e.Will()
		birth := e.Birth(r)
		if len(birth) != 2 || birth[0].Topic != "spBv1.0/plant/NBIRTH/edge-dev-1" || birth[1].Topic != "spBv1.0/plant/DBIRTH/edge-dev-1/dev-1" {
			t.Fatalf("birth %v", birth)
		}
		if number(birth[0].Payload) != 0 || number(birth[1].Payload) != 1 {
			t.Errorf("births are numbered %d and %d, want 0 and 1", number(birth[0].Payload), number(birth[1].Payload))
		}
		want := fmt.Sprintf("bdSeq#0 long_value=%d", connection)
		_, died := sparkplugged(t, will.Payload)
		_, born := sparkplugged(t, birth[0].Payload)
		if will.Topic != "spBv1.0/plant/NDEATH/edge-dev-1" || !slices.Equal(died, []string{want}) || !slices.Equal(born, []string{want}) {
			t.Errorf("death %v on %s, birth %v; want %s", died, will.Topic, born, want)
		}
		_, metrics := sparkplugged(t, birth[1].Payload)
		if want := []string{
			"Sim/seq#1 long_value=5", "Sim/boot#2 string_value=b00t", "probe.temperature#3 double_value=-18.25 engUnit=°C",
			"door#4 boolean_value=true", `mode#5 string_value=a "b" é`,
		}; !slices.Equal(metrics, want) {
			t.Errorf("birth has %q, want %q", metrics, want)
		}
	}
	broken := Reading{Seq: 6, Boot: "b00t", At: moment(), Fields: []Field{{Name: "mode", Kind: Null}, {Name: "probe.temperature", Kind: NaN}}}
	data := e.Reading(broken)[0]
	p, metrics := sparkplugged(t, e.Last(data.Payload))
	want := []string{"#1 long_value=6", "#2 string_value=b00t", "#3 double_value=NaN", "#5 is_null=true"}
	if data.Topic != "spBv1.0/plant/DDATA/edge-dev-1/dev-1" || !slices.Equal(metrics, want) {
		t.Errorf("%s has %q, want %q", data.Topic, metrics, want)
	}
	if at := p.Get(p.Descriptor().Fields().ByName("timestamp")).Uint(); at != uint64(moment().UnixMilli()) {
		t.Errorf("timestamp %d", at)
	}
	for n := uint64(3); n < 600; n++ {
		if got := number(e.Last(data.Payload)); got != n%256 {
			t.Fatalf("message %d is numbered %d", n, got)
		}
	}
	if !e.Counts() || encoder(t, "json").Counts() {
		t.Error("only Sparkplug counts by connection")
	}
}
