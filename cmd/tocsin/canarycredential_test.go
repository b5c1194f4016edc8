package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tocsin/bridge/webhook"
)

// Whoever is given a credential may show it: a token's server in its errors, a
// receiver in what it keeps of earlier requests, a proxy in place of an answer.
// Nothing of that is seen of ours.
func TestNoTokenAndNoPasswordOfAProxyIsSeenAnywhere(t *testing.T) {
	var canaries []canary
	plant := func(place string) string {
		text := "CANARY" + strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(place)) + "4711"
		canaries = append(canaries, canary{place, text})
		return text
	}
	write := map[string]string{
		"secrets/shared":  webhook.NewSecret().Reveal(),
		"rules/warm.toml": "schema = 1\n[metric.temperature]\nunit = \"°C\"\n[rule.warm]\nmetric = \"temperature\"\nabove = \"-15 °C\"\nclear = \"-17 °C\"\n",
	}
	secretFile := func(place string) string {
		name := "secrets/" + strings.ReplaceAll(place, " ", "-")
		write[name] = plant(place)
		return `{ file = "` + name + `" }`
	}
	token := "a token that is long enough"
	write["secrets/token"] = token
	addr := freeAddr(t)
	var text strings.Builder
	text.WriteString("schema = 1\nrules = [\"rules/*.toml\"]\n" + embedded(addr) + `
[source.plant]
topic   = "plant/{device}/telemetry"
decoder = "json"
[store]
path = "data"
[http]
listen = "127.0.0.1:0"
token  = { file = "secrets/token" }
[log]
level = "debug"
`)
	endpoint := func(name, url, lines string) {
		fmt.Fprintf(&text, "[endpoint.%s]\nurl = %q\nsecret = { file = \"secrets/shared\" }\nretry = { schedule = [\"0s\", \"100ms\", \"1s\"] }\nlimits = { timeout = \"2s\" }\n%s\n", name, url, lines)
	}

	asked := map[string]func() int{}
	for name, mode := range map[string]struct{ receiver, server int }{
		"taken": {200, 200}, "refused": {500, 200}, "unknown": {401, 200}, "without": {200, 400},
	} {
		for _, where := range []string{"body", "header"} {
			receiver, requests := startRemembering(t, mode.receiver)
			server, tokens := startShowingTokens(t, mode.server, plant("access token "+name+where), plant("newer refresh token "+name+where))
			write["tls/ca.pem"] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: receiver.Certificate().Raw}))
			if asked["tokens of "+name+where] = tokens; mode.server == 200 { // nothing is sent without a token
				asked["receiver "+name+where] = requests
			}
			endpoint("client-"+name+"-"+where, receiver.URL, fmt.Sprintf(`egress = { allow_cidrs = ["127.0.0.0/8"] }
tls = { ca = "tls/ca.pem" }
auth = { oauth2 = { token_url = "%s/token?key=%s", client_id = "me", client_secret = %s, refresh_token = %s, client_auth = "%s" } }`,
				server, plant("query of a token url "+name+where), secretFile("client secret "+name+" "+where), secretFile("refresh token "+name+" "+where), where))
		}
	}
	for _, mode := range []string{"refuses", "impersonates", "repeats", "babbles"} {
		at, requests := startShowingProxy(t, mode)
		asked["proxy that "+mode] = requests
		endpoint("proxy-"+mode, "http://192.0.2.7/hook", fmt.Sprintf(
			`egress = { allow_http = true, allow_cidrs = ["192.0.2.0/24"], proxy = "http://%s", proxy_user = "me", proxy_password = %s }`, at, secretFile("password of a proxy that "+mode)))
	}
	socks, requests := startShowingSOCKS(t)
	asked["SOCKS"] = requests
	endpoint("proxy-socks", "http://192.0.2.7/hook", fmt.Sprintf(
		`egress = { allow_http = true, allow_cidrs = ["192.0.2.0/24"], proxy = "socks5://%s", proxy_user = "me", proxy_password = %s }`, socks, secretFile("password of SOCKS")))
	write["tocsin.toml"] = text.String()
	dir := t.TempDir()
	writeFiles(t, dir, write)

	p := startTocsin(t, dir)
	p.waitReady()
	if err := publishAs(addr, "", "", `{"temperature":-12}`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "everybody was asked, and again who did not accept", func() bool {
		for who, n := range asked {
			if n() == 0 || n() == 1 && !strings.Contains(who, "taken") {
				return false
			}
		}
		return true
	})
	lookEverywhere(t, p, dir, token, canaries)
}

