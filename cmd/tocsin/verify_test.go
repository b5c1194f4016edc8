package main

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCapturedHeadersAreReadInTheFormsPeopleHave(t *testing.T) {
	want := http.Header{"Webhook-Id": {"msg_1"}, "X-Url": {"https://a:1/"}}
	f := func(text string) {
		t.Helper()
		r, err := parseRequest("h", []byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if diff := cmp.Diff(want, r.Header); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
	f("webhook-id: msg_1\nx-url: https://a:1/")
	f("Webhook-Id:msg_1  \r\nX-Url:\thttps://a:1/\r\n\r\n{\"body\": true}\r\n")
	f("POST /hook?at=12:00 HTTP/1.1\nwebhook-id: msg_1\nx-url: https://a:1/\n")
	f("HTTP/2 200\nwebhook-id: msg_1\nx-url: https://a:1/\n")
	f("> POST /hook HTTP/1.1\n> webhook-id: msg_1\n> x-url: https://a:1/\n>\n")
}

func TestCapturedRequestLineSaysTheURL(t *testing.T) {
	f := func(text, method, url string) {
		t.Helper()
		r, err := parseRequest("h", []byte(text))
		if err != nil || r.Method != method || r.URL != url {
			t.Errorf("%q is %s %q, %v; want %s %q", text, r.Method, r.URL, err, method, url)
		}
	}
	f("PUT /hook?a=1 HTTP/1.1\r\nHost: example.com:8443\r\n", "PUT", "https://example.com:8443/hook?a=1")
	f("> POST /hook HTTP/2\n> host: example.com\n", "POST", "https://example.com/hook")
	f("POST http://127.0.0.1:9000/hook HTTP/1.1\nHost: example.com\n", "POST", "http://127.0.0.1:9000/hook")
	f("POST /hook HTTP/1.1\nwebhook-id: 1\n", "POST", "")
	f("HTTP/2 200\nhost: example.com\n", "", "")
	f("host: example.com\n", "", "")
}

func TestCapturedHeadersThatAreNoneAreRefusedWithTheirLine(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := parseRequest("h.txt", []byte(text))
		if err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	f("webhook-id: 1\nnonsense\n", `h.txt:2: "nonsense" is not a header (write Name: value)`)
	f(": x", `h.txt:1: ": x" is not a header (write Name: value)`)
	f(`{"type": "alarm"}`, `h.txt:1: "{\"type\": \"alarm\"}" is not a header (write Name: value)`)
}

func FuzzCapturedHeaders(f *testing.F) {
	f.Add([]byte("POST / HTTP/1.1\r\nwebhook-id: 1\r\n\r\n"))
	f.Add([]byte("> webhook-id : x"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := parseRequest("h", text)
		if err != nil {
			return
		}
		// What was read, written out, reads the same.
		var out []byte
		for name, values := range r.Header {
			for _, v := range values {
				out = append(out, name+": "+v+"\n"...)
			}
		}
		again, err := parseRequest("h", out)
		if err != nil {
			t.Fatalf("%q is written as %q, which is refused: %v", text, out, err)
		}
		if diff := cmp.Diff(r.Header, again.Header); diff != "" {
			t.Fatalf("%q: %s", text, diff)
		}
	})
}
