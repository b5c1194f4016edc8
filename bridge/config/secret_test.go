package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"

	"tocsin/bridge/webhook"
)

func TestSecretsAreNeverPrinted(t *testing.T) {
	const canary = "whsec_Q2FuYXJ5Q2FuYXJ5Q2FuYXJ5Q2FuYXJ5"
	a := &txtar.Archive{
		Comment: []byte("env PASSWORD=" + canary + "\nenv TOKEN=" + canary),
		Files: []txtar.File{{Name: "tocsin.toml", Data: []byte(`
rules = ["rules/*.toml"]
[broker]
mode = "external"
[broker.external]
url = "mqtts://broker.example.com"
client_id = "tocsin-1"
username = "bridge"
password = "${PASSWORD}"
[source.plant]
topic = "plants/{device}"
[http]
token = { env = "TOKEN" }
[endpoint.ops]
url = "https://alerts.example.com"
secret = "` + canary + `"
`)}},
	}
	config, problems := Load("tocsin.toml", Options{Getenv: lookup(setUp(t, a))})
	if config == nil {
		t.Fatal(problems)
	}
	if got := config.HTTP.Token.Reveal(); got != canary {
		t.Fatalf("the token is %q", got)
	}
	hidden := struct{ c *Config }{config} // fmt cannot call methods below it

	var out bytes.Buffer
	fmt.Fprintf(&out, "%v %+v %#v %v %#v", config, config, *config, hidden, hidden)
	fmt.Fprintf(&out, "%v %x %q", config.HTTP, config.HTTP.Token, config.Broker.External.Password)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("loaded", "config", config, "token", config.HTTP.Token)
	slog.New(slog.NewTextHandler(&out, nil)).Info("loaded", "config", config, "token", config.HTTP.Token)
	b, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(b)
	for _, p := range problems {
		fmt.Fprintf(&out, "%s %s %#v", p, p.Long(), p)
	}
	if strings.Contains(out.String(), canary[8:]) {
		t.Errorf("a secret was printed: %s", out.String())
	}
	if len(problems) == 0 {
		t.Error("a secret in the file was not warned of")
	}
}

