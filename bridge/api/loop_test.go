package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// An endpoint's url may lead back to us through a name and a proxy that only the
// network knows. What arrives then is a webhook, and is answered as one that
// will never be taken, token or not.
func TestOwnWebhooksAreRefusedAsALoop(t *testing.T) {
	for _, token := range []string{"", secret} {
		h := newHandler(&Options{Listen: "127.0.0.1:8080", Token: NewToken(token)}, true)
		for _, path := range []string{"/", "/healthz", "/api/v1/alarms"} {
			r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:8080"+path, strings.NewReader("{}"))
			r.Header.Set("Webhook-Hop", "1")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != http.StatusLoopDetected || !strings.Contains(w.Body.String(), "takes no webhooks") {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
	}
}
