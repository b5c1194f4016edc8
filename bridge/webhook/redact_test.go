package webhook

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// An echo answers with the very bytes of the request, behind a beginning.
func echo(t *testing.T, beginning string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				b := make([]byte, 64<<10)
				n, err := c.Read(b)
				if err == nil {
					_, _ = c.Write(append([]byte(beginning), b[:n]...))
				}
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return l.Addr().String()
}

// canaries are in everything that is secret. Where they may be seen is on the
// wire and nowhere else.
func withCanaries(o *Options) {
	o.Headers = map[string]string{"X-Canary": "canary"}
	o.Auth = Bearer(NewCredential("canary"))
	o.Timeout = time.Second
}

// TestNoErrorShowsASecret tries every way in which an attempt fails, with a
// canary in path, query, headers, credentials, body and what the receiver says.
func TestNoErrorShowsASecret(t *testing.T) {
	path := "/canary/canary?token=canary"
	plain := func(addr string) string { return "http://" + addr + path }
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	authority, stranger := newAuthority(t), newAuthority(t)
	secure := tlsServer(t, &tls.Config{Certificates: []tls.Certificate{stranger.issue(t, nil)}}, false, noContent)
	old := tlsServer(t, &tls.Config{Certificates: []tls.Certificate{authority.issue(t, nil)}, MaxVersion: tls.VersionTLS12}, false, noContent)
	broken := tlsServer(t, &tls.Config{Certificates: []tls.Certificate{authority.issue(t, nil)}}, true, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	refusing := newTokenServer(t, func(w http.ResponseWriter, r *http.Request, _ int64) bool {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"error":"invalid_client","error_description":%q}`, r.PostForm.Encode())
		return true
	})
	says := func(text string) string {
		return plain(strings.TrimPrefix(strings.TrimSuffix(raw(t, answer(text, false)).url, "/hook"), "http://"))
	}

	cases := map[string]struct {
		url    string
		change func(*Options)
	}{
		"refused connection":  {url: plain(closed.Addr().String())},
		"unknown name":        {url: plain("canary-free.test."), change: func(o *Options) { o.Resolver = names{}.resolver() }},
		"blocked address":     {url: plain("10.0.0.1")},
		"no answer":           {url: says("")},
		"timeout":             {url: plain(blackHole(t))},
		"echo":                {url: plain(echo(t, ""))},
		"echo in status line": {url: plain(echo(t, "HTTP/1.1 "))},
		"echo in a header":    {url: plain(echo(t, "HTTP/1.1 200 OK\r\n"))},
		"echo in a length":    {url: plain(echo(t, "HTTP/1.1 200 OK\r\nContent-Length: "))},
		"echo in an encoding": {url: plain(echo(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: "))},
		"echo in location":    {url: plain(echo(t, "HTTP/1.1 302 OK\r\nLocation: /"))},
		"echo in TLS":         {url: "https://" + echo(t, "") + path},
		"status":              {url: says("HTTP/1.1 500 canary\r\nX-Canary: canary\r\n\r\ncanary")},
		"redirect":            {url: says("HTTP/1.1 302 X\r\nLocation: https://canary@example.com/canary?canary#canary\r\n\r\n")},
		"gone":                {url: says("HTTP/1.1 410 canary\r\n\r\ncanary")},
		"unknown authority":   {url: secure.URL + path},
		"TLS version":         {url: old.URL + path, change: func(o *Options) { o.RootCAs, o.MinTLS = authority.pool, tls.VersionTLS13 }},
		"pin":                 {url: old.URL + path, change: func(o *Options) { o.RootCAs, o.Pins = authority.pool, make([]Pin, 1) }},
		"HTTP/2 reset":        {url: broken.URL + path, change: func(o *Options) { o.RootCAs = authority.pool }},
		"not TLS":             {url: strings.Replace(says("HTTP/1.1 400 Bad Request\r\n\r\ncanary"), "http:", "https:", 1)},
		"token refused": {url: plain("127.0.0.1:1"), change: func(o *Options) {
			o.Auth = Auth{OAuth2: refusing.oauth2()}
		}},
		"token refused in words": {url: plain("127.0.0.1:1"), change: func(o *Options) {
			server := newTokenServer(t, func(w http.ResponseWriter, r *http.Request, _ int64) bool {
				_, _ = fmt.Fprintf(w, `{"error":%q}`, r.PostForm.Get("client_secret"))
				return true
			})
			o.Auth = Auth{OAuth2: server.oauth2()}
			o.Auth.OAuth2.ClientSecret = NewCredential("canary_of_words")
		}},
		"proxy": {url: "http://1.1.1.1" + path, change: func(o *Options) {
			o.Proxy = &Proxy{URL: "http://" + echo(t, ""), User: "canary", Password: NewCredential("canary")}
		}},
		"proxy's status": {url: "http://1.1.1.1" + path, change: func(o *Options) {
			o.Proxy = &Proxy{URL: "http://" + echo(t, "HTTP/1.1 502 "), User: "canary", Password: NewCredential("canary")}
		}},
		"proxy's refusal": {url: "http://1.1.1.1" + path, change: func(o *Options) {
			p := newTestProxy(t, "socks5", "127.0.0.1:1", "a:b", nil)
			o.Proxy = &Proxy{URL: p.url, User: "canary", Password: NewCredential("canary")}
		}},
	}
	for what, c := range cases {
		var log bytes.Buffer
		s := newTestSender(t, c.url, func(o *Options) {
			withCanaries(o)
			if c.change != nil {
				c.change(o)
			}
		})
		m := message()
		m.Body = []byte(`"canary"`)
		r := s.Send(t.Context(), m)
		if r.Err == nil {
			t.Errorf("%s: nothing failed: %+v", what, r)
			continue
		}
		slog.New(slog.NewTextHandler(&log, nil)).Info("attempt", "error", r.Err, "sender", fmt.Sprintf("%+v", s), "options", s.auth)
		if strings.Contains(strings.ReplaceAll(log.String(), "canary-free", ""), "canary") {
			t.Errorf("%s: %s", what, &log)
		}
		if line, _, more := strings.Cut(r.Err.Error(), "\n"); more || len(line) > 600 {
			t.Errorf("%s: not one line of bounded length: %q", what, r.Err)
		}
	}
}

// What is wrong with a configuration is shown to many, and its secrets to nobody.
func TestNoErrorOfNewShowsASecret(t *testing.T) {
	for what, change := range map[string]func(*Options){
		"path":     func(o *Options) { o.URL = "https://example.com/%zzcanary" },
		"scheme":   func(o *Options) { o.URL = "gopher://example.com/canary" },
		"userinfo": func(o *Options) { o.URL = "https://canary:canary@example.com/" },
		"fragment": func(o *Options) { o.URL = "https://example.com/#canary" },
		"space":    func(o *Options) { o.URL = "https://example.com/ canary" },
		"header":   func(o *Options) { o.Headers = map[string]string{"X-A": "canary\n"} },
		"auth":     func(o *Options) { o.Auth = Bearer(NewCredential("canary\n")) },
		"token":    func(o *Options) { o.Auth = Auth{OAuth2: &OAuth2{TokenURL: "https://a b/canary"}} },
		"proxy":    func(o *Options) { o.Proxy = &Proxy{URL: "http://canary:canary@proxy:3128"} },
	} {
		o := Options{URL: "https://example.com", Secrets: []Secret{NewSecret()}}
		change(&o)
		if _, err := New(o); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
