package decode

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tocsin/broker"
	"tocsin/rules"
)

// What devices and gateways publish, as their documentation has it.
func TestPresenceOfRealDevices(t *testing.T) {
	f := func(template, value, topic, payload, device string, want, retained rules.Status) {
		t.Helper()
		d := mustNew(t, Options{Topic: template, Decoder: "presence", Value: value})
		for _, kept := range []bool{false, true} {
			var b Batch
			m := broker.Message{Topic: topic, Payload: []byte(payload), Received: arrival, Retained: kept}
			if err := d.Decode(m, &b); err != nil {
				t.Errorf("%s %s: %v", topic, payload, err)
				return
			}
			if kept {
				want = retained
			}
			if len(b.Presence) != 1 || len(b.Samples)+len(b.Problems) > 0 {
				t.Fatalf("%s %s: %+v", topic, payload, b)
			}
			got := b.Presence[0]
			if got.Reason == "" || !strings.Contains(strings.ToLower(payload), strings.ToLower(got.Reason)) {
				t.Errorf("%s %s: the reason is %q", topic, payload, got.Reason)
			}
			got.Reason = ""
			if diff := cmp.Diff(rules.Presence{Source: "plant", Device: device, Status: want, At: arrival}, got); diff != "" {
				t.Errorf("%s %s, retained %v (-want +got):\n%s", topic, payload, kept, diff)
			}
		}
	}
	const online, offline, lost, sleeping, unknown = rules.Online, rules.Offline, rules.Lost, rules.Sleeping, rules.StatusUnknown

	// Tasmota
	f("tele/{device}/LWT", "", "tele/tasmota_C57651/LWT", "Online", "tasmota_C57651", online, unknown)
	f("tele/{device}/LWT", "", "tele/tasmota_C57651/LWT", "Offline", "tasmota_C57651", offline, offline)
	// Shelly, both generations
	f("{device}/online", "", "shellyplus1-a8032abe54dc/online", "true", "shellyplus1-a8032abe54dc", online, unknown)
	f("{device}/online", "", "shellyplus1-a8032abe54dc/online", "false", "shellyplus1-a8032abe54dc", offline, offline)
	f("shellies/{device}/online", "", "shellies/shellyht-7E2C9F/online", "false", "shellyht-7E2C9F", offline, offline)
	// ESPHome
	f("{device}/status", "", "weather-sensor/status", "online", "weather-sensor", online, unknown)
	f("{device}/status", "", "weather-sensor/status", "offline", "weather-sensor", offline, offline)
	// Homie
	f("homie/{device}/$state", "", "homie/super-car/$state", "init", "super-car", online, unknown)
	f("homie/{device}/$state", "", "homie/super-car/$state", "ready", "super-car", online, unknown)
	f("homie/{device}/$state", "", "homie/super-car/$state", "alert", "super-car", online, unknown)
	f("homie/{device}/$state", "", "homie/super-car/$state", "disconnected", "super-car", offline, offline)
	f("homie/5/{device}/$state", "", "homie/5/super-car/$state", "sleeping", "super-car", sleeping, sleeping)
	f("homie/5/{device}/$state", "", "homie/5/super-car/$state", "lost", "super-car", lost, lost)
	// Zigbee2MQTT, now and before 1.30
	f("zigbee2mqtt/{device}/availability", "", "zigbee2mqtt/leak-kitchen/availability", `{"state":"online"}`, "leak-kitchen", online, unknown)
	f("zigbee2mqtt/{device}/availability", "", "zigbee2mqtt/leak-kitchen/availability", `{"state":"offline"}`, "leak-kitchen", offline, offline)
	f("zigbee2mqtt/{device}/availability", "", "zigbee2mqtt/leak-kitchen/availability", "offline", "leak-kitchen", offline, offline)
	// zwave-js-ui
	f("zwave/{device}/status", "$.status", "zwave/motion-1/status", `{"time":1621840800000,"value":false,"status":"Dead","nodeId":4}`, "motion-1", lost, lost)
	f("zwave/{device}/status", "$.status", "zwave/motion-1/status", `{"time":1621840800000,"value":true,"status":"Asleep","nodeId":4}`, "motion-1", sleeping, sleeping)
	f("zwave/{device}/status", "$.value", "zwave/motion-1/status", `{"time":1621840800000,"value":true,"status":"Alive","nodeId":4}`, "motion-1", online, unknown)
	// what people write by hand
	f("my/{device}", "", "my/pump", "1", "pump", online, unknown)
	f("my/{device}", "", "my/pump", "0\n", "pump", offline, offline)
	f("my/{device}", "", "my/pump", ` "connected" `, "pump", online, unknown)
	f("my/{device}", "", "my/pump", `{"state":0}`, "pump", offline, offline)
}