// startRemembering starts a receiver that answers with all requests that it was
// ever sent.
func startRemembering(t *testing.T, status int) (srv *httptest.Server, requests func() int) {
	t.Helper()
	var (
		mu  sync.Mutex
		all []string
	)
	srv = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		dump, _ := httputil.DumpRequest(r, true)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, string(dump))
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		w.WriteHeader(status)
		for _, dump := range slices.Backward(all[max(0, len(all)-4):]) {
			_, _ = io.WriteString(w, dump)
		}
	}))
	t.Cleanup(srv.Close)
	return srv, func() int { mu.Lock(); defer mu.Unlock(); return len(all) }
}

// startShowingTokens starts a server of tokens that shows what it was asked with
// wherever an answer has room for it. A new token is not the one before.
func startShowingTokens(t *testing.T, status int, access, refresh string) (url string, requests func() int) {
	t.Helper()
	var n atomic.Int64
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := n.Add(1)
		_ = r.ParseForm()
		_, password, _ := r.BasicAuth()
		w.Header().Set("X-Echo", r.RequestURI)
		w.Header().Set("WWW-Authenticate", fmt.Sprintf("%s %v", r.Header.Get("Authorization"), r.PostForm))
		answer := map[string]any{"expires_in": 1, "access_token": fmt.Sprintf("%s-%d", access, i), "refresh_token": fmt.Sprintf("%s-%d", refresh, i)}
		if status != http.StatusOK {
			shown := []string{r.PostForm.Get("client_secret") + password, r.PostForm.Get("refresh_token"), r.Header.Get("Authorization")}
			answer = map[string]any{"error": shown[i%3], "error_description": r.PostForm.Encode()}
		}
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func() int { return int(n.Load()) }
}

// startShowingProxy starts an HTTP proxy that shows its password: in refusing, in
// place of the endpoint, by sending back what it was sent, or in a head that is none.
func startShowingProxy(t *testing.T, mode string) (addr string, requests func() int) {
	t.Helper()
	return listenAndShow(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		login := req.Header.Get("Proxy-Authorization")
		switch mode {
		case "refuses":
			_, _ = fmt.Fprintf(c, "HTTP/1.1 407 %s\r\nProxy-Authenticate: %s\r\nContent-Length: %d\r\n\r\n%s", login, login, len(login), login)
		case "repeats":
			dump, _ := httputil.DumpRequest(req, false)
			_, _ = c.Write(dump)
		case "babbles":
			_, _ = fmt.Fprintf(c, "HTTP/1.1 %s\r\n%s\r\n\r\n", login, login)
		case "impersonates":
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			if asked, err := http.ReadRequest(r); err == nil {
				_, _ = io.Copy(io.Discard, asked.Body)
				_, _ = fmt.Fprintf(c, "HTTP/1.1 500 %s\r\nX-Echo: %s\r\nContent-Length: %d\r\n\r\n%s", login, login, len(login), login)
			}
		}
	})
}

// startShowingSOCKS starts a SOCKS proxy that refuses us with what we said.
func startShowingSOCKS(t *testing.T) (addr string, requests func() int) {
	t.Helper()
	return listenAndShow(t, func(c net.Conn) {
		heard := make([]byte, 512)
		n, _ := io.ReadAtLeast(c, heard, 3)
		_, _ = c.Write([]byte{5, 2})
		m, _ := io.ReadAtLeast(c, heard[n:], 3)
		_, _ = c.Write(bytes.Join([][]byte{{1, 1}, heard[n : n+m]}, nil))
	})
}

func listenAndShow(t *testing.T, serve func(net.Conn)) (addr string, requests func() int) {
	t.Helper()
	var (
		n  atomic.Int64
		wg sync.WaitGroup
	)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			wg.Go(func() { serve(c); _ = c.Close() })
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return l.Addr().String(), func() int { return int(n.Load()) }
}
