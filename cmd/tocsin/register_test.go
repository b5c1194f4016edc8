package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"tocsin/bridge/webhook"
)

// open lets registered endpoints reach receivers of tests.
const openRegistration = "[http.registration]\negress = { allow_http = true, allow_cidrs = [\"127.0.0.0/8\"] }\n"

// registering starts a bridge with an endpoint ops in its file, which lets receivers
// on this machine be registered.
func registering(t *testing.T) (dir string, p *process, ops *ledger) {
	t.Helper()
	secret := webhook.NewSecret()
	ops = startReceiver(t, secret, "")
	dir = plant(t, embedded(freeAddr(t)), secret, ops.url)
	path := filepath.Join(dir, "tocsin.toml")
	save(t, path, read(t, path)+openRegistration)
	p = startTocsin(t, dir)
	p.waitReady()
	return dir, p, ops
}

// asks sends a request to the bridge's API and checks the status.
func (p *process) asks(status int, method, path, body string, headers ...string) (answer map[string]any, header http.Header) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, "http://"+p.listen["http"]+"/api/v1/"+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status {
		p.t.Fatalf("%s %s %s: %d %s, want %d (%v)", method, path, body, resp.StatusCode, text, status, err)
	}
	_ = json.Unmarshal(text, &answer) // an empty one has nothing
	return answer, resp.Header
}

// declines asks for what is declined, with words that say why.
func (p *process) declines(status int, method, path, body, says string) {
	p.t.Helper()
	if answer, _ := p.asks(status, method, path, body); !strings.Contains(answer["detail"].(string), says) {
		p.t.Errorf("%s %s %s: %v, want %q", method, path, body, answer["detail"], says)
	}
}

// trust has a receiver verify by a secret that was made after it was started.
func (l *ledger) trust(t *testing.T, text string) {
	t.Helper()
	secret, err := webhook.ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	l.receiver.mu.Lock()
	defer l.receiver.mu.Unlock()
	l.receiver.o.Secrets = append(slices.Clone(l.receiver.o.Secrets), secret)
}

// Who may change where an endpoint is would read its credentials there, if they went
// along with it.
func TestCredentialsDoNotFollowAnEndpointElsewhere(t *testing.T) {
	_, p, _ := registering(t)
	mine, theirs := startReceiver(t, webhook.NewSecret(), ""), startReceiver(t, webhook.NewSecret(), "")
	const params = `"with":{"routing_key":"0123456789abcdef0123456789abcdef"}`
	p.asks(201, "POST", "endpoints", `{"name":"pager","preset":"pagerduty","url":"`+mine.url+`",`+params+`}`)
	for _, body := range []string{`{"url":"` + theirs.url + `"}`, `{"url":""}`, `{"url":"","region":"eu"}`, `{"preset":"opsgenie"}`} {
		p.declines(422, "PATCH", "endpoints/pager", body, "with: it was given for another receiver")
	}
	shown, _ := p.asks(200, "GET", "endpoints/pager", "")
	if version := shown["registered"].(map[string]any)["version"]; version != "1" {
		t.Errorf("it is of the version %v", version)
	}
	p.asks(200, "PATCH", "endpoints/pager", `{"rate":"30/m","url":"`+mine.url+`"}`)
	p.asks(200, "PATCH", "endpoints/pager", `{"url":"`+theirs.url+`",`+params+`}`)
}

// A URL and types are enough. What was answered 201 is there after a kill, and is
// told what comes, signed with the secret that was shown.
func TestRegisteredEndpointSurvivesAKill(t *testing.T) {
	dir, p, ops := registering(t)
	mine := startReceiver(t, webhook.NewSecret(), "")
	made, header := p.asks(201, "POST", "endpoints", `{"url":"`+mine.url+`","types":["alarm.fired"]}`)
	name, secret := made["name"].(string), made["secret"].(string)
	if header.Get("Location") != "/api/v1/endpoints/"+name || header.Get("ETag") != `"1"` || made["owner"] != "registration" || made["condition"] != "active" {
		t.Errorf("%v %v", made, header)
	}
	p.kill()
	mine.trust(t, secret)

	p = startTocsin(t, dir)
	p.waitReady()
	shown, _ := p.asks(200, "GET", "endpoints/"+name, "")
	if shown["secret"] != nil || strings.Contains(shown["url"].(string), "hook") {
		t.Errorf("shown: %v", shown)
	}
	publish(t, p, "freezer-1", `{"temperature":-12}`)
	publish(t, p, "freezer-1", `{"temperature":-20}`)
	eventually(t, "both were told what they want", func() bool {
		return len(mine.of(t, "warm/freezer-1")) == 2 && len(ops.of(t, "warm/freezer-1")) == 2
	})
	if got := mine.of(t, "warm/freezer-1"); !slices.Equal(got, []string{"alarm.fired", "alarm.resolved"}) { // who was told of a start is told of the end
		t.Errorf("told %v", got)
	}
	if answer, _ := p.asks(200, "GET", "endpoints/ops", ""); answer["owner"] != "configuration" || !strings.HasSuffix(answer["place"].(string), "tocsin.toml:14") {
		t.Errorf("%v", answer)
	}
}

