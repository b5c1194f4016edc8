package config_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"tocsin/bridge/config"
	"tocsin/bridge/decode"
	"tocsin/bridge/webhook"
)

// What bridge/decode will say to a source when the bridge starts, Load has said
// before, with a place. The drawing keeps the packages apart; this holds them
// together.
func TestSourceIsAcceptedHereAndByTheDecoder(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("secret", []byte(webhook.NewSecret().Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(keys string) {
		t.Helper()
		text := "[endpoint.ops]\nurl = \"https://a.example.com\"\nsecret = { file = \"secret\" }\n[source.s]\n" + keys
		if err := os.WriteFile("tocsin.toml", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, problems := config.Load("tocsin.toml", config.Options{})
		var written struct {
			Source map[string]config.Source `toml:"source"`
		}
		if _, err := toml.Decode(text, &written); err != nil {
			t.Fatal(err)
		}
		s := written.Source["s"]
		_, err := decode.New(decode.Options{
			Name: "s", Topic: s.Topic, Decoder: s.Decoder,
			Records: s.Records, Device: s.Device, Metric: s.Metric, Value: s.Value, Unit: s.Unit,
			Time:  decode.TimeOptions{Path: s.Time.Path, Format: s.Time.Format, Zone: s.Timezone},
			Clock: s.Clock, MaxAhead: s.MaxAhead, MaxPast: s.MaxPast, Rename: s.Rename,
		})
		if (c != nil) != (err == nil) {
			t.Errorf("they differ over\n%sLoad: %v\ndecode: %v", keys, problems, err)
		}
	}
	for _, topic := range []string{
		"a/{device}", "{device}", "a/{device}/#", "+/{device}/+", "a/{x-1}/{device}", "a/{0}/{device}", "/{device}/",
		"", "a", "#", "a/#/{device}", "a+/{device}", "{device}/{device}", "a{device}", "{}/{device}", "{a b}/{device}",
		"$share/g/{device}", "$share", "$SYS/{device}", "{device}}", "{{device}", "{é}/{device}", "a/{device}/b#",
	} {
		f(fmt.Sprintf("topic = %q\n", topic))
	}
	for _, path := range []string{
		"$", "@", "$.a", "@.a", "$.a.b", "$[0]", "$.a[0].b", "$['a.b']", "$[\"a\"]", "$['it's']", "$.é", "$.a b", "$['']",
		"a", "$a", "$.", "$..a", "$.a.", "$.a..b", "$[", "$[]", "$[-1]", "$[x]", "$[*]", "@.a[*].b", "$['a", "$['a'x", "$.a]b", "$[0]]", "$.[0]",
	} {
		for _, key := range []string{"device", "value", "time = { path", "records"} {
			end := ""
			if strings.Contains(key, "{") {
				end = " }"
			}
			f(fmt.Sprintf("topic = \"a/{device}\"\n%s = %q%s\n", key, path, end))
		}
	}
	for _, rest := range []string{
		"decoder = \"scalar\"", "decoder = \"scalar\"\nclock = \"device\"", "decoder = \"scalar\"\nclock = \"arrival\"",
		"decoder = \"scalar\"\ntimezone = \"UTC\"", "decoder = \"scalar\"\ntime = { format = \"unix\" }",
		"decoder = \"scalar\"\nvalue = \"$.x\"", "decoder = \"xml\"", "clock = \"sun\"", "timezone = \"Europe/Paris\"",
		"timezone = \"Europe/Lyon\"", "time = { format = \"unix_us\" }", "time = { format = \"iso\" }",
		"metric = \"@.m\"", "unit = \"@.u\"", "metric = \"@.m\"\nvalue = \"@.v\"", "rename = { a = \"b\" }",
		"rename = { a = \"\" }", "rename = { a = \"b\\u0085\" }", "rename = { a = \"b\\u202e\" }", "max_past = \"0s\"", "max_ahead = \"3m\"",
	} {
		f("topic = \"a/{device}\"\n" + rest + "\n")
	}
}
