package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tocsin/bridge/webhook"
)

// startListen runs tocsin listen in this process and returns its address, its
// output line by line, and what stops it and returns the exit code.
func startListen(t *testing.T, vars map[string]string, args ...string) (url string, lines <-chan string, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, env{
			Args:      append([]string{"listen", "--addr", "127.0.0.1:0"}, args...),
			Stdin:     strings.NewReader(""),
			Stdout:    in,
			Stderr:    io.Discard,
			LookupEnv: func(name string) (string, bool) { v, ok := vars[name]; return v, ok },
		})
		in.Close()
	}()
	printed := make(chan string, 100)
	go func() {
		defer close(printed)
		for s := bufio.NewScanner(out); s.Scan(); {
			printed <- s.Text()
		}
	}()
	t.Cleanup(cancel)
	first := nextLine(t, printed)
	url, ok := strings.CutPrefix(first, "listening on ")
	if !ok {
		t.Fatalf("the first line is %q", first)
	}
	return url, printed, func() int { cancel(); return <-code }
}

func nextLine(t *testing.T, lines <-chan string) string {
	t.Helper()
	select {
	case line, ok := <-lines:
		if !ok {
			t.Fatal("the output ended")
		}
		return line
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was printed for 20 s")
	}
	return ""
}

func TestListenPrintsOneLineARequest(t *testing.T) {
	secret := webhook.NewSecret()
	url, lines, stop := startListen(t, map[string]string{"TOCSIN_SECRET": secret.Reveal()}, "-q")
	f := func(signedWith webhook.Secret, body, want string) {
		t.Helper()
		mustPost(t, url, signedWith, "evt_1", body)
		_, line, _ := strings.Cut(nextLine(t, lines), " ") // after the time
		if !strings.Contains(line, want) {
			t.Errorf("printed %q, want %q", line, want)
		}
		if strings.ContainsAny(line, "\x1b\x07\u202e") {
			t.Errorf("%q carries what a terminal would obey", line)
		}
	}
	f(secret, testBody, "✓ verified  alarm.fired  evt_1  freezer-07 is warm  → 200")
	f(secret, testBody, "✓ verified, repeat  alarm.fired")
	f(webhook.NewSecret(), testBody, "✗ no signature matches")
	f(secret, `{"type":"\u001b]0;x\u0007","data":{"title":"\u202eevil"}}`, "same id with another body  \uFFFD]0;x\uFFFD  evt_1  \uFFFDevil")
	if code := stop(); code != 0 {
		t.Errorf("exit code %d after being asked to stop", code)
	}
}

