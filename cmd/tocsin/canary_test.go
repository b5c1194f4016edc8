package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"tocsin/bridge/webhook"
)

// A canary is a secret that must not be seen where it has no business.
type canary struct{ place, text string }

// seenIn returns the canaries that a text holds, as they are or encoded as
// headers, forms and dumps have them.
func seenIn(canaries []canary, text []byte) (seen []string) {
	for _, c := range canaries {
		for _, form := range []string{
			c.text, base64.StdEncoding.EncodeToString([]byte(c.text)), base64.RawURLEncoding.EncodeToString([]byte(c.text)),
			hex.EncodeToString([]byte(c.text)),
		} {
			if bytes.Contains(text, []byte(form)) {
				seen = append(seen, c.place)
				break
			}
		}
	}
	return seen
}

// An echoing receiver answers with everything that it was sent, as debugging
// receivers and careless error pages do.
func startEchoing(t *testing.T, status int) (url string, requests func() int) {
	t.Helper()
	var mu sync.Mutex
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		n++
		mu.Unlock()
		w.Header().Set("X-Echo", r.RequestURI)
		w.WriteHeader(status)
		fmt.Fprintf(w, "%s %s %v %s", r.Method, r.RequestURI, r.Header, body)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func() int { mu.Lock(); defer mu.Unlock(); return n }
}

