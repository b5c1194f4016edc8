package webhook

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// requireNode skips a test on a machine without the libraries of others. Before:
// npm ci in testdata/node, as make setup does.
func requireNode(t *testing.T) (node string) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("SKIP: node is not installed")
	}
	for _, name := range []string{"standardwebhooks", "svix", "@octokit/webhooks-methods", "http-message-signatures"} {
		if _, err := os.Stat("testdata/node/node_modules/" + name); err != nil {
			t.Skip("SKIP: the npm package " + name + " is not installed (run npm ci in bridge/webhook/testdata/node)")
		}
	}
	return node
}

// A judgement collects questions to the libraries, and what they have to answer.
type judgement struct {
	t    *testing.T
	in   bytes.Buffer
	want []string
	what []string
}

// ask has a library verify a request with a key. An answer other than ok is the
// beginning of why it does not.
func (j *judgement) ask(library string, key any, c captured, body []byte, answer string) {
	j.t.Helper()
	headers := map[string]string{}
	for k := range c.header {
		headers[strings.ToLower(k)] = c.header.Get(k)
	}
	err := json.NewEncoder(&j.in).Encode(map[string]any{
		"library": library, "key": key, "headers": headers, "body": body, "method": c.method, "url": "http://" + c.host + c.target,
	})
	if err != nil {
		j.t.Fatal(err)
	}
	j.want, j.what = append(j.want, answer), append(j.what, library)
}

func (j *judgement) compare(node string) {
	j.t.Helper()
	cmd := exec.CommandContext(j.t.Context(), node, "verify.js")
	cmd.Dir, cmd.Stdin = "testdata/node", &j.in
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		j.t.Fatalf("node: %v\n%s", err, &stderr)
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for i, want := range j.want {
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), want) {
			j.t.Errorf("answer %d, of %s, is %q, want %q", i, j.what[i], lines.Text(), want)
		}
	}
}

// What the sender sends verifies with libraries that are not ours, by the secret
// and the key it was signed with and by no other, and not with a byte more.
func TestLibrariesOfOthersVerifyWhatIsSent(t *testing.T) {
	node := requireNode(t)
	url, requests := capture(t)
	old, fresh, other := NewSecret(), NewSecret(), NewSecret()
	key, otherKey := NewPrivateKey(), NewPrivateKey()
	s := newTestSender(t, url, func(o *Options) {
		o.Sign, o.Secrets, o.Keys = Schemes(), []Secret{fresh, old}, []PrivateKey{key}
	})
	j := &judgement{t: t}
	for _, body := range []string{`{}`, `{"unit":"°C"}`, "{\n  \"a\": [1, 2.50, \"\\ud83d\\ude00 \\u2028\"]\n}\n", `"` + strings.Repeat("x", 200_000) + `"`} {
		for _, method := range []string{http.MethodPost, http.MethodPut} {
			if r := s.Send(t.Context(), Message{ID: "evt_1", Method: method, Body: []byte(body)}); r.Verdict != Accepted {
				t.Fatalf("%+v", r)
			}
			c := <-requests
			longer := append(slices.Clone(c.body), '\n')
			for _, library := range []string{"standardwebhooks", "svix"} {
				j.ask(library, fresh.Reveal(), c, c.body, "ok")
				j.ask(library, old.Reveal(), c, c.body, "ok")
				j.ask(library, other.Reveal(), c, c.body, "No matching signature found")
				j.ask(library, fresh.Reveal(), c, longer, "No matching signature found")
			}
			j.ask("octokit", fresh.Reveal(), c, c.body, "ok")
			j.ask("octokit", old.Reveal(), c, c.body, "no signature verifies")
			j.ask("octokit", fresh.Reveal(), c, longer, "no signature verifies")
			j.ask("v1a", key.Public(), c, c.body, "ok")
			j.ask("v1a", otherKey.Public(), c, c.body, "no signature verifies")
			j.ask("v1a", key.Public(), c, longer, "no signature verifies")
			j.ask("rfc9421-ed25519", key.Public(), c, c.body, "ok")
			j.ask("rfc9421-ed25519", otherKey.Public(), c, c.body, "no signature verifies")
			j.ask("rfc9421-ed25519", key.Public(), c, longer, "another digest")
			elsewhere := c
			elsewhere.target = "/another"
			j.ask("rfc9421-ed25519", key.Public(), elsewhere, c.body, "no signature verifies")
		}
	}
	j.compare(node)
}

// With one secret, since the library wants every signature that it has a key for.
func TestMessageSignaturesOfASecretVerifyWithALibrary(t *testing.T) {
	node := requireNode(t)
	url, requests := capture(t)
	secret := NewSecret()
	s := newTestSender(t, url, func(o *Options) { o.Sign, o.Secrets = []Scheme{RFC9421}, []Secret{secret} })
	if r := s.Send(t.Context(), message()); r.Verdict != Accepted {
		t.Fatal(r.Err)
	}
	c := <-requests
	j := &judgement{t: t}
	j.ask("rfc9421-hmac", secret.Reveal(), c, c.body, "ok")
	j.ask("rfc9421-hmac", NewSecret().Reveal(), c, c.body, "no signature verifies")
	other := c
	other.method = http.MethodPut
	j.ask("rfc9421-hmac", secret.Reveal(), other, c.body, "no signature verifies")
	j.compare(node)
}

// Stripe's documentation says how to make its signature, and OpenSSL makes it.
func TestStripeSignatureIsWhatOpenSSLMakes(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("SKIP: openssl is not installed")
	}
	url, requests := capture(t)
	fresh, old := NewSecret(), NewSecret()
	s := newTestSender(t, url, func(o *Options) { o.Sign, o.Secrets = []Scheme{Stripe}, []Secret{fresh, old} })
	if r := s.Send(t.Context(), Message{ID: "evt_1", Body: []byte(`{"unit":"°C"}`)}); r.Verdict != Accepted {
		t.Fatal(r.Err)
	}
	c := <-requests
	want := "t=" + c.header.Get("webhook-timestamp")
	for _, secret := range []Secret{fresh, old} {
		cmd := exec.CommandContext(t.Context(), openssl, "dgst", "-sha256", "-r", "-mac", "HMAC", "-macopt", "key:"+secret.Reveal())
		cmd.Stdin = strings.NewReader(c.header.Get("webhook-timestamp") + "." + string(c.body))
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		sum, _, _ := strings.Cut(string(out), " ")
		want += ",v1=" + sum
	}
	if got := c.header.Get("Stripe-Signature"); got != want {
		t.Errorf("Stripe-Signature is %s, want %s", got, want)
	}
}
