package webhook

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func TestCompressedBodyIsSignedAsItIsSent(t *testing.T) {
	at, requests := capture(t)
	s := newTestSender(t, at, func(o *Options) { o.Gzip = true })
	verify, err := standardwebhooks.NewWebhook(vectorSecret)
	if err != nil {
		t.Fatal(err)
	}
	var first []byte
	for range 2 {
		m := Message{ID: "evt_1", Body: []byte(`{"text":"` + strings.Repeat("freezer ", 500) + `"}`)}
		kept := bytes.Clone(m.Body)
		if r := s.Send(t.Context(), m); r.Verdict != Accepted {
			t.Fatalf("%+v", r)
		}
		got := <-requests
		if err := verify.Verify(got.body, got.header); err != nil {
			t.Errorf("what arrived: %v", err)
		}
		if got.header.Get("Content-Encoding") != "gzip" || len(got.body) > len(m.Body)/10 {
			t.Errorf("%d bytes of %d, %v", len(got.body), len(m.Body), got.header)
		}
		z, err := gzip.NewReader(bytes.NewReader(got.body))
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := io.ReadAll(z); err != nil || !bytes.Equal(plain, kept) || !bytes.Equal(m.Body, kept) {
			t.Errorf("unpacked is %.40q, %v", plain, err)
		}
		if first == nil {
			first = got.body
		}
		if !bytes.Equal(first, got.body) {
			t.Error("another attempt sent other bytes")
		}
	}
	for _, body := range []string{"", "{}", "0123456789"} { // these would grow
		if r := s.Send(t.Context(), Message{ID: "evt_1", Body: []byte(body)}); r.Verdict != Accepted {
			t.Fatalf("%+v", r)
		}
		if got := <-requests; string(got.body) != body || got.header.Get("Content-Encoding") != "" {
			t.Errorf("%q arrived as %q, %v", body, got.body, got.header)
		}
	}
}