// Secrets stand in files, variables, URLs and parameters. What the program
// writes, answers, logs and stores shows none of them, whatever receivers do
// with what they are sent.
func TestNoSecretIsSeenAnywhere(t *testing.T) {
	var canaries []canary
	plant := func(place string) string {
		text := "CANARY" + strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(place)) + "4711"
		canaries = append(canaries, canary{place, text})
		return text
	}
	failing, failed := startEchoing(t, 500)
	fine, accepted := startEchoing(t, 200)
	shared := webhook.NewSecret()
	canaries = append(canaries, canary{"shared secret", strings.TrimPrefix(shared.Reveal(), "whsec_")})
	addr := freeAddr(t)
	dir := t.TempDir()
	password := plant("password of an MQTT user")
	hashing := exec.Command(tocsinBinary(t), "hash-password")
	hashing.Stdin = strings.NewReader(password + "\n")
	hash, err := hashing.Output()
	if err != nil {
		t.Fatal(err)
	}
	canaries = append(canaries, canary{"hash of a password", strings.TrimSpace(string(hash))})
	token := plant("http token")
	variable := plant("environment")
	t.Setenv("TOCSIN_TEST_SECRET", variable)
	write := map[string]string{
		"secrets/shared": shared.Reveal(), "secrets/sensors": string(hash), "secrets/token": token,
		"rules/warm.toml": "schema = 1\n[metric.temperature]\nunit = \"°C\"\n[rule.warm]\nmetric = \"temperature\"\nabove = \"-15 °C\"\nclear = \"-17 °C\"\n",
	}
	secretFile := func(place string) string {
		name := "secrets/" + strings.ReplaceAll(place, " ", "-")
		write[name] = plant(place)
		return `{ file = "` + name + `" }`
	}
	const local = "egress = { allow_http = true, allow_cidrs = [\"127.0.0.0/8\"] }\nretry = { schedule = [\"0s\", \"100ms\", \"1s\"] }\nlimits = { timeout = \"2s\" }\n"
	var text strings.Builder
	text.WriteString("schema = 1\nrules = [\"rules/*.toml\"]\n" + embedded(addr) + `
[broker.embedded.user.sensors]
password = { file = "secrets/sensors" }
publish  = ["plant/#"]
[source.plant]
topic   = "plant/{device}/telemetry"
decoder = "json"
[store]
path = "data"
[http]
listen = "127.0.0.1:0"
token  = { file = "secrets/token" }
[http.registration]
egress = { allow_http = true, allow_cidrs = ["127.0.0.0/8"] }
[log]
level = "debug"
`)
	endpoint := func(name, lines string) {
		fmt.Fprintf(&text, "[endpoint.%s]\n%s%s", name, lines, local)
	}
	for name, url := range map[string]string{"failing": failing, "fine": fine} {
		endpoint("path-"+name, fmt.Sprintf("url = \"%s/%s?key=%s\"\nsecret = { file = \"secrets/shared\" }\n", url, plant("path "+name), plant("query "+name)))
		endpoint("bearer-"+name, fmt.Sprintf("url = \"%s\"\nsecret = { file = \"secrets/shared\" }\nauth = { bearer = %s }\n", url, secretFile("bearer "+name)))
		endpoint("basic-"+name, fmt.Sprintf("url = \"%s\"\nsecret = { file = \"secrets/shared\" }\nauth = { basic = { user = \"me\", password = %s } }\n", url, secretFile("basic "+name)))
		endpoint("key-"+name, fmt.Sprintf("url = \"%s\"\nsecret = { file = \"secrets/shared\" }\nauth = { header = { name = \"X-Key\", value = { env = \"TOCSIN_TEST_SECRET\" } } }\n", url))
		endpoint("pager-"+name, fmt.Sprintf("preset = \"pagerduty\"\nurl = \"%s\"\nwith = { routing_key = %s }\n", url, secretFile("routing key "+name)))
		endpoint("pushover-"+name, fmt.Sprintf("preset = \"pushover\"\nurl = \"%s\"\nwith = { token = %s, user = %s }\n", url, secretFile("pushover token "+name), secretFile("pushover user "+name)))
		endpoint("slack-"+name, fmt.Sprintf("preset = \"slack\"\nurl = \"%s/services/%s\"\n", url, plant("slack path "+name)))
		endpoint("telegram-"+name, fmt.Sprintf("preset = \"telegram\"\nurl = \"%s\"\nwith = { token = %s, chat_id = \"-100\" }\n", url, secretFile("telegram token "+name)))
	}
	traced := startTraceCollector(t)
	fmt.Fprintf(&text, "[tracing]\notlp = \"%s\"\nheaders = { X-Key = %s }\n", traced.URL, secretFile("header of the collector"))
	write["tocsin.toml"] = text.String()
	writeFiles(t, dir, write)

	check := exec.Command(tocsinBinary(t), "check", "-c", filepath.Join(dir, "tocsin.toml"))
	said, err := check.CombinedOutput()
	if err != nil {
		t.Fatalf("check: %v\n%s", err, said)
	}
	look := func(where string, text []byte) {
		t.Helper()
		lookFor(t, canaries, where, text)
	}
	look("check", said)

	p := startTocsin(t, dir)
	p.waitReady()
	for name, url := range map[string]string{"failing": failing, "fine": fine} {
		given := webhook.NewSecret()
		canaries = append(canaries, canary{"given secret " + name, strings.TrimPrefix(given.Reveal(), "whsec_")})
		for _, body := range []string{
			fmt.Sprintf(`"name":"made-%s","url":"%s/%s?key=%s"`, name, url, plant("made path "+name), plant("made query "+name)),
			fmt.Sprintf(`"name":"given-%s","url":"%s","secret":"%s"`, name, url, given.Reveal()),
			fmt.Sprintf(`"name":"called-%s","preset":"slack","url":"%s/services/%s"`, name, url, plant("called path "+name)),
			fmt.Sprintf(`"name":"paged-%s","preset":"pagerduty","url":"%s","with":{"routing_key":"%s"}`, name, url, plant("paged key "+name)),
		} {
			made, _ := p.asks(201, "POST", "endpoints", "{"+body+"}", "Authorization", "Bearer "+token)
			if secret, ok := made["secret"].(string); ok {
				canaries = append(canaries, canary{"made secret", strings.TrimPrefix(secret, "whsec_")})
			}
		}
		made, _ := p.asks(200, "POST", "endpoints/made-"+name+"/rotate", "", "Authorization", "Bearer "+token)
		canaries = append(canaries, canary{"rotated secret", strings.TrimPrefix(made["secret"].(string), "whsec_")})
		verified := fmt.Sprintf(`{"url":"%s/%s","verify":true}`, failing, plant("refused path "+name))
		p.asks(422, "POST", "endpoints", verified, "Authorization", "Bearer "+token)
	}
	if err := publishAs(addr, "sensors", plant("wrong password"), `{"temperature":-12}`); err == nil {
		t.Error("a wrong password is let in")
	}
	if err := publishAs(addr, "sensors", password, `{"temperature":-12}`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "everybody was told", func() bool { return accepted() >= 12 && failed() >= 22 })

	lookEverywhere(t, p, dir, token, canaries)
	if len(traced.all()) == 0 {
		t.Error("nothing was traced")
	}
	for _, s := range traced.all() {
		look("the span "+s.Name, []byte(s.String()))
	}
}

