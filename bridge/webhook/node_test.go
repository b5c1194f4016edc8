package webhook

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
)

// Before: npm ci in testdata/node.
func TestNodeLibraryVerifiesWhatIsSent(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("SKIP: node is not installed")
	}
	if _, err := os.Stat("testdata/node/node_modules/standardwebhooks"); err != nil {
		t.Skip("SKIP: the npm package standardwebhooks is not installed (run npm ci in bridge/webhook/testdata/node)")
	}
	url, requests := capture(t)
	old, fresh, other := NewSecret(), NewSecret(), NewSecret()
	s := newTestSender(t, url, func(o *Options) { o.Secrets = []Secret{fresh, old} })

	var in bytes.Buffer
	var want []string
	ask := func(secret Secret, c captured, body []byte, answer string) {
		t.Helper()
		headers := map[string]string{}
		for k := range c.header {
			headers[k] = c.header.Get(k)
		}
		if err := json.NewEncoder(&in).Encode(map[string]any{"secret": secret.Reveal(), "headers": headers, "body": body}); err != nil {
			t.Fatal(err)
		}
		want = append(want, answer)
	}
	for _, body := range []string{`{}`, `{"unit":"°C"}`, "{\n  \"a\": [1, 2.50, \"\\ud83d\\ude00 \\u2028\"]\n}\n", `"` + string(bytes.Repeat([]byte("x"), 200_000)) + `"`} {
		if r := s.Send(t.Context(), Message{ID: "evt_1", Body: []byte(body)}); r.Verdict != Accepted {
			t.Fatalf("%+v", r)
		}
		c := <-requests
		ask(fresh, c, c.body, "ok")
		ask(old, c, c.body, "ok")
		ask(other, c, c.body, "No matching signature found")
		ask(fresh, c, append(bytes.Clone(c.body), '\n'), "No matching signature found")
	}
	cmd := exec.CommandContext(t.Context(), node, "verify.js")
	cmd.Dir, cmd.Stdin = "testdata/node", &in
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, &stderr)
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for i, w := range want {
		if !lines.Scan() || lines.Text() != w {
			t.Errorf("answer %d is %q, want %q", i, lines.Text(), w)
		}
	}
}