func TestWhatIsNoPresenceIsRefused(t *testing.T) {
	d := mustNew(t, Options{Topic: "tele/{device}/LWT", Decoder: "presence"})
	for payload, reason := range map[string]string{
		"":                                     ReasonEmpty,
		" ":                                    ReasonValue,
		"on":                                   ReasonValue,
		"onlinE!":                              ReasonValue,
		"disconnectedd":                        ReasonValue,
		"2":                                    ReasonValue,
		"\xff\xfe":                             ReasonValue,
		`{"State":"online"}`:                   ReasonValue,
		`{"state":null}`:                       ReasonValue,
		`{"state":{}}`:                         ReasonValue,
		`{"state":"purring"}`:                  ReasonValue,
		`{"state":"online"`:                    ReasonJSON,
		`{"state":"online","state":"offline"}`: ReasonDuplicate,
	} {
		var b Batch
		err := d.Decode(broker.Message{Topic: "tele/a/LWT", Payload: []byte(payload), Received: arrival}, &b)
		r, ok := errors.AsType[*Rejection](err)
		if !ok || r.Reason != reason || r.Detail == "" || len(b.Presence) > 0 {
			t.Errorf("%q: %v with %v, want the reason %s", payload, err, b.Presence, reason)
		}
	}
}

func TestPresenceKnowsOnlyItsOwnOptions(t *testing.T) {
	for _, c := range []struct {
		option string
		change func(*Options)
	}{
		{"topic", func(o *Options) { o.Topic = "tele/+/LWT" }},
		{"value", func(o *Options) { o.Value = "state" }},
		{"records", func(o *Options) { o.Records = "$.r[*]" }},
		{"device", func(o *Options) { o.Device = "$.id" }},
		{"metric", func(o *Options) { o.Metric = "$.m" }},
		{"time.path", func(o *Options) { o.Time.Path = "$.ts" }},
		{"clock", func(o *Options) { o.Clock = "device" }},
		{"rename", func(o *Options) { o.Rename = map[string]string{"a": "b"} }},
	} {
		o := Options{Name: "plant", Topic: "tele/{device}/LWT", Decoder: "presence"}
		if _, err := New(o); err != nil {
			t.Fatal(err)
		}
		c.change(&o)
		_, err := New(o)
		if wrong, ok := errors.AsType[*OptionError](err); !ok || wrong.Option != c.option || wrong.Remedy == "" {
			t.Errorf("%s: %v", c.option, err)
		}
	}
}

func TestPresenceIsReadWithoutAllocation(t *testing.T) {
	d := mustNew(t, Options{Topic: "zigbee2mqtt/{device}/availability", Decoder: "presence"})
	var b Batch
	m := broker.Message{Topic: "zigbee2mqtt/leak-kitchen/availability", Payload: []byte(`{"state":"online"}`), Received: arrival}
	if n := testing.AllocsPerRun(100, func() {
		b.Reset()
		if err := d.Decode(m, &b); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations a message", n)
	}
}
