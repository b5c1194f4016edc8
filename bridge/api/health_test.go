package api

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestRulesAreListedAndOneThatIsNotThereIsNamed(t *testing.T) {
	h := controlled(t, Options{})
	f := func(method, path string, status int, says string) {
		t.Helper()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, "http://localhost"+path, nil))
		if w.Code != status || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s %s: %d %s, want %d with %q", method, path, w.Code, w.Body, status, says)
		}
		if status >= 400 {
			checkProblem(t, w)
		}
	}
	f("GET", "/api/v1/rules", 200, `{"rules":[]}`)
	f("POST", "/api/v1/rules", 405, "GET")
	f("GET", "/api/v1/rules/warm", 404, `there is no rule \"warm\"`)
	f("POST", "/api/v1/rules/warm", 405, "GET")
	f("GET", "/api/v1/rules/", 404, "nothing")
	f("GET", "/api/v1/rules/warm/x", 404, "nothing")
}
