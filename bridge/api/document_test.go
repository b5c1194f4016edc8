package api

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
)

// What is described is what is answered: the description is made of the routes.
func TestRoutesAreDescribed(t *testing.T) {
	h := controlled(t, Options{
		Reload: func(context.Context) (Reloaded, error) { return Reloaded{}, nil },
		Plan:   func(context.Context, string) (Planned, error) { return Planned{}, nil },
	})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/openapi.yaml", nil))
	if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "application/openapi+yaml") {
		t.Fatalf("%d %s", w.Code, w.Header())
	}
	for _, line := range []string{
		"openapi: 3.1.0", "/api/v1/alarms:", "/api/v1/alarms/{key}/shelve:", "/api/v1/rules/{id}:", "/api/v1/devices/{id}/explain:",
		"/api/v1/reload:", "/api/v1/plan:", "application/problem+json:",
	} {
		if !strings.Contains(w.Body.String(), line) {
			t.Errorf("%q is not described", line)
		}
	}
}
