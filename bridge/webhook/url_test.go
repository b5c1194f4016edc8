package webhook

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestCheckURLRefusesWhatCannotBeMeant(t *testing.T) {
	f := func(raw, want string) {
		t.Helper()
		u, err := CheckURL(raw, false)
		if err == nil || !strings.Contains(err.Error(), want) || u != nil {
			t.Errorf("CheckURL(%.80q) = %v, %v, want an error that says %q", raw, u, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "canary") || len(err.Error()) > 250) {
			t.Errorf("the error shows too much: %v", err)
		}
	}
	f("", "empty")
	f("https://h/"+strings.Repeat("a", 64<<10), "4096 are allowed")
	f("example.com/hook", "no scheme")
	f("//example.com/hook", "no scheme")
	f("https:example.com", "no host")
	f("https:///hook", "no host")
	f("https://", "no host")
	f("https://:443/", "must be 1 to 253")
	f("http://example.com/", "egress.allow_http")
	f("file:///etc/canary", `"file"`)
	f("gopher://example.com/", `"gopher"`)
	f("ftp://example.com/", `"ftp"`)
	f("unix:/run/canary.sock", `"unix"`)
	f("javascript:alert(1)", `"javascript"`)
	f("https://a@127.0.0.1/", "user or password")
	f("https://a:canary@example.com/", "user or password")
	f("https://a:canary/x@example.com/", "port that is not a number")
	f("https://a:can%ary@example.com/", "percent escape")
	f("https://[canary/", "malformed host")
	f("https://ok#@evil.example", "fragment")
	f("https://ok/#", "fragment")
	f(`https://ok\@evil.example/`, "backslash")
	f("https://ok/\thook", "white space")
	f("https://ok/ hook", "white space")
	f(" https://ok/", "white space")
	f("https://ok/\n", "white space")
	f("https://ok/\x00", "control character")
	f("https://ok\r\nHost: evil/", "white space")
	f("https://ok/\x7f", "control character")
	f("https://１２７.0.0.1/", "not ASCII")
	f("https://bücher.example/", "punycode")
	f("https://ok/ü", "not ASCII")
	f("https://ok/%zz", `percent escape "%zz"`)
	f("https://example.com:0/", "between 1 and 65535")
	f("https://example.com:65536/", "between 1 and 65535")
	f("https://example.com:https/", "port that is not a number")
	f("https://example.com:/", "colon without a port")
	f("https://[fe80::1%25eth0]/", "zone")
	f("https://exa%20mple.com/", "percent escape")
	f("https://[::1", "malformed host")
	f("https://[1.2.3.4]/", "malformed host")
	f("https://a..b/", "empty or longer")
	f("https://.a/", "empty or longer")
	f("https://"+strings.Repeat("a", 64)+".example/", "empty or longer")
	f("https://"+strings.Repeat("a.", 127)+"example/", "253")
	f("https://a*b/", `contains "*"`)
	f("https://a,b/", `contains ","`)
	for _, number := range []string{"127.1", "0", "2130706433", "0x7f000001", "0177.0.0.1", "017700000001", "127.0.0.1.", "0x7f.1", "1.2.3.4.5", "foo.0x", "256.1.1.1"} {
		f("https://"+number+"/", "not a full IP address")
	}
}

func TestCheckURLAcceptsWhatPeopleUse(t *testing.T) {
	for _, raw := range []string{
		"https://example.com", "https://example.com/", "HTTPS://Example.COM:8443/a/b?c=d&e=%20",
		"https://xn--bcher-kva.example/hook", "https://hook_1.example.com./x", "https://1.1.1.1/", "https://[2606:4700:4700::1111]:443/x",
		"https://127.0.0.1:8080/", "https://localhost/", "https://printer/", "https://host/a:b@c", "https://h/?u=https://x/",
		"https://1e100.net/", "https://0xfun.example/", "https://123.example/",
	} {
		if _, err := CheckURL(raw, false); err != nil {
			t.Errorf("CheckURL(%q): %v", raw, err)
		}
	}
	if _, err := CheckURL("http://127.0.0.1:8080/hook", true); err != nil {
		t.Errorf("http with allow_http: %v", err)
	}
}

func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{"https://example.com/a?b", "http://[::1]:80/", "https://a@b", "https://0x7f.1/", "https://h:99999", "https://h/%41", "https://[fe80::1%25a]/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := CheckURL(raw, true)
		if err != nil {
			if len(err.Error()) > 400 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if u.User != nil || u.Fragment != "" || u.Opaque != "" || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
			t.Fatalf("accepted %q", raw)
		}
		// What is accepted reads the same again, so nobody sees another host than we do.
		again, err := url.Parse(u.String())
		if err != nil || again.Host != u.Host || again.Scheme != u.Scheme {
			t.Fatalf("%q reads as %q and then as %v (%v)", raw, u, again, err)
		}
		// A host is an address or a name; nothing in between.
		if _, err := netip.ParseAddr(u.Hostname()); err != nil && strings.ContainsAny(u.Hostname(), ":%[]@/\\?# ") {
			t.Fatalf("accepted host %q", u.Hostname())
		}
		if _, err := New(Options{URL: raw, AllowHTTP: true, Secrets: []Secret{NewSecret()}}); err != nil {
			t.Fatalf("checked, and then refused: %v", err)
		}
	})
}