// Files and registrations share names, and neither takes one from the other.
func TestConfigurationAndRegistrationsKeepTheirNames(t *testing.T) {
	dir, p, ops := registering(t)
	path := filepath.Join(dir, "tocsin.toml")
	good := read(t, path)
	for _, ask := range [][2]string{{"PATCH", "endpoints/ops"}, {"POST", "endpoints/ops/rotate"}, {"DELETE", "endpoints/ops"}} {
		p.declines(409, ask[0], ask[1], `{}`, "tocsin.toml:14")
	}
	p.declines(409, "POST", "endpoints", `{"name":"ops","url":"`+ops.url+`"}`, "tocsin.toml:14")
	p.asks(201, "POST", "endpoints", `{"name":"mine","url":"`+ops.url+`"}`)
	p.declines(409, "POST", "endpoints", `{"name":"mine","url":"`+ops.url+`"}`, "there is an endpoint mine")
	p.declines(404, "DELETE", "endpoints/other", "", "no registered endpoint")

	taken := good + "[endpoint.mine]\nurl = \"https://a.example.com\"\nsecret = { file = \"secrets/ops\" }\n"
	save(t, path, taken)
	eventually(t, "the name was refused to the file", func() bool { return strings.Contains(p.log(), "tocsin endpoints remove mine") })
	if answer, _ := p.asks(422, "POST", "reload", ""); len(answer["problems"].([]any)) != 1 {
		t.Errorf("%v", answer)
	}
	if answer, _ := p.asks(200, "GET", "endpoints/mine", ""); answer["owner"] != "registration" || answer["condition"] != "active" {
		t.Errorf("%v", answer)
	}
	if code := p.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	p = startTocsin(t, dir)
	<-p.exited
	if code := p.cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(p.log(), "tocsin endpoints remove mine") {
		t.Errorf("exit code %d: %s", code, p.log())
	}

	// What the operator closes is closed at once, and opens again with the file.
	save(t, path, good)
	p = startTocsin(t, dir)
	p.waitReady()
	save(t, path, strings.Replace(good, openRegistration, "", 1))
	held := func() bool {
		answer, _ := p.asks(200, "GET", "endpoints/mine", "")
		reason, _ := answer["reason"].(string) // none while the file is being taken over
		return answer["condition"] == "unconfigured" && strings.Contains(reason, "http.registration.egress = { allow_http = true")
	}
	eventually(t, "the endpoint is held", held)
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.declines(422, "PATCH", "endpoints/mine", `{"types":["alarm.*"]}`, "url is http")
	for _, act := range [][3]string{{"PATCH", "endpoints/mine", `{"disabled":false}`}, {"POST", "endpoints/mine/test", ""}, {"POST", "endpoints/mine/enable", ""}, {"POST", "endpoints/mine/disable", ""}} {
		p.declines(409, act[0], act[1], act[2], "nothing is sent to endpoint mine as things stand: url is http")
	}
	save(t, path, good)
	eventually(t, "the endpoint is told again", func() bool { return !held() })
	for most, says := range map[string]string{"1": "1 endpoint registered, which is the most", "0": "endpoints are not registered here"} {
		save(t, path, good+"max = "+most+"\n")
		p.asks(200, "POST", "reload", "")
		p.declines(409, "POST", "endpoints", `{"url":"`+ops.url+`"}`, says)
	}
	p.asks(200, "DELETE", "endpoints/mine", "")
	save(t, path, taken)
	eventually(t, "the name is free", func() bool {
		answer, _ := p.asks(200, "GET", "endpoints", "")
		return len(answer["endpoints"].([]any)) == 2
	})
}

