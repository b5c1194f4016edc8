package sim

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"tocsin/firmware-sim/payload"
)

// formatted is a profile whose devices speak a format.
func formatted(format string) string {
	topic := map[string]string{"json": `topic = "s/{device}"`, "senml": `topic = "s/{device}"`, "scalar": `topic = "s/{device}/{metric}"`}[format]
	signals := map[string]string{"tasmota": "DS18B20.Temperature", "shelly": "temperature:0.tC"}
	signal := signals[format]
	if signal == "" {
		signal = "temperature"
	}
	return strings.NewReplacer("FORMAT", format, "TOPIC", topic, "SIGNAL", signal).Replace(`
format = "FORMAT"
TOPIC
[model.m]
every = "10s"
firmware = "1.0.3"
[model.m.signal."SIGNAL"]
base = 4.0
noise = 0.3
quantum = 0.1
unit = "°C"
[model.m.signal.alarm]
pulse = { by = 1.0, every = "1m", for = "30s" }
bool = true
[fleet.f]
model = "m"
count = 1
id = "dev-%d"
[fault.off]
device = "dev-*"
kind = "power-cut"
at = "45s"
for = "10s"
[fault.lie]
device = "dev-*"
signal = "SIGNAL"
kind = "nan"
at = "75s"
for = "10s"
`)
}

// The same seed makes the same bytes in every format, through a boot and a value
// that is none.
func TestEachFormatHasItsBytes(t *testing.T) {
	o := Options{Seed: 7, Speed: 1, StartAt: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
	var all bytes.Buffer
	for _, format := range payload.Names() {
		p, err := Parse([]byte(formatted(format)), "test.toml")
		if err != nil {
			t.Fatal(err)
		}
		devices, err := p.devices(o)
		if err != nil {
			t.Fatal(err)
		}
		for range 11 {
			for _, m := range devices[0].next(o).sent {
				text := string(m.Payload)
				if format == "sparkplug" {
					text = hex.EncodeToString(m.Payload)
				}
				fmt.Fprintln(&all, m.Topic, text)
			}
		}
	}
	golden(t, "testdata/formats.golden", all.Bytes())
}
