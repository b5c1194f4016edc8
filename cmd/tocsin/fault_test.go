package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"tocsin/bridge/webhook"
)

func TestFaultsAreReadAsWritten(t *testing.T) {
	faults, err := parseFaults("429/2s:0.1, 302/https://example.com/x:0.2,302:0.01,503/Fri, 13 Nov")
	if err == nil {
		t.Errorf("a date with a comma was read as %+v", faults)
	}
	faults, err = parseFaults("429/1500ms:0.1, 302/https://example.com/x:0.2,302:0.01,503/-1:0.05,slow/20ms:0.1,hang:0.54")
	if err != nil {
		t.Fatal(err)
	}
	f := func(i, status int, probability float64, header, value string) {
		t.Helper()
		got := faults[i]
		if got.status != status || got.probability != probability || got.header.Get(header) != value {
			t.Errorf("fault %d is %+v, want %d with %s: %s at %g", i, got, status, header, value, probability)
		}
	}
	f(0, 429, 0.1, "Retry-After", "2")
	f(1, 302, 0.2, "Location", "https://example.com/x")
	f(2, 302, 0.01, "Location", "/followed")
	f(3, 503, 0.05, "Retry-After", "-1")
	f(4, 200, 0.1, "", "")
	f(5, 0, 0.54, "", "")
	if faults[4].wait != 20*time.Millisecond {
		t.Errorf("slow/20ms waits %s", faults[4].wait)
	}
	faults = mustFaults(t, "redirect:0.1,410:0.1,bomb:0.1")
	f(0, 302, 0.1, "Location", "/followed")
	f(1, 410, 0.1, "", "")
	f(2, 200, 0.1, "", "")
}

func TestFaultsThatMakeNoSenseAreRefusedWithARemedy(t *testing.T) {
	f := func(s, fact string) {
		t.Helper()
		_, err := parseFaults(s)
		if err == nil {
			t.Errorf("%q was taken", s)
			return
		}
		if got := err.Error(); !strings.Contains(got, fact) || !strings.HasSuffix(got, ")") {
			t.Errorf("%q: %q does not say %q and a remedy", s, got, fact)
		}
	}
	f("500", "no probability")
	f("500:", "not a probability")
	f("500:0", "not a probability")
	f("500:1.5", "not a probability")
	f("500:NaN", "not a probability")
	f("500:-1", "not a probability")
	f("hang:0.6,500:0.6", "add up to 1.2")
	f("99:0.1", "not a fault")
	f("600:0.1", "not a fault")
	f("explode:0.1", "not a fault")
	f(":0.1", "not a fault")
	f("hang/2s:0.1", "takes no argument")
	f("slow/soon:0.1", "not a delay")
	f("slow/-1s:0.1", "not a delay")
	f("500:0.1,", "no probability")
}

func TestFaultIsPickedByItsShare(t *testing.T) {
	faults, err := parseFaults("500:0.25,hang:0.25")
	if err != nil {
		t.Fatal(err)
	}
	f := func(draw float64, want string) {
		t.Helper()
		got := ""
		if p := pick(faults, draw); p != nil {
			got = p.name
		}
		if got != want {
			t.Errorf("drawing %g picks %q, want %q", draw, got, want)
		}
	}
	f(0, "500")
	f(0.249, "500")
	f(0.25, "hang")
	f(0.499, "hang")
	f(0.5, "")
	f(0.999, "")
}

func FuzzFaults(f *testing.F) {
	f.Add("429/2s:0.1,hang:0.01,500:0.2,302/https://example.com:0.1,drip:0.1,big:0.1,slow/1s:0.1")
	f.Fuzz(func(t *testing.T, s string) {
		faults, err := parseFaults(s)
		if err != nil {
			return
		}
		// What is taken can be drawn, and answers.
		for _, fault := range faults {
			if fault.act == nil || fault.probability <= 0 {
				t.Fatalf("%q makes %+v", s, fault)
			}
		}
		if len(faults) > 0 && pick(faults, 0) != &faults[0] {
			t.Fatalf("%q: the first fault cannot be drawn", s)
		}
	})
}

func TestABombUnpacksToAGigabyte(t *testing.T) {
	url, _ := serveReceiver(t, receiverOptions{Faults: mustFaults(t, "bomb:1")})
	resp, err := post(t, url, webhook.NewSecret(), "evt_1", testBody) // asks for gzip, and unpacks it
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, resp.Body); n != 1<<30 || err != nil || !resp.Uncompressed {
		t.Errorf("%d bytes, %v, unpacked %t", n, err, resp.Uncompressed)
	}
}