// A receiver that does not want to be one is not registered; nothing follows where
// it points, and nobody learns from us what listens on our network.
func TestReceiverProvesThatItWantsToBeOne(t *testing.T) {
	_, p, ops := registering(t)
	secret := webhook.NewSecret()
	wanting := startReceiver(t, secret, "")
	made, _ := p.asks(201, "POST", "endpoints", `{"name":"wanting","url":"`+wanting.url+`","secret":"`+secret.Reveal()+`","verify":true}`)
	if made["secret"] != nil || made["registered"].(map[string]any)["verified"] == nil {
		t.Errorf("%v", made)
	}
	var mu sync.Mutex
	reached := 0
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "/reached", http.StatusTemporaryRedirect)
		case "/reached":
			reached++
		case "/ok":
			_, _ = io.WriteString(w, "fine\x1b[31m")
		default:
			http.NotFound(w, r)
		}
	}))
	defer other.Close()
	f := func(url, says string) {
		t.Helper()
		p.declines(422, "POST", "endpoints", `{"name":"no","url":"`+url+`","verify":true}`, says)
	}
	f(other.URL+"/no", "answered 404 Not Found without the challenge")
	f(other.URL+"/ok", `200 OK without the challenge, but "fine\x1b[31m"`)
	f(other.URL+"/redirect", "answered 307")
	f("http://"+freeAddr(t), "could not be reached")
	f("http://localhost.invalid", "could not be reached")
	p.declines(422, "POST", "endpoints", `{"preset":"slack","url":"https://hooks.slack.com/services/T/B/X","verify":true}`, "answers no challenge")
	p.asks(404, "GET", "endpoints/no", "")
	mu.Lock()
	defer mu.Unlock()
	if reached > 0 {
		t.Error("a redirect was followed")
	}
	// Another URL has to prove it again.
	p.declines(422, "PATCH", "endpoints/wanting", `{"url":"`+ops.url+`"}`, "without the challenge")
	if answer, _ := p.asks(200, "GET", "endpoints/wanting", ""); answer["registered"].(map[string]any)["version"] != "1" {
		t.Errorf("%v", answer)
	}
}