// What is signed in several ways is verified in each, and those that were asked
// for have to be there.
func TestListenNamesTheSchemesItFound(t *testing.T) {
	secret, key := webhook.NewSecret(), webhook.NewPrivateKey()
	keys := map[string]string{"TOCSIN_SECRET": secret.Reveal() + " " + key.Public().String()}
	send := func(url string, sign ...webhook.Scheme) webhook.Result {
		t.Helper()
		s, err := webhook.New(webhook.Options{
			URL: url + "/hook?a=1", AllowHTTP: true, AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
			Sign: sign, Secrets: []webhook.Secret{secret}, Keys: []webhook.PrivateKey{key},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		return s.Send(t.Context(), webhook.Message{ID: "evt_1", Body: []byte(testBody)})
	}
	file := filepath.Join(t.TempDir(), "received.jsonl")
	url, lines, stop := startListen(t, keys, "-q", "--out", file)
	f := func(want string, status int, sign ...webhook.Scheme) {
		t.Helper()
		r := send(url, sign...)
		if line := nextLine(t, lines); !strings.Contains(line, want) || r.Status != status {
			t.Errorf("answered %d, printed %q, want %d, %q", r.Status, line, status, want)
		}
	}
	f("✓ verified  alarm", 200, webhook.Standard)
	f("✓ verified standard ed25519 github stripe rfc9421, repeat", 200, webhook.Schemes()...)
	f("✓ verified rfc9421, repeat", 200, webhook.RFC9421)
	stop()
	text := read(t, file)
	if strings.Count(text, `"rfc9421":"verified"`) != 2 || !strings.Contains(text, `"method":"POST","url":"`+url+`/hook?a=1"`) {
		t.Errorf("the record is %s", text)
	}

	url, lines, _ = startListen(t, keys, "-q", "--sign", "standard,stripe")
	f("✗ stripe: header missing", 401, webhook.Standard, webhook.GitHub)
	f("✓ verified standard stripe", 200, webhook.Standard, webhook.Stripe)
	f("✗ standard: header missing", 401, webhook.Stripe)

	// A receiver behind a proxy is told what senders were given.
	url, lines, _ = startListen(t, keys, "-q", "--url", "https://alerts.example.com/hook")
	f("✗ no signature matches", 401, webhook.RFC9421)
}

func TestListenPrintsBodiesForReading(t *testing.T) {
	secret := webhook.NewSecret()
	url, lines, _ := startListen(t, map[string]string{"TOCSIN_SECRET": secret.Reveal()})
	mustPost(t, url, secret, "evt_1", `{"type":"a","n":1}`)
	nextLine(t, lines)
	for _, want := range []string{`    {`, `      "type": "a",`, `      "n": 1`, `    }`} {
		if got := nextLine(t, lines); got != want {
			t.Errorf("printed %q, want %q", got, want)
		}
	}
}

func TestListenAppendsToItsRecord(t *testing.T) {
	secret := webhook.NewSecret()
	dir := t.TempDir()
	file := filepath.Join(dir, "received.jsonl")
	key := filepath.Join(dir, "secret")
	if err := os.WriteFile(key, []byte(secret.Reveal()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		url, lines, stop := startListen(t, nil, "-q", "--out", file, "--secret", "@"+key)
		mustPost(t, url, secret, "evt_1", testBody)
		nextLine(t, lines)
		if code := stop(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		var got recordLine
		if err := json.Unmarshal([]byte(line), &got); err != nil || got.ID != "evt_1" || !got.Verified {
			t.Errorf("line %d is %q (%v)", n, line, err)
		}
	}
	if n != 2 {
		t.Errorf("%d lines after two runs of one request each", n)
	}
}

// The record is judged by a verifier that is not ours, in another language.
func TestRecordVerifiesWithTheJavaScriptLibrary(t *testing.T) {
	requireNodeClients(t)
	secret := webhook.NewSecret()
	file := filepath.Join(t.TempDir(), "received.jsonl")
	vars := map[string]string{"TOCSIN_SECRET": secret.Reveal()}
	url, lines, stop := startListen(t, vars, "-q", "--out", file)
	mustPost(t, url, secret, "evt_1", testBody)
	nextLine(t, lines)
	mustPost(t, url, secret, "evt_2", "{ \"10\": 1.0,\n \"9\": \"<ü>\" }\n")
	nextLine(t, lines)
	stop()
	f := func(secret webhook.Secret, want string, code int) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "node", "verify.mjs", file)
		cmd.Dir = nodeClients
		cmd.Env = append(os.Environ(), "TOCSIN_SECRET="+secret.Reveal())
		out, err := cmd.Output()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if cmd.ProcessState.ExitCode() != code || strings.TrimSpace(string(out)) != want {
			t.Errorf("exit code %d, %q; want %d, %q", cmd.ProcessState.ExitCode(), out, code, want)
		}
	}
	f(secret, "2 verified, 0 failed", 0)
	f(webhook.NewSecret(), "0 verified, 2 failed", 1)
}

const nodeClients = "testdata/node"

// requireNodeClients skips a test on a machine without the JavaScript clients.
func requireNodeClients(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed")
	}
	if _, err := os.Stat(filepath.Join(nodeClients, "node_modules", "standardwebhooks")); err != nil {
		t.Skip("the JavaScript clients are not installed (npm ci --prefix cmd/tocsin/" + nodeClients + ")")
	}
}

func TestBodiesThatAreNotJSONOrTooLongAreShownAsText(t *testing.T) {
	f := func(body, want string) {
		t.Helper()
		if got := indentBody([]byte(body)); got != want {
			t.Errorf("%q is shown as %q, want %q", body, got, want)
		}
	}
	f("", "")
	f("a\nb\n", "    a\n    b\n")
	f("a\x1b[31m", "    a\uFFFD[31m\n")
	f(strings.Repeat("x", maxShown+7), "    "+strings.Repeat("x", maxShown)+"\n    … and 7 bytes more\n")
}

func TestAnswersOnPurposeAreNamed(t *testing.T) {
	f := func(status int, fault, want string) {
		t.Helper()
		if got := answer(reception{Status: status, Fault: fault}); got != want {
			t.Errorf("%d with %q is %q, want %q", status, fault, got, want)
		}
	}
	f(200, "", "200")
	f(429, "429/2s", "429/2s on purpose")
	f(0, "hang", "hang on purpose")
	f(200, "slow/20s", "200, slow/20s on purpose")
}

func TestListenOffLoopbackNeedsASecret(t *testing.T) {
	f := func(addr string, verifying, ok bool) {
		t.Helper()
		if _, err := listenAddr(addr, verifying); (err == nil) != ok {
			t.Errorf("%s, verifying %t: %v", addr, verifying, err)
		}
	}
	f("127.0.0.1:9000", false, true)
	f("[::1]:9000", false, true)
	f("0.0.0.0:9000", false, false)
	f(":9000", false, false)
	f("[::]:9000", false, false)
	f(":9000", true, true)
	f("9000", true, false)
}
