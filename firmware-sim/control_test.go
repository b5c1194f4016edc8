package sim

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener inside a bubble.
type pipes struct {
	conns chan net.Conn
	gone  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), gone: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.gone:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.gone) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7883} }

func (p *pipes) client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			select {
			case p.conns <- theirs:
				return ours, nil
			case <-p.gone:
				return nil, net.ErrClosed
			}
		},
	}}
}

// ask sends a request and returns what came back on one line, with its code.
func (p *pipes) ask(t *testing.T, method, target, body string, header ...string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:7883"+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
	}
	resp, err := p.client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return resp.Status[:3] + " " + strings.TrimSpace(string(text))
}

// controlled plays three devices that measure x = 20 every ten seconds while do
// controls them, and returns the values that arrived, by second and device.
func controlled(t *testing.T, limit int, do func(ask func(method, target, body string, header ...string) string)) (arrived string, ledger string) {
	t.Helper()
	p, err := Parse([]byte("topic = \"{device}\"\n[fleet.f]\nmodel = \"m\"\ncount = 3\nid = \"dev-%d\"\n[model.m]\nevery = \"10s\"\n[model.m.signal.x]\nbase = 20.0\n"), "test.toml")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := &wire{begun: time.Now()}
		ln := newPipes()
		var b bytes.Buffer
		var running sync.WaitGroup
		running.Go(func() {
			if _, err := Run(t.Context(), p, Options{Seed: 7, QoS: 1, Limit: limit, Dial: w.dial, Ledger: &b, Control: ln}); err != nil {
				t.Error(err)
			}
		})
		do(func(method, target, body string, header ...string) string {
			return ln.ask(t, method, target, body, header...)
		})
		running.Wait()
		w.serving.Wait()
		var all []string
		for _, e := range w.events {
			if at, rest, found := strings.Cut(e, " dev-"); found {
				_, value, _ := strings.Cut(rest, `"x":`)
				all = append(all, at+"/"+rest[:1]+"="+strings.TrimSuffix(value, "}"))
			}
		}
		arrived, ledger = strings.Join(all, " "), b.String()
	})
	return arrived, ledger
}

