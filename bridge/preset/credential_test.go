package preset

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"tocsin/bridge/webhook"
	"tocsin/rules"
)

// A mint is a server of access tokens: t1, t2, … in the order they are asked for.
type mint struct {
	*httptest.Server
	mu     sync.Mutex
	grants []string // what was asked with
	deny   string   // what it answers instead
}

func newMint(t *testing.T) *mint {
	t.Helper()
	m := &mint{}
	m.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.grants = append(m.grants, r.PostFormValue("grant_type")+" "+r.PostFormValue("client_id")+" "+r.PostFormValue("client_secret")+r.PostFormValue("refresh_token"))
		if m.deny != "" {
			reply(w, 400, m.deny)
			return
		}
		reply(w, 200, fmt.Sprintf(`{"access_token":"t%d","instance_url":"https://example.my.salesforce.com","token_type":"Bearer","expires_in":3600}`, len(m.grants)))
	}))
	t.Cleanup(m.Close)
	return m
}

// oauth2 is a client of the mint.
func (m *mint) oauth2() *webhook.OAuth2 {
	roots := x509.NewCertPool()
	roots.AddCert(m.Certificate())
	return &webhook.OAuth2{TokenURL: m.URL + "/services/oauth2/token", ClientID: "tocsin", ClientSecret: webhook.NewCredential("canary-secret"), RootCAs: roots}
}

func TestCaseIsSavedAlthoughItsSessionHasExpired(t *testing.T) {
	rs, valid := &records{all: map[string]*record{}}, "t1"
	s, m := serve(t, salesforceCases(rs, &valid)), newMint(t)
	r := connectAs(t, s, Options{Preset: "salesforce"}, webhook.Auth{OAuth2: m.oauth2()})
	r.accepted(rules.AlarmFired)
	r.accepted(rules.AlarmReminder)
	same(t, "tokens asked for", len(m.grants), 1)
	same(t, "grant", m.grants[0], "client_credentials tocsin canary-secret")

	valid = "t2" // INVALID_SESSION_ID for t1
	r.accepted(rules.AlarmResolved)
	same(t, "tokens asked for", len(m.grants), 2)
	same(t, "the case", rs.all["ep_SAMPLE"].state, "Closed")

	valid = "none of them"
	n := len(s.calls)
	r.verdict(webhook.Retry, rules.AlarmFired)
	same(t, "requests with a session that is always expired", len(s.calls)-n, 2)
	m.deny = `{"error":"invalid_grant","error_description":"authentication failure"}`
	n = len(s.calls)
	r.verdict(webhook.Retry, rules.AlarmFired) // until somebody mends the connected app
	if len(s.calls)-n > 1 {
		t.Errorf("%d requests without a session", len(s.calls)-n)
	}
	m.deny, valid = "", fmt.Sprintf("t%d", len(m.grants)+1)
	r.accepted(rules.AlarmFired)
}

// Zoho's accounts refuse a session by a code of their own, and have a word of
// their own before the token.
func TestZohoTokenIsRefreshed(t *testing.T) {
	valid := "Zoho-oauthtoken t1"
	s := serve(t, func(w http.ResponseWriter, c call) {
		if c.header.Get("Authorization") != valid {
			reply(w, 401, `{"code":"INVALID_TOKEN","details":{},"message":"invalid oauth token","status":"error"}`)
			return
		}
		reply(w, 200, `{"data":[{"code":"SUCCESS","action":"insert","status":"success"}]}`)
	})
	m := newMint(t)
	client := m.oauth2()
	client.RefreshToken, client.Scheme = webhook.NewCredential("+canary-refresh"), "Zoho-oauthtoken"
	r := connectAs(t, s, Options{Preset: "zoho"}, webhook.Auth{OAuth2: client})
	r.accepted(rules.AlarmFired)
	valid = "Zoho-oauthtoken t2"
	r.accepted(rules.AlarmResolved)
	if want := []string{"refresh_token tocsin canary-secret+canary-refresh", "refresh_token tocsin canary-secret+canary-refresh"}; !slices.Equal(m.grants, want) {
		t.Errorf("asked with %q", m.grants)
	}
}

// A token that ends between the lookup and the creation costs no second ticket.
func TestTokenThatEndsBetweenTwoRequestsMakesNoSecondIncident(t *testing.T) {
	valid, made := "Bearer t1", 0
	s := serve(t, func(w http.ResponseWriter, c call) {
		switch {
		case c.header.Get("Authorization") != valid:
			reply(w, 401, `{"error":{"message":"User Not Authenticated","detail":"Required to provide Auth information"},"status":"failure"}`)
		case c.method == http.MethodGet:
			valid = "Bearer t2"
			reply(w, 200, `{"result":[]}`)
		default:
			made++
			reply(w, 201, `{"result":{"sys_id":"9d385017","number":"INC0010001"}}`)
		}
	})
	m := newMint(t)
	r := connectAs(t, s, Options{Preset: "servicenow"}, webhook.Auth{OAuth2: m.oauth2()})
	r.accepted(rules.AlarmFired)
	same(t, "incidents", made, 1)
	same(t, "kept", r.kept["incident"], "9d385017")
	same(t, "tokens", len(m.grants), 2)
}