// lookFor fails the test if a text shows a canary.
func lookFor(t *testing.T, canaries []canary, where string, text []byte) {
	t.Helper()
	if seen := seenIn(canaries, text); len(seen) > 0 {
		t.Errorf("%s shows the %s", where, strings.Join(seen, ", the "))
	}
}

// lookEverywhere looks for canaries in every page that a process serves, ends it,
// and looks in its log and in what it leaves on disk.
func lookEverywhere(t *testing.T, p *process, dir, token string, canaries []canary) {
	t.Helper()
	client := &http.Client{Timeout: deadline}
	ask := func(method, path string) []byte {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+p.listen["http"]+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Appendf(body, "%v", resp.Header)
	}
	get := func(path string) []byte { t.Helper(); return ask(http.MethodGet, path) }
	list := get("/api/v1/deliveries")
	ids := deliveryIDs(t, list)
	if len(ids) == 0 {
		t.Fatalf("there are no deliveries:\n%s", list)
	}
	pages := []string{
		"/metrics", "/readyz", "/openapi.yaml", "/api/v1/alarms", "/api/v1/rules", "/api/v1/devices", "/api/v1/devices/freezer-1",
		"/api/v1/endpoints", "/api/v1/audit", "/api/v1/deliveries", "/.well-known/tocsin-keys.json",
		"/debug/pprof/goroutine?debug=2", "/debug/pprof/cmdline", "/debug/pprof/heap?debug=1",
	}
	for _, d := range ids {
		pages = append(pages, "/api/v1/deliveries/"+d)
	}
	for _, page := range pages {
		lookFor(t, canaries, page, get(page))
	}
	for _, name := range endpointNames(t, get("/api/v1/endpoints")) {
		lookFor(t, canaries, "testing "+name, ask(http.MethodPost, "/api/v1/endpoints/"+name+"/test"))
	}
	preview := exec.Command(tocsinBinary(t), "preview", "-c", filepath.Join(dir, "tocsin.toml"), "-t", "plant/freezer-1/telemetry", "-m", `{"temperature":-12}`)
	said, err := preview.CombinedOutput()
	if err != nil {
		t.Fatalf("preview: %v\n%s", err, said)
	}
	lookFor(t, canaries, "preview", said)
	if code := p.terminate(); code != 0 {
		t.Errorf("exit %d", code)
	}
	lookFor(t, canaries, "the log", []byte(p.log()))
	err = filepath.WalkDir(filepath.Join(dir, "data"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		lookFor(t, canaries, filepath.Base(path), content)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// publishAs publishes a reading of freezer-1 as a user, and waits for its receipt.
func publishAs(addr, user, password, payload string) error {
	o := mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("canary").SetAutoReconnect(false).
		SetConnectTimeout(deadline).SetUsername(user).SetPassword(password)
	c := mqtt.NewClient(o)
	defer c.Disconnect(0)
	if tok := c.Connect(); !tok.WaitTimeout(deadline) || tok.Error() != nil {
		return fmt.Errorf("connecting: %w", tok.Error())
	}
	if tok := c.Publish("plant/freezer-1/telemetry", 1, false, payload); !tok.WaitTimeout(deadline) || tok.Error() != nil {
		return fmt.Errorf("publishing: %w", tok.Error())
	}
	return nil
}

// deliveryIDs are those of a listing.
func deliveryIDs(t *testing.T, listing []byte) (ids []string) {
	t.Helper()
	var list struct{ Deliveries []struct{ ID string } }
	if err := json.NewDecoder(bytes.NewReader(listing)).Decode(&list); err != nil {
		t.Fatal(err)
	}
	for _, d := range list.Deliveries {
		ids = append(ids, d.ID)
	}
	return ids
}

// endpointNames are those of a listing.
func endpointNames(t *testing.T, listing []byte) (names []string) {
	t.Helper()
	var list struct{ Endpoints []struct{ Name string } }
	if err := json.NewDecoder(bytes.NewReader(listing)).Decode(&list); err != nil {
		t.Fatal(err)
	}
	for _, e := range list.Endpoints {
		names = append(names, e.Name)
	}
	return names
}
