package config

import (
	"testing"
	"time"

	"tocsin/bridge/decode"
	"tocsin/broker"
)

// A warning leaves out no metric that a source brings, and names none that it
// cannot bring.
func TestSourceFeedsWhatItsDecoderFinds(t *testing.T) {
	f := func(s Source, topic, payload string, any bool, want ...string) {
		t.Helper()
		d, err := decode.New(decode.Options{
			Name: "s", Topic: s.Topic, Decoder: s.Decoder,
			Records: s.Records, Device: s.Device, Metric: s.Metric, Value: s.Value, Rename: s.Rename,
		})
		if err != nil {
			t.Fatal(err)
		}
		var b decode.Batch
		if rejected := d.Decode(broker.Message{Topic: topic, Payload: []byte(payload), Received: time.Unix(1.8e9, 0)}, &b); rejected != nil {
			t.Fatal(rejected)
		}
		if len(b.Samples) != len(want) {
			t.Fatalf("%d readings in %s, want %d", len(b.Samples), payload, len(want))
		}
		for i, sample := range b.Samples {
			if sample.Metric != want[i] || !s.feeds(sample.Metric) {
				t.Errorf("%+v: %s is fed: %v; want %s", s, sample.Metric, s.feeds(sample.Metric), want[i])
			}
		}
		if s.feeds("another") != any {
			t.Errorf("%+v: another metric is fed: %v", s, !any)
		}
	}
	f(Source{Topic: "a/{device}", Decoder: "scalar"}, "a/d", "1", false, "value")
	f(Source{Topic: "a/{device}", Decoder: "scalar", Rename: map[string]string{"value": "power"}}, "a/d", "1", false, "power")
	f(Source{Topic: "a/{device}/{metric}", Decoder: "scalar"}, "a/d/power", "1", true, "power")
	f(Source{Topic: "a/{device}", Decoder: "json"}, "a/d", `{"t":1,"h":2}`, true, "t", "h")
	f(Source{Topic: "a/{device}", Decoder: "json", Value: "$.m.t"}, "a/d", `{"m":{"t":1},"h":2}`, false, "t")
	f(Source{Topic: "a/{device}", Decoder: "json", Value: "$.t[1]"}, "a/d", `{"t":[1,2]}`, false, "t")
	f(Source{Topic: "a/{device}", Decoder: "json", Value: "$"}, "a/d", "7", false, "value")
	f(Source{Topic: "a/{device}", Decoder: "json", Value: "$['t.x']", Rename: map[string]string{"t.x": "tx"}}, "a/d", `{"t.x":1}`, false, "tx")
	f(Source{Topic: "a/{device}", Decoder: "json", Records: "$[*]", Metric: "@.n", Value: "@.v"}, "a/d", `[{"n":"t","v":1},{"n":"h","v":2}]`, true, "t", "h")
	f(Source{Topic: "a/{device}/{metric}", Decoder: "json", Value: "$.v"}, "a/d/power", `{"v":1}`, true, "power")
}
