package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"tocsin/bridge/webhook"
)

// loaded is a configuration that a text makes.
func loaded(t *testing.T, text string) *Config {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "tocsin.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(webhook.NewSecret().Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	c, problems := Load(path, Options{})
	if c == nil {
		t.Fatal(problems)
	}
	return c
}

func hide(text string) webhook.Credential { return webhook.NewCredential(text) }

// What is registered is what the same words in the file are, down to every default.
func TestRegisteredIsWhatTheFileWouldHave(t *testing.T) {
	secret := webhook.NewSecret()
	f := func(table string, r *Registered) {
		t.Helper()
		c := loaded(t, "[endpoint.ops]\n"+table)
		if r.NeedsSecret() {
			r.Secrets = []webhook.Secret{secret}
		}
		e, problems := c.Registered("ops", r)
		if e == nil {
			t.Fatal(problems)
		}
		want := c.Endpoints["ops"]
		want.Secret, e.Secret, want.Secrets, e.Secrets = nil, nil, nil, nil // one is read, one is given
		if !reflect.DeepEqual(e, want) {
			t.Errorf("%s\nregistered %+v\nwritten    %+v", table, e, want)
		}
	}
	const signed = "secret = { file = \"secret\" }\n"
	f("url = \"https://a.example.com/x\"\n"+signed, &Registered{URL: hide("https://a.example.com/x")})
	f("url = \"https://a.example.com/x\"\nmatch = { types = [\"alarm.*\", \"device.new\"], severity = [\"major\", \"critical\"], labels = { site = \"l*\" } }\n"+
		"headers = { X-Site = \"lyon\" }\nlimits = { rate = \"30/m\" }\nsign = [\"standard\", \"rfc9421\"]\npayload = \"thin\"\nlink = \"https://b.example.com/\"\n"+signed,
		&Registered{URL: hide("https://a.example.com/x"), Types: []string{"alarm.*", "device.new"}, Severity: []string{"major", "critical"},
			Labels: map[string]string{"site": "l*"}, Headers: map[string]string{"X-Site": "lyon"}, Rate: "30/m", Sign: []string{"standard", "rfc9421"},
			Payload: "thin", Link: "https://b.example.com/"})
	f("preset = \"slack\"\nurl = \"https://hooks.slack.com/services/T/B/X\"\n", &Registered{Preset: "slack", URL: hide("https://hooks.slack.com/services/T/B/X")})
}

// Nothing that is said over HTTP reads a file or a variable, opens a way out, or
// names a header that lets in.
func TestRegisteredReachesNothingOfTheMachine(t *testing.T) {
	t.Setenv("TOCSIN_TEST_URL", "https://leaked.example.com")
	f := func(r *Registered, says string) {
		t.Helper()
		c := loaded(t, "")
		if r.URL.IsZero() {
			r.URL = hide("https://a.example.com")
		}
		if r.Secrets == nil && r.NeedsSecret() {
			r.Secrets = []webhook.Secret{webhook.NewSecret()}
		}
		e, problems := c.Registered("ops", r)
		var text strings.Builder
		for _, p := range problems {
			text.WriteString(p.Unplaced() + "\n")
		}
		if (e == nil) != (says != "") || !strings.Contains(text.String(), says) {
			t.Errorf("%+v: %v, %s\nwant %s", r, e, &text, says)
		}
		for _, no := range []string{"file =", "env =", "endpoint \"ops\"", ":0:0"} {
			if strings.Contains(text.String(), no) {
				t.Errorf("the problem speaks of the file: %s", &text)
			}
		}
	}
	f(&Registered{}, "")
	f(&Registered{URL: hide("${TOCSIN_TEST_URL}")}, "url has no scheme")
	f(&Registered{URL: hide("http://a.example.com")}, "use https, or set http.registration.egress.allow_http = true")
	for _, host := range []string{"127.0.0.1", "10.0.0.1", "192.168.0.1", "[::1]", "[fd00::1]", "[::ffff:127.0.0.1]", "100.64.0.1", "0.0.0.0", "[64:ff9b::7f00:1]"} {
		f(&Registered{URL: hide("https://" + host + "/x")}, "nothing is sent there")
	}
	f(&Registered{URL: hide("http://127.0.0.1:9000")}, "or set http.registration.egress = { allow_http = true,")
	f(&Registered{URL: hide("https://169.254.169.254")}, "http.registration.egress.allow_cidrs")
	for _, host := range []string{"127.1", "0x7f000001", "2130706433", "017700000001"} {
		f(&Registered{URL: hide("https://" + host + "/x")}, "not a full IP address")
	}
	f(&Registered{URL: hide("https://me:pw@a.example.com")}, "user or password")
	for _, with := range []string{
		`{"routing_key":{"file":"/etc/shadow"}}`, `{"routing_key":{"env":"HOME"}}`, `{"routing_key":["a"]}`, `{"routing_key":null}`,
	} {
		f(&Registered{Preset: "pagerduty", URL: hide("https://events.pagerduty.com/v2/enqueue"), With: hide(with)}, "nothing is read for it from files and variables")
	}
	f(&Registered{Preset: "pagerduty", With: hide(`{"routing_key":"${HOME}5678901234567890123456789"}`)}, "")
	f(&Registered{With: hide(`[]`)}, "is no object")
	f(&Registered{Preset: "pagerduty"}, "with.routing_key")
	f(&Registered{Preset: "salesforce", URL: hide("https://a.example.com/x")}, "have the operator write the endpoint") // auth is the operator's
	f(&Registered{Preset: "../standard"}, "there is no preset")
	for _, name := range []string{"Authorization", "Cookie", "X-Api-Key", "X-Auth-Token", "X-Forwarded-For", "X-HTTP-Method-Override", "Host", "X-Original-URL", "X-Hub-Signature-256", "Accept"} {
		f(&Registered{Headers: map[string]string{name: "v"}}, "headers")
	}
	f(&Registered{Headers: map[string]string{"X-Site": "a\r\nX-Evil: 1"}}, "headers")
	f(&Registered{Headers: map[string]string{"X-Site": "a"}}, "")
	f(&Registered{Types: []string{"alarm.fire"}}, "types[0]: no event of this version")
	f(&Registered{Severity: []string{"urgent"}}, "severity[0]: ")
	f(&Registered{Rate: "fast"}, "rate: ")
	f(&Registered{Sign: []string{"ed25519"}}, "sign")
	f(&Registered{Sign: []string{"none"}}, "no way to sign")
	f(&Registered{Labels: map[string]string{"site": "["}}, "is no pattern")
}