// An endpoint is changed, switched off, given another secret, and removed with what
// it is owed; each is in the audit log, without a secret.
func TestRegisteredEndpointIsChangedAndRemoved(t *testing.T) {
	dir, p, _ := registering(t)
	mine := startReceiver(t, webhook.NewSecret(), "")
	made, _ := p.asks(201, "POST", "endpoints", `{"name":"mine","url":"`+mine.url+`?key=CANARYURL","types":["device.*"],"description":"of the shift"}`)
	mine.trust(t, made["secret"].(string))
	p.asks(412, "PATCH", "endpoints/mine", `{"types":["alarm.*"]}`, "If-Match", `"7"`)
	changed, header := p.asks(200, "PATCH", "endpoints/mine", `{"types":["alarm.*"],"severity":["warning"],"labels":{}}`, "If-Match", `"1"`)
	if header.Get("ETag") != `"2"` || changed["description"] != "of the shift" || changed["types"].([]any)[0] != "alarm.*" || changed["secret"] != nil {
		t.Errorf("%v %v", changed, header)
	}
	rotated, _ := p.asks(200, "POST", "endpoints/mine/rotate", `{"keep":"1h"}`)
	if rotated["secret"] == made["secret"] || len(rotated["secrets"].([]any)) != 2 {
		t.Errorf("%v", rotated)
	}
	publish(t, p, "freezer-1", `{"temperature":-12}`)
	eventually(t, "the old secret verifies as well", func() bool { return len(mine.of(t, "warm/freezer-1")) == 1 })

	p.asks(200, "PATCH", "endpoints/mine", `{"disabled":true}`)
	publish(t, p, "freezer-1", `{"temperature":-20}`)
	eventually(t, "it is owed the end", func() bool { return p.metric(`tocsin_deliveries_pending{endpoint="mine"}`) == "1" })
	p.declines(409, "DELETE", "endpoints/mine", "", "is owed 1 delivery")
	if removed, _ := p.asks(200, "DELETE", "endpoints/mine?discard=true", ""); removed["discarded"].(float64) != 1 || removed["owed"].(float64) != 0 {
		t.Errorf("%v", removed)
	}
	p.asks(404, "GET", "endpoints/mine", "")
	// Who has the name next is told nothing of the former, nor switched off with it.
	if again, _ := p.asks(201, "POST", "endpoints", `{"name":"mine","url":"`+mine.url+`"}`); again["condition"] != "active" {
		t.Errorf("%v", again)
	}
	audit, _ := p.asks(200, "GET", "audit", "")
	text, err := json.Marshal(audit)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"types":"device.* → alarm.*"`, `"secret":"another"`, `"disabled":"true"`, `"discarded":"1"`, `"description":"of the shift"`} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("the audit log has no %s: %s", want, text)
		}
	}
	p.terminate()
	files, err := filepath.Glob(filepath.Join(dir, "data", "tocsin.db*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		kept, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, kept...)
	}
	text = append(text, p.log()...)
	for _, secret := range []string{"CANARYURL", strings.TrimPrefix(made["secret"].(string), "whsec_"), strings.TrimPrefix(rotated["secret"].(string), "whsec_")} {
		if bytes.Contains(text, []byte(secret)) {
			t.Errorf("%s is in the log, the audit log or the database", secret)
		}
	}
}

// A former endpoint's backlog is not for whoever takes its name.
func TestFormerEndpointsBacklogIsNotForItsNamesake(t *testing.T) {
	dir, p, _ := registering(t)
	path := filepath.Join(dir, "tocsin.toml")
	good := read(t, path)
	p.asks(204, "POST", "endpoints/ops/disable", "")
	publish(t, p, "freezer-1", `{"temperature":-12}`)
	eventually(t, "ops is owed", func() bool { return p.metric(`tocsin_deliveries_pending{endpoint="ops"}`) == "1" })
	save(t, path, strings.Replace(good, "[endpoint.ops]", "[endpoint.new]", 1))
	eventually(t, "ops has left", func() bool { return strings.Contains(p.log(), `"endpoints_removed":"ops"`) })
	p.declines(409, "POST", "endpoints", `{"name":"ops","url":"http://127.0.0.1:1/"}`, "is owed 1 delivery")
}

// An endpoint that is gone stays switched off over restarts and reloads.
func TestRegisteredEndpointThatIsGoneStaysSwitchedOff(t *testing.T) {
	dir, p, _ := registering(t)
	mine := startReceiver(t, webhook.NewSecret(), "410:1")
	made, _ := p.asks(201, "POST", "endpoints", `{"name":"mine","url":"`+mine.url+`"}`)
	mine.trust(t, made["secret"].(string))
	publish(t, p, "freezer-1", `{"temperature":-12}`)
	disabled := func() bool {
		answer, _ := p.asks(200, "GET", "endpoints/mine", "")
		return answer["condition"] == "disabled" && answer["owed"].(float64) == 1
	}
	eventually(t, "it is switched off", disabled)
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the configuration was read", func() bool { return strings.Contains(p.log(), "configuration read again") })
	if !disabled() {
		t.Error("a reload switched it on")
	}
	p.terminate()
	p = startTocsin(t, dir)
	p.waitReady()
	if !disabled() {
		t.Error("a restart switched it on")
	}
	mine.behave()
	p.asks(200, "PATCH", "endpoints/mine", `{"disabled":false}`)
	eventually(t, "it is told what it is owed", func() bool { return len(mine.of(t, "warm/freezer-1")) == 1 })
}

// The commands of a person who registers: add, show, rotate, remove.
func TestEndpointIsAddedShownAndRemovedByCommands(t *testing.T) {
	_, p, _ := registering(t)
	mine := startReceiver(t, webhook.NewSecret(), "")
	dir := t.TempDir()
	run := func(code int, want string, args ...string) (out string) {
		t.Helper()
		got, out, errs := p.command(append([]string{"endpoints"}, args...)...)
		if got != code || !strings.Contains(out+errs, want) {
			t.Errorf("%v: %d %s%s, want %d and %q", args, got, out, errs, code, want)
		}
		return out
	}
	file := filepath.Join(dir, "secret")
	run(0, "mine is registered; wrote its secret to", "add", mine.url, "--name", "mine", "--types", "alarm.fired,device.*", "--label", "site=l*",
		"--header", "X-Site=lyon", "--description", "of the shift", "--rate", "30/m", "--out", file)
	mine.trust(t, strings.TrimSpace(read(t, file)))
	run(0, "accepted", "test", "mine")
	run(2, "exists", "add", mine.url, "--out", file)
	for _, want := range []string{"of the shift", "alarm.fired device.*", "site = l*", "X-Site", "registered", "by loopback", "/..."} {
		run(0, want, "show", "mine")
	}
	run(0, "tocsin.toml:14", "show", "ops")
	run(0, `"owner": "registration"`, "show", "mine", "--json")
	if out := run(0, "shown this once", "rotate", "mine"); !strings.Contains(out, "whsec_") {
		t.Errorf("no secret in %s", out)
	}
	run(0, "signs until", "show", "mine")
	run(0, "accepted", "test", "mine") // which still knows the old secret alone
	run(1, "is in the configuration", "remove", "ops")
	run(0, "mine is removed, 0 deliveries discarded", "remove", "mine")
	run(1, "there is no endpoint", "show", "mine")
	run(0, "whsec_", "add", mine.url, "--name", "other")
	given := filepath.Join(dir, "given")
	if err := os.WriteFile(given, []byte(webhook.NewSecret().Reveal()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run(0, "third", "add", mine.url, "--name", "third", "--secret", "@"+given); strings.Contains(out, "whsec_") {
		t.Errorf("a secret that was given is shown: %s", out)
	}
	run(2, "takes @FILE", "add", mine.url, "--secret", "whsec_x")
	run(1, "rate: ", "add", mine.url, "--rate", "fast")
	run(2, "takes one URL", "add")
	run(0, "pagerduty", "add", "--preset", "pagerduty", "--with", "routing_key=@"+given)
}

// What is not public is refused at once where it is written as an address, and at
// the dial where it is a name; nothing of it is kept.
func TestNothingPrivateIsRegistered(t *testing.T) {
	secret := webhook.NewSecret()
	ops := startReceiver(t, secret, "")
	p := startTocsin(t, plant(t, embedded(freeAddr(t)), secret, ops.url))
	p.waitReady()
	_, port, err := net.SplitHostPort(strings.TrimSuffix(strings.TrimPrefix(ops.url, "http://"), "/hook"))
	if err != nil {
		t.Fatal(err)
	}
	before := ops.requests()
	for _, host := range []string{
		"127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254", "192.0.0.192", "198.18.0.1",
		"224.0.0.1", "255.255.255.255", "[::]", "[::1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fc00::1]", "[fe80::1]", "[ff02::1]",
		"127.1", "0", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1.", "[fe80::1%25eth0]", "me@127.0.0.1",
		"localhost", "LOCALHOST", "foo.localhost", "metadata.google.internal", "host.docker.internal",
	} {
		p.declines(422, "POST", "endpoints", `{"name":"no","verify":true,"url":"https://`+host+":"+port+`/x"}`, "")
	}
	p.declines(422, "POST", "endpoints", `{"url":"`+ops.url+`"}`, "http.registration.egress = { allow_http = true")
	p.declines(422, "POST", "endpoints", `{"url":"file:///etc/shadow"}`, "only https")
	for _, more := range []string{
		`"egress":{"allow_cidrs":["0.0.0.0/0"]}`, `"tls":{"ca":"/etc/shadow"}`, `"auth":{"bearer":"x"}`, `"secret":{"file":"/etc/shadow"}`,
		`"secret":[{"env":"HOME"}]`, `"body":{}`, `"fallback":{"to":"ops"}`,
	} {
		p.asks(422, "POST", "endpoints", `{"url":"https://alerts.example.com",`+more+`}`)
	}
	p.declines(422, "POST", "endpoints", `{"url":"https://alerts.example.com","with":{"a":{"file":"/etc/shadow"}}}`, "nothing is read for it")
	if answer, _ := p.asks(200, "GET", "endpoints", ""); len(answer["endpoints"].([]any)) != 1 {
		t.Errorf("%v", answer)
	}
	if ops.requests() != before {
		t.Error("something was reached")
	}
}
