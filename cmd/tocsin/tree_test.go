package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"tocsin/bridge/webhook"
)

// withoutJSON are the commands that have no --json, and why nobody misses it.
var withoutJSON = map[string]string{
	"tocsin run":           "runs until it is stopped; its log is JSON where it is not a terminal",
	"tocsin demo":          "runs until it is stopped, for people",
	"tocsin listen":        "runs until it is stopped; --out writes a JSON object a line",
	"tocsin record":        "writes a recording",
	"tocsin testgen":       "prints TOML",
	"tocsin keygen":        "prints one secret, or writes a file",
	"tocsin hash-password": "prints one line",
	"tocsin schema":        "prints JSON",
	"tocsin man":           "writes files",
}

// eachCommand calls f for every command that does something.
func eachCommand(t *testing.T, f func(*cobra.Command)) {
	t.Helper()
	n := 0
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.HasParent() && cmd.Runnable() {
			n++
			f(cmd)
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRootCommand(env{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard, LookupEnv: os.LookupEnv}))
	if n < 40 {
		t.Fatalf("only %d commands: has the tree changed?", n)
	}
}

// flagOf is a command's flag, its own or that of one above it.
func flagOf(cmd *cobra.Command, name string) bool {
	return cmd.Flag(name) != nil
}

func TestEveryCommandHasJSONOrAReasonWhyNot(t *testing.T) {
	unused := map[string]bool{}
	for path := range withoutJSON {
		unused[path] = true
	}
	eachCommand(t, func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		if reason := withoutJSON[path]; flagOf(cmd, "json") == (reason != "") {
			t.Errorf("%s: --json: %v, and the reason why not is %q", path, flagOf(cmd, "json"), reason)
		}
		delete(unused, path)
	})
	for path := range unused {
		t.Errorf("there is no command %s any more", path)
	}
}

// argumentsOf are arguments that commands need to get as far as asking a bridge.
var argumentsOf = map[string][]string{
	"tocsin alarms ack": {"a/b"}, "tocsin alarms unack": {"a/b"}, "tocsin alarms show": {"a/b"},
	"tocsin alarms shelve": {"a/b", "--for", "1h"}, "tocsin alarms unshelve": {"a/b"}, "tocsin alarms reset": {"a/b"},
	"tocsin deliveries show": {"x"}, "tocsin deliveries replay": {"x"},
	"tocsin endpoints test": {"x"}, "tocsin endpoints enable": {"x"}, "tocsin endpoints disable": {"x"}, "tocsin endpoints discard": {"x"},
	"tocsin endpoints add": {"https://example.com/hook"}, "tocsin endpoints remove": {"x"}, "tocsin endpoints rotate": {"x"}, "tocsin endpoints show": {"x"},
	"tocsin tokens create": {"x", "--scope", "read"}, "tocsin tokens revoke": {"x"},
	"tocsin explain": {"x"}, "tocsin replay": {"--endpoint", "x"},
}

// eachClient calls f with the arguments of every command that asks a bridge.
func eachClient(t *testing.T, f func(path string, args []string)) {
	t.Helper()
	eachCommand(t, func(cmd *cobra.Command) {
		if path := cmd.CommandPath(); flagOf(cmd, "server") {
			f(path, append(strings.Fields(strings.TrimPrefix(path, "tocsin ")), argumentsOf[path]...))
		}
	})
}

func TestWrongUsageIsExitTwoInOneLine(t *testing.T) {
	f := func(args ...string) {
		t.Helper()
		code, out, errs := runHere(t.Context(), "", nil, args...)
		if code != exitUsage || out != "" || strings.Count(errs, "\n") != 1 || !strings.HasSuffix(errs, ")\n") {
			t.Errorf("%q: exit %d, %q, %q is not one line of fact and remedy", args, code, out, errs)
		}
	}
	eachCommand(t, func(cmd *cobra.Command) {
		args := strings.Fields(strings.TrimPrefix(cmd.CommandPath(), "tocsin "))
		f(append(args, "--no-such-flag")...)
		f(append(args, "one", "two", "three", "four")...)
	})
	eachClient(t, func(_ string, args []string) {
		f(append(args, "--server", "nowhere")...)
		f(append(args, "--token-file", filepath.Join(t.TempDir(), "none"))...)
		f(append(args, "--cafile", filepath.Join(t.TempDir(), "none"))...)
	})
}