// Nothing that can be wrong with a file makes a problem show a secret in it.
func TestExcerptsShowNoSecret(t *testing.T) {
	const canary = "c4n4ryc4n4ryc4n4ryc4n4ry"
	f := func(text string) {
		t.Run("", func(t *testing.T) {
			setUp(t, &txtar.Archive{Files: []txtar.File{{Name: "tocsin.toml", Data: []byte(text)}}})
			_, problems := Load("tocsin.toml", Options{Getenv: lookup(nil)})
			if problems.Errors() == 0 {
				t.Errorf("loaded: %s", text)
			}
			for _, p := range problems {
				if s := p.Long() + p.String(); strings.Contains(s, canary) {
					t.Errorf("a secret was shown:\n%s", s)
				}
			}
		})
	}
	f("[http]\ntoken = \"" + canary + "\nlevel = 1\n")
	f("[http]\ntoken = '" + canary + "\n")
	f("[http]\ntoken = \"" + canary + "\"\nlisten = \"0.0.0.0:x\"\n")
	f("[http]\ntoken = \"" + canary + "\" x\n")
	f("[http]\ntoken = [\"" + canary + "\"]\n")
	f("[http]\ntoken = \"\"\"\n" + canary + "\"\"\"\nlisten = 1\n")
	f("[endpoint.ops]\nsecret = [\"whsec_" + canary + "\", \"" + canary + "\"]\n")
	f("[endpoint.ops]\nsecret = [\n  \"whsec_" + canary + "\",\n  \"" + canary + "\",\n]\nurl = 3\n")
	f("[endpoint.ops]\nsecret = { file = \"x\", value = \"whsec_" + canary + "\" }\n")
	f("[endpoint.ops]\nurl = \"https://ops:" + canary + "@example.com/\"\n")
	f("[broker.embedded.user.x]\npassword = \"" + canary + "\"\n")
	f("[broker.embedded.user.x]\npassword = \"$argon2id$v=18$m=1,t=1,p=1$" + canary + "$" + canary + "\"\n")
	f("[broker]\nmode = \"external\"\n[broker.external]\nurl = \"mqtt://u:" + canary + "@h\"\npassword = \"" + canary + "\"\n")
	f("endpoint.ops.secret = \"" + canary + "\"\nx = 1\n")
	f("endpoint = { ops = { secret = \"" + canary + "\", url = 1 } }\n")
	f("[endpoint.ops]\nurl = \"http://alerts.example.com/" + canary + "/x?token=" + canary + "\"\nmatch = 3\n")
	f("[endpoint.ops]\nurl = \"https://alerts.example.com:" + canary + "/\"\nmatch = 3\n")
	f("[endpoint.ops]\nurl = \"https://alerts.example.com/it's " + canary + "\"\nmatch = 3\n")
	f("[endpoint.ops]\nurl = \"alerts.example.com/" + canary + "\"\nmatch = 3\n")
	f("[endpoint.ops]\nurl = \"\"\"https://alerts.example.com/\\\n" + canary + "\"\"\"\nmatch = 3\n")
	f("[endpoint.ops]\nurl = \"https://alerts.example.com/" + canary + "\nmatch = 3\n")
	f("[endpoint.ops]\nurll = \"https://alerts.example.com/" + canary + "\"\n")
	f("[endpoint.ops]\n# https://alerts.example.com/" + canary + "\nmatch = 3\n")
	f("[log]\nlevel = \"https://alerts.example.com/" + canary + "\"\n")
	f("[broker.embedded.user.x]\npasword = \"" + canary + "\"\n")
	f("[broker.embedded.user.x]\npasswrd='" + canary + "'\n")
	f("[broker.embedded.user.x]\npassword: \"" + canary + "\"\n")
	f("[broker.embedded.user.x]\npassword = " + canary + "\n")
	f("[broker.embedded.user.x]\npassword = 2026-99-99" + canary + "\n")
	f("[broker.embedded.user.x]\npassword = { value = \"" + canary + "\" }\n")
	f("[broker.embedded.user.x]\npassword = { value = \"" + canary + "\" \n")
	f("[broker.embedded.user.x]\npassword = \"a${" + canary + "\"\n")
	f("[broker.embedded.user.x]\npassword = \"a${b!}" + canary + "\"\n")
	f("[broker.embedded.user.x]\n# password = \"" + canary + "\"\npublish = 3\n")
	f("[broker.embedded.user.x]\npassword = \"a\"\npassword = \"" + canary + "\"\n")
	f("[broker.external]\npassword = { file = \"x\", fiel = \"" + canary + "\" }\n")
	f("[endpoint.ops]\nheaders = { Authorization = \"Bearer " + canary + "\", X-Id = \"" + canary + "\" }\n")
	f("[endpoint.ops.headers]\nX-Id = \"" + canary + "\"\nX-Id = \"" + canary + "\"\n")
	f("[endpoint.ops.headers]\nX-Id \"" + canary + "\"\n")
	f("[endpoint.ops]\napi_key = \"" + canary + "\"\n")
	f("[endpoint.ops]\napiKey = 3 # \nauth = \"" + canary + "\"\n")
	f("[endpoint.ops]\npreset = \"whsec_" + canary + "\"\n")
	f("[endpoint.ops]\nsign = \"Basic " + canary + "\"\n")
	for _, key := range []string{"env", "file"} {
		f("[endpoint.ops]\nsecret = { " + key + " = \"whsec_" + canary + "\" }\n")
		f("[http]\ntoken = { " + key + " = \"" + canary + "WITH7DIGITS\" }\n")
		f("[http]\ntoken = { " + key + " = \"Bearer " + canary + "\" }\n")
		f("[broker.embedded.user.x]\npassword = { " + key + " = \"$argon2id$v=19$" + canary + "\" }\n")
	}
	f("[http]\ntls = { cert = \"x\", key = \"\"\"-----BEGIN PRIVATE KEY-----\n" + canary + "\"\"\" }\n")
	f("[http]\ntoken = [\"" + strings.Repeat("x\", \"", 2000) + canary + "\"]\nlisten = 3\n")
}