func TestOperatorWidensTheWayOfWhatIsRegistered(t *testing.T) {
	c := loaded(t, "[http.registration]\nmax = 3\nverify = true\negress = { allow_http = true, allow_cidrs = [\"127.0.0.0/8\"], ports = [9001] }\n")
	f := func(url string, good bool) {
		t.Helper()
		e, problems := c.Registered("ops", &Registered{URL: hide(url), Secrets: []webhook.Secret{webhook.NewSecret()}})
		if (e != nil) != good || e != nil && !e.Egress.AllowHTTP {
			t.Errorf("%s: %v", url, problems)
		}
	}
	f("http://127.0.0.1:9001/x", true)
	f("http://127.0.0.1:9002/x", false)
	f("http://10.0.0.1:9001/x", false)
	if r := c.Registration(); r.Max != 3 || !r.Verify {
		t.Errorf("%+v", r)
	}
	if r := loaded(t, "").Registration(); r.Max != 1000 || r.Verify || r.Egress.AllowHTTP {
		t.Errorf("%+v", r)
	}
}

func TestRegisteredIsKeptAsItIs(t *testing.T) {
	until := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	r := &Registered{
		URL: hide("https://a.example.com/CANARY"), Types: []string{"a"}, Severity: []string{"major"}, Labels: map[string]string{"a": "b"}, Preset: "p", Region: "r",
		Payload: "thin", Link: "l", Sign: []string{"github"}, With: hide(`{"k":"CANARY","n":1}`), Headers: map[string]string{"X-A": "b"}, Rate: "1/s",
		Secrets: []webhook.Secret{webhook.NewSecret(), webhook.NewSecret().Until(until)},
	}
	text, err := r.Reveal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ReadRegistered(text)
	if err != nil || !reflect.DeepEqual(r, back) {
		t.Errorf("%+v, %v", back, err)
	}
	if len(r.Secrets) != len(back.Secrets) || !back.Secrets[1].NotAfter().Equal(until) {
		t.Error("the secrets have changed")
	}
	shown, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %q", r, r, r, r, r), string(shown)} {
		if strings.Contains(text, "CANARY") || strings.Contains(text, "whsec_") {
			t.Errorf("printed: %s", text)
		}
	}
}

func TestRotatedSignsWithTheOldSecretForATime(t *testing.T) {
	first, second := webhook.NewSecret(), webhook.NewSecret()
	r := &Registered{Secrets: []webhook.Secret{first, webhook.NewSecret().Until(time.Now().Add(-time.Second))}}
	until := time.Now().Add(24 * time.Hour)
	r.Rotated(second, until)
	if len(r.Secrets) != 2 || !r.Secrets[0].Equal(second) || !r.Secrets[0].NotAfter().IsZero() || !r.Secrets[1].Equal(first) || !r.Secrets[1].NotAfter().Equal(until) {
		t.Errorf("%d secrets", len(r.Secrets))
	}
	r.Rotated(webhook.NewSecret(), until.Add(time.Hour))
	if !r.Secrets[2].NotAfter().Equal(until) {
		t.Error("a secret signs for longer than was said")
	}
	for range 9 {
		r.Rotated(webhook.NewSecret(), until)
	}
	if len(r.Secrets) != 4 {
		t.Errorf("%d secrets", len(r.Secrets))
	}
}

func TestPlaceOfAnEndpointIsWhereItIsWritten(t *testing.T) {
	c := loaded(t, "schema = 1\n\n[endpoint.ops]\nurl = \"https://a.example.com\"\nsecret = { file = \"secret\" }\n")
	if got := c.Place("ops"); !strings.HasSuffix(got, "tocsin.toml:3") || c.Place("other") != "" {
		t.Errorf("%q", got)
	}
	problems := c.Taken(func(name string) bool { return name == "ops" })
	if len(problems) != 1 || problems[0].Line != 3 || !strings.Contains(problems[0].String(), "tocsin endpoints remove ops") {
		t.Errorf("%v", problems)
	}
}
