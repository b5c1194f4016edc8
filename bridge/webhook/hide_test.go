package webhook

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// A receiver that quotes the request is quoted in turn by whoever shows its
// answers, so what proves who we are is taken out of them.
func TestAnswerThatQuotesTheRequestShowsNoCredential(t *testing.T) {
	shared := NewSecret()
	body := []string{"{}", `{"key":"CANARY\"quoted\""}`} // with a parameter and without
	for name, o := range map[string]Options{
		"path and query": {},
		"bearer":         {Auth: Bearer(NewCredential("CANARY/to+ken"))},
		"basic":          {Auth: Basic("me", NewCredential("CANARY-password"))},
		"key":            {Auth: Auth{Header: "X-Key", Value: NewCredential("CANARY-key")}},
		"header":         {Headers: map[string]string{"X-Token": "CANARY-header"}},
		"parameter":      {Hide: []Credential{NewCredential("CANARY\"quoted\"")}},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				sent, _ := io.ReadAll(r.Body)
				user, password, _ := r.BasicAuth()
				w.WriteHeader(http.StatusTeapot)
				fmt.Fprintf(w, "id 4711: %s %v %s %s %s", r.RequestURI, r.Header, user, password, sent)
			}))
			defer srv.Close()
			s := newTestSender(t, srv.URL+"/hooks/CANARY-path?key=CANARY%2Bquery", func(to *Options) {
				to.Secrets, to.Auth, to.Headers, to.Hide = []Secret{shared}, o.Auth, o.Headers, o.Hide
			})
			r := s.Send(t.Context(), Message{ID: "evt_1", Body: []byte(body[len(o.Hide)])})
			if bytes.Contains(r.Body, []byte("CANARY")) || !bytes.HasPrefix(r.Body, []byte("id 4711: <secret>")) {
				t.Errorf("shows %s", r.Body)
			}
		})
	}
}

func TestCredentialThatTheLimitCutsIsHiddenToo(t *testing.T) {
	h := newHider(&Options{Hide: []Credential{NewCredential("CANARY-parameter")}}, parse(t, "https://a.example/"))
	for n := range len("CANARY-parameter") + 1 {
		answer := []byte("you sent " + "CANARY-parameter"[:n])
		got := string(h.hide(bytes.Clone(answer), true))
		if n >= 4 && got != "you sent <secret>" || n < 4 && got != string(answer) {
			t.Errorf("%q becomes %q", answer, got)
		}
	}
}

// Answers are read by presets, so a word of the URL is left as it is in them.
func TestWordsOfTheURLStayInAnswers(t *testing.T) {
	h := newHider(&Options{}, parse(t, "https://a.example/api/tickets/T0123456789ABCDEF"))
	got := string(h.hide([]byte(`{"tickets":[1],"api":"T0123456789ABCDEF"}`), false))
	if got != `{"tickets":[1],"api":"<secret>"}` {
		t.Error(got)
	}
}

// A receiver for debugging shows what it was sent before, and who stands in its
// place shows what it was sent itself.
func TestAnswerThatQuotesEarlierRequestsShowsNoToken(t *testing.T) {
	server := newTokenServer(t, func(w http.ResponseWriter, _ *http.Request, n int64) bool {
		fmt.Fprintf(w, `{"access_token":"CANARY-access-%d","refresh_token":"CANARY-refresh-%d"}`, n, n)
		return true
	})
	var all []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		all = append(all, r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusUnauthorized) // so that every request has a token of its own
		fmt.Fprintf(w, "%q and CANARY-refresh-1", all)
	}))
	defer srv.Close()
	s := newTestSender(t, srv.URL, withOAuth2(server.oauth2()))
	for n := range 2 {
		r := s.Send(t.Context(), message())
		if bytes.Contains(r.Body, []byte("CANARY")) || len(all) != 2*(n+1) {
			t.Errorf("after %d requests: shows %s", len(all), r.Body)
		}
	}
}

func TestProxyThatAnswersInTheEndpointsPlaceShowsNoPassword(t *testing.T) {
	h := newHider(&Options{Proxy: &Proxy{User: "tocsin", Password: NewCredential("CANARY-password")}}, parse(t, "https://a.example/"))
	for _, answer := range []string{Basic("tocsin", NewCredential("CANARY-password")).Value.Reveal(), "CANARY-password"} {
		if got := string(h.hide([]byte("you said "+answer), false)); got != "you said <secret>" {
			t.Error(got)
		}
	}
}