func TestSecretFileIsTakenFromBesideTheFileThenFromSystemd(t *testing.T) {
	setUp(t, &txtar.Archive{})
	key := func(name string) webhook.Secret {
		t.Helper()
		s := webhook.NewSecret()
		write(t, name, []byte(s.Reveal()+"\n"))
		return s
	}
	beside, given := key("secrets/ops"), key("credentials/secrets/ops")
	load := func() webhook.Secret {
		t.Helper()
		c, problems := Load("tocsin.toml", Options{Getenv: lookup(map[string]string{"CREDENTIALS_DIRECTORY": "credentials"})})
		if c == nil {
			t.Fatal(problems)
		}
		return c.Endpoints["ops"].Secrets[0]
	}
	if !load().Equal(beside) {
		t.Error("the file beside the configuration was not taken")
	}
	if err := os.Remove("secrets/ops"); err != nil {
		t.Fatal(err)
	}
	if !load().Equal(given) {
		t.Error("the credential was not taken")
	}
}

// Some systems manage /etc by links: the file itself leads elsewhere, and what
// it names leads to the same place.
func TestLinkedConfigurationMayLinkToWhereItIsManaged(t *testing.T) {
	setUp(t, &txtar.Archive{})
	managed := t.TempDir()
	for _, name := range []string{"tocsin.toml", "rules"} {
		if err := os.Rename(name, filepath.Join(managed, name)); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(managed, name), name); err != nil {
			t.Fatal(err)
		}
	}
	if c, problems := Load("tocsin.toml", Options{}); c == nil || len(problems) > 0 {
		t.Fatal(problems)
	}
}

// Masking keeps every line and every column, so that carets stay below what
// they point at.
func FuzzMaskedTextKeepsItsShape(f *testing.F) {
	f.Add("[a]\nurl = \"https://u:p@h:1x/p?q#f\" # password = 'é'\n")
	f.Add("secret = [{ file = \"whsec_é\" }, 'b']\nheaders.x = \"\"\"a\nb\"\"\"\n")
	f.Add("url = \"@\"\ntoken: Bearer x\nurl = ':x'\nurl=\"[::1]:x/\"")
	f.Fuzz(func(t *testing.T, text string) {
		if invalidByte(text) >= 0 {
			return
		}
		got, want := (&source{text: text}).showable(), strings.Split(text, "\n")
		if len(got) != len(want) {
			t.Fatalf("%d lines became %d", len(want), len(got))
		}
		for i, line := range want {
			n := utf8.RuneCountInString(strings.TrimSuffix(line, "\r"))
			if n <= maxExcerpt && utf8.RuneCountInString(got[i]) != n {
				t.Errorf("%q became %q", line, got[i])
			}
		}
	})
}

// Time alone keeps no bridge from starting: whoever checks is told by an error,
// and the bridge that starts again at night goes on telling everybody else.
func TestWhatHasExpiredIsAnErrorOnlyToWhoChecks(t *testing.T) {
	a, err := txtar.ParseFile("testdata/broken/secret-expired.txtar")
	if err != nil {
		t.Fatal(err)
	}
	env := setUp(t, a)
	config, problems := Load("tocsin.toml", Options{Getenv: lookup(env), Running: true})
	if config == nil || problems.Errors() != 0 || len(problems) != 3 {
		t.Fatalf("%v", problems)
	}
	if e := config.Endpoints["other"]; len(e.Secrets) != 1 || e.Secrets[0].NotAfter().IsZero() {
		t.Errorf("the endpoint has %v", e.Secrets)
	}
	if _, problems := Load("tocsin.toml", Options{Getenv: lookup(env)}); problems.Errors() != 2 {
		t.Errorf("checked: %v", problems)
	}
}