func TestFaultsAreSetAndClearedAtRunTime(t *testing.T) {
	wants := func(t *testing.T, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	arrived, ledger := controlled(t, 12, func(ask func(method, target, body string, header ...string) string) {
		time.Sleep(5 * time.Second)
		wants(t, ask("POST", "/fault", "device = \"dev-2\"\nkind = \"set\"\nsignal = \"x\"\nset = 7.0\nfor = \"10s\""), `200 {"devices":1}`)
		wants(t, ask("POST", "/fault", "device = \"dev-3\"\nkind = \"nan\"\nsignal = \"x\""), `200 {"devices":1}`)
		got := ask("GET", "/status", "")
		for _, part := range []string{
			`"profile":"test"`, `"simulated":"5s"`, `"devices":3`, `"sent":3`, `"acked":3`,
			`{"name":"set","kind":"set","whom":"dev-2","signal":"x","devices":1,"ends":"10s"}`,
			`{"name":"nan","kind":"nan","whom":"dev-3","signal":"x","devices":1,"ends":""}`,
		} {
			if !strings.Contains(got, part) {
				t.Errorf("status %s lacks %s", got, part)
			}
		}
		time.Sleep(20 * time.Second)
		wants(t, ask("DELETE", "/fault?device=dev-*&kind=nan", ""), `200 {"devices":3}`)
		if got := ask("GET", "/status", ""); !strings.Contains(got, `"simulated":"25s"`) || strings.Contains(got, `"name":"set"`) {
			t.Errorf("status %s: the fault is over", got)
		}
	})
	for _, want := range []string{"10/1=20", "10/2=7", "10/3=NaN", "20/1=20", "20/2=20", "20/3=NaN", "30/1=20", "30/2=20", "30/3=20"} {
		if !strings.Contains(" "+arrived+" ", " "+want+" ") {
			t.Errorf("%s lacks %s", arrived, want)
		}
	}
	if !strings.Contains(ledger, `"did":"clear dev-* nan"`) || !strings.Contains(ledger, `"did":"set device = \"dev-2\" kind = \"set\" signal = \"x\" set = 7.0 for = \"10s\""`) {
		t.Errorf("the ledger does not say what was done:\n%s", ledger)
	}
}

func TestClearedConnectionComesBackAtOnce(t *testing.T) {
	arrived, _ := controlled(t, 12, func(ask func(method, target, body string, header ...string) string) {
		time.Sleep(5 * time.Second)
		ask("POST", "/fault", "device = \"dev-1\"\nkind = \"offline\"\nfor = \"1h\"")
		time.Sleep(18 * time.Second)
		ask("DELETE", "/fault?device=dev-1", "")
	})
	var of1 []string
	for one := range strings.FieldsSeq(arrived) {
		if at, _, found := strings.Cut(one, "/1="); found {
			of1 = append(of1, at)
		}
	}
	same(t, of1, "0", "23", "23", "30")
}

// Clearing ends the wait of each kind that takes the connection away.
func TestClearedSilenceEndsAtOnce(t *testing.T) {
	for _, kind := range []string{"half-open", "distrust"} {
		arrived, _ := controlled(t, 9, func(ask func(method, target, body string, header ...string) string) {
			time.Sleep(5 * time.Second)
			ask("POST", "/fault", "device = \"dev-1\"\nkind = \""+kind+"\"")
			time.Sleep(8 * time.Second)
			ask("DELETE", "/fault?device=dev-1&kind="+kind, "")
		})
		if !strings.Contains(arrived, " 13/1=20 ") || len(strings.Fields(arrived)) != 9 {
			t.Errorf("%s: %s, want the reading of second 10 at 13", kind, arrived)
		}
	}
}

func TestRunEndsThoughADeviceIsNeverBroughtBack(t *testing.T) {
	arrived, _ := controlled(t, 9, func(ask func(method, target, body string, header ...string) string) {
		time.Sleep(5 * time.Second)
		ask("POST", "/fault", "device = \"dev-1\"\nkind = \"offline\"")
	})
	if n := len(strings.Fields(arrived)); n != 7 {
		t.Errorf("%d readings arrived, want 7: %s", n, arrived)
	}
}

func TestControlRefusesWithAReason(t *testing.T) {
	controlled(t, 6, func(ask func(method, target, body string, header ...string) string) {
		f := func(want, method, target, body string, header ...string) {
			t.Helper()
			if got := ask(method, target, body, header...); !strings.Contains(got, want) {
				t.Errorf("%s %s %.90q: %s, want %q", method, target, body, got, want)
			}
		}
		f(`422 fault:2: fault.kind: "stck" is none (use brown-out, certificate, `, "POST", "/fault", "device = \"dev-1\"\nkind = \"stck\"")
		f(`422 fault:1: fault.colour: unknown key`, "POST", "/fault", "colour = 1\ndevice = \"dev-1\"\nkind = \"epoch\"")
		f(`no model has a signal "y"`, "POST", "/fault", "device = \"dev-1\"\nkind = \"stuck\"\nsignal = \"y\"")
		f(`404 fault: no device "nobody" has what epoch befalls`, "POST", "/fault", "device = \"nobody\"\nkind = \"epoch\"")
		f(`404 fault: there is no device "nobody"`, "DELETE", "/fault?device=nobody", "")
		f("403", "POST", "/fault", "device = \"dev-1\"\nkind = \"epoch\"", "Host", "sim.example.com:80")
		f("403", "POST", "/fault", "device = \"dev-1\"\nkind = \"epoch\"", "Sec-Fetch-Site", "cross-site")
		f("413", "POST", "/fault", strings.Repeat("# \n", 40_000))
	})
}

func TestControlIsLoopbackOnly(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":7883", "192.0.2.1:1", "localhost:0", "127.0.0.1", "[::]:0"} {
		if ln, err := ListenControl(address); err == nil || !strings.Contains(err.Error(), "127.0.0.1:PORT") {
			t.Errorf("%s: %v, %v; want a refusal", address, ln, err)
		}
	}
	ln, err := ListenControl("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ListenControl(ln.Addr().String()); err == nil || !strings.Contains(err.Error(), "is another run there?") {
		t.Errorf("taken: %v", err)
	}
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
}