// Who says nothing of where to ask is answered by the bridge of this folder, and told
// why it was asked there.
func TestACommandAsksTheBridgeOfItsFolder(t *testing.T) {
	bridge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"rules":[]}`) }))
	defer bridge.Close()
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(bridge.URL, "http://"))
	nobody := freeAddr(t)
	dir := t.TempDir()
	t.Chdir(dir)
	f := func(code int, want, text string, vars map[string]string, args ...string) {
		t.Helper()
		if text != "" {
			save(t, "tocsin.toml", text)
		}
		got, out, errs := runHere(t.Context(), "", vars, append([]string{"rules"}, args...)...)
		if got != code || !strings.Contains(out+errs, want) {
			t.Errorf("%q: exit %d, %s%s; want %s", text, got, out, errs, want)
		}
	}
	f(0, "", "[http]\nlisten = \"127.0.0.1:"+port+"\"\n", nil)
	f(0, "", "[http]\nlisten = \"0.0.0.0:"+port+"\"\n[endpoint.x]\nurl = \"${UNSET}\"\n", nil)
	f(0, "", "[http]\nlisten = \"127.0.0.1:${PORT}\"\n", map[string]string{"PORT": port})
	f(exitFailed, "http://"+nobody+": connection refused (is tocsin run running there? http.listen of tocsin.toml says so; --server", "[http]\nlisten = \""+nobody+"\"\n", nil)
	f(0, "", "", nil, "--server", bridge.URL)
	f(0, "", "", map[string]string{"TOCSIN_SERVER": bridge.URL})
	f(exitFailed, "http.listen of tocsin.toml says so", "", map[string]string{"TOCSIN_SERVER": bridge.URL}, "-c", "tocsin.toml")
	f(exitUsage, `tocsin.toml: http.listen is "", where no bridge can be asked (--server`, "[http]\nlisten = \"\"\n", nil)
	f(exitUsage, "-c: ", "", nil, "-c", "none.toml")
	f(exitFailed, "https://"+nobody, "[http]\nlisten = \""+nobody+"\"\ntls = { cert = \"c\", key = \"k\" }\n", nil)
	for text, want := range map[string]string{"[http": "that is the default, since tocsin.toml:1:", "": "that is the default; --server says"} {
		save(t, "tocsin.toml", text)
		if text == "" {
			_ = os.Remove("tocsin.toml")
		}
		e := env{LookupEnv: func(string) (string, bool) { return "", false }}
		if server, _, from, err := (&clientFlags{}).address(e); server != defaultServer || !strings.HasPrefix(from, want) || err != nil {
			t.Errorf("%q: %s, %s, %v", text, server, from, err)
		}
	}
}

// Where no bridge answers, or not as one, the command says what to do.
func TestABridgeThatCannotBeAskedIsExitOneWithARemedy(t *testing.T) {
	tls := newIssuer(t).serve(t, false, func(http.ResponseWriter, *http.Request) {})
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer other.Close()
	nobody := "http://" + freeAddr(t)
	eachClient(t, func(path string, args []string) {
		f := func(server, want string) {
			t.Helper()
			code, out, errs := runHere(t.Context(), "", map[string]string{"TOCSIN_SERVER": server}, args...)
			if code != exitFailed || out != "" || !strings.Contains(errs, want) || !strings.Contains(errs, "(") {
				t.Errorf("%s at %s: exit %d, %q, %q, want %q", path, server, code, out, errs, want)
			}
		}
		f(nobody, "is tocsin run running there?")
		f(tls.URL, "--cafile names the certificate")
		f(strings.Replace(tls.URL, "https:", "http:", 1), "--server https://")
		f(other.URL, "is it a bridge of this version?")
	})
}

// What programs read is one document on standard output, whatever was asked, and
// an error is none.
func TestJSONIsOneDocument(t *testing.T) {
	secret := webhook.NewSecret()
	ops := startReceiver(t, secret, "")
	addr := freeAddr(t)
	p := startTocsin(t, plant(t, embedded(addr), secret, ops.url))
	p.waitReady()
	tell(t, addr, "plant/freezer-1/telemetry", `{"temperature":-12}`, false)
	eventually(t, "fired", func() bool { return ops.requests() > 0 })
	key := "warm/freezer-1"
	var delivery struct{ Deliveries []struct{ ID string } }
	_, out, _ := p.command("deliveries", "--json")
	if err := json.Unmarshal([]byte(out), &delivery); err != nil || len(delivery.Deliveries) == 0 {
		t.Fatalf("%v: %s", err, out)
	}
	for _, args := range [][]string{
		{"alarms"}, {"alarms", "ack", key}, {"alarms", "unack", key}, {"alarms", "shelve", key, "--for", "1h"}, {"alarms", "unshelve", key},
		{"devices"}, {"devices", "freezer-1"}, {"rules"}, {"rules", "warm"}, {"explain", "freezer-1"}, {"plan"},
		{"endpoints"}, {"endpoints", "test", "ops"}, {"endpoints", "disable", "ops"}, {"endpoints", "enable", "ops"}, {"endpoints", "discard", "ops", "--yes"},
		{"deliveries"}, {"deliveries", "show", delivery.Deliveries[0].ID}, {"deliveries", "replay", delivery.Deliveries[0].ID},
		{"replay", "--endpoint", "ops", "--yes"}, {"tokens"}, {"audit"},
	} {
		code, out, errs := p.command(append(args, "--json")...)
		var doc map[string]any
		if err := json.Unmarshal([]byte(out), &doc); code != 0 || err != nil || len(doc) == 0 {
			t.Errorf("%v: exit %d, %v, %q %q", args, code, err, out, errs)
		}
	}
	for _, args := range [][]string{
		{"alarms", "ack", "no/such"}, {"devices", "nobody"}, {"rules", "none"}, {"explain", "nobody"}, {"endpoints", "test", "none"},
		{"deliveries", "show", "none"}, {"replay", "--endpoint", "none", "--yes"}, {"tokens", "revoke", "none"},
	} {
		for _, how := range [][]string{args, append(args, "--json")} {
			if code, out, errs := p.command(how...); code != exitFailed || out != "" || !strings.HasPrefix(errs, "tocsin: ") || !strings.Contains(errs, "(") {
				t.Errorf("%v: exit %d, %q, %q", how, code, out, errs)
			}
		}
	}
	code, out, errs := p.command("audit", "--who", "nobody")
	if code != 0 || out != "" || !strings.Contains(errs, "there is no such request") {
		t.Errorf("an empty list: exit %d, %q, %q", code, out, errs)
	}
	if code, out, errs := runHere(t.Context(), "", nil, "version", "--json"); code != 0 || !json.Valid([]byte(out)) {
		t.Errorf("version: exit %d, %q, %q", code, out, errs)
	}
}
