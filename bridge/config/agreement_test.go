package config_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"tocsin/bridge/config"
	"tocsin/bridge/decode"
	"tocsin/bridge/webhook"
	"tocsin/broker"
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
		"decoder = \"presence\"", "decoder = \"presence\"\nvalue = \"$.status\"", "decoder = \"presence\"\nvalue = \"$.a[*]\"",
		"decoder = \"presence\"\nvalue = \"status\"", "decoder = \"presence\"\nrename = { a = \"b\" }", "decoder = \"presence\"\nunit = \"@.u\"",
		"decoder = \"presence\"\ndevice = \"$.d\"", "decoder = \"presence\"\nclock = \"device\"", "decoder = \"presence\"\ntime = { path = \"$.t\" }",
		"rename = { a = \"\" }", "rename = { a = \"b\\u0085\" }", "rename = { a = \"b\\u202e\" }", "max_past = \"0s\"", "max_ahead = \"3m\"",
	} {
		f("topic = \"a/{device}\"\n" + rest + "\n")
	}
}

// The same for users, whose hashes, names and topic filters package broker judges.
func TestUserIsAcceptedHereAndByTheBroker(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("secret", []byte(webhook.NewSecret().Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	hash, err := broker.HashPassword("correct horse battery staple")
	if err != nil {
		t.Fatal(err)
	}
	const head = "[endpoint.ops]\nurl = \"https://a.example.com\"\nsecret = { file = \"secret\" }\n[source.s]\ntopic = \"a/{device}\"\n"
	f := func(name string, u broker.User) {
		t.Helper()
		text := fmt.Sprintf("%s[broker.embedded.user.%q]\npassword = { env = \"HASH\" }\npublish = %s\nsubscribe = %s\n",
			head, name, list(u.Publish), list(u.Subscribe))
		if err := os.WriteFile("tocsin.toml", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, problems := config.Load("tocsin.toml", config.Options{
			Getenv: func(string) (string, bool) { return u.PasswordHash, true },
		})
		e, err := broker.NewEmbedded(broker.EmbeddedOptions{Listen: "127.0.0.1:0", Users: map[string]broker.User{name: u}})
		if err == nil {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := e.Run(ctx, func(broker.Message) broker.Receipt { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if (c != nil) != (err == nil) {
			t.Errorf("they differ over %q %+v\nLoad: %v\nbroker: %v", name, u, problems, err)
		}
	}
	for _, name := range []string{"sensors", "ü", "a b", "a/b", "a+", "#", "a\tb", "a\u202eb", strings.Repeat("x", 256), strings.Repeat("x", 257)} {
		f(name, broker.User{PasswordHash: hash, Publish: []string{"a/#"}})
	}
	for _, filter := range []string{"#", "a/%c/#", "%u", "+/+", "a/b", "/", "a//b", "", "a#", "#/a", "a+/b", "a%c", "a/%u-1", "$SYS/#"} {
		f("u", broker.User{PasswordHash: hash, Publish: []string{filter}})
		f("u", broker.User{PasswordHash: hash, Subscribe: []string{filter}})
	}
	parts := strings.Split(hash, "$")
	for _, h := range []string{
		"x", "$2b$12$abcdefghijklmnopqrstuv", hash[:len(hash)-1], hash + "A", hash + "=", hash + " x",
		strings.Replace(hash, "argon2id", "argon2i", 1), strings.Replace(hash, "v=19", "v=16", 1),
		strings.Replace(hash, parts[3], "m=8,t=1,p=1", 1), strings.Replace(hash, parts[3], "m=7,t=1,p=1", 1),
		strings.Replace(hash, parts[3], "m=999999999,t=1,p=1", 1), strings.Replace(hash, parts[3], "m=64,t=65,p=1", 1),
		strings.Replace(hash, parts[3], "m=64,t=0,p=1", 1), strings.Replace(hash, parts[3], "m=064,t=1,p=1", 1),
		strings.Replace(hash, parts[3], "t=1,m=64,p=1", 1), strings.Replace(hash, parts[3], "m=65536,t=1,p=256", 1),
		strings.Replace(hash, parts[4], "c2hvcnQ", 1), strings.Replace(hash, parts[5], "c2hvcnRzaG9ydA", 1),
	} {
		f("u", broker.User{PasswordHash: h, Publish: []string{"a/#"}})
	}
}

// The same for the topics that are subscribed to at an external broker.
func TestTopicIsAcceptedHereAndByTheClient(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("secret", []byte(webhook.NewSecret().Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{
		"a/{device}", "{device}/+/#", "%c/{device}", "a/%u/{device}", "a%c/{device}", "{device}/%u-1", "{device}/%%c", "{device}/100%", "{device}/%C", "$SYS/{device}",
	} {
		text := "[endpoint.ops]\nurl = \"https://a.example.com\"\nsecret = { file = \"secret\" }\n[broker]\nmode = \"external\"\n" +
			"[broker.external]\nurl = \"mqtt://127.0.0.1\"\nclient_id = \"t\"\n[source.s]\n" + fmt.Sprintf("topic = %q\n", topic)
		if err := os.WriteFile("tocsin.toml", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, problems := config.Load("tocsin.toml", config.Options{})
		d, err := decode.New(decode.Options{Name: "s", Topic: topic, Decoder: "json", Time: decode.TimeOptions{Format: "auto"}, Clock: "auto"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = broker.NewClient(broker.ClientOptions{URL: "mqtt://127.0.0.1", ClientID: "t", Topics: []string{d.Filter()}})
		if (c != nil) != (err == nil) {
			t.Errorf("they differ over %q\nLoad: %v\nbroker: %v", topic, problems, err)
		}
	}
}

// list writes strings as TOML does.
func list(s []string) string {
	quoted := make([]string, len(s))
	for i := range s {
		quoted[i] = fmt.Sprintf("%q", s[i])
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
