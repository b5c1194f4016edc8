package api

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestDeviceThatIsNotThereIsNamed(t *testing.T) {
	h := controlled(t, Options{})
	f := func(path string, status int, says string) {
		t.Helper()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/api/v1/"+path, nil))
		if w.Code != status || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: %d %s, want %d with %q", path, w.Code, w.Body, status, says)
		}
	}
	f("devices", 200, `{"devices":[],"total":0}`)
	f("devices?limit=0", 422, "query.limit")
	f("devices?presence=away", 422, "query.presence")
	f("devices?skip=-1", 422, "query.skip")
	f("devices?order=size", 422, "query.order")
	f("devices?order=severity&cursor=a", 400, "cursor belongs to a list by name")
	f("series", 422, "query.device")
	f("series?device=a&device=b", 200, `"history":false`)
	f("series?device=a&points=1", 422, "query.points")
	f("series?device=a&since=2020-01-01T00:00:00Z", 400, "within the last day")
	f("series?"+strings.Repeat("device=a&", 101), 422, "query.device")
	f("devices/hall/7", 404, `there is no device \"hall/7\"`)
	f("devices/hall%2F7", 404, `there is no device \"hall/7\"`)
	f("devices/hall%2F%2F7", 404, `there is no device \"hall//7\"`)
	f("devices/hall%2F..%2F7/explain", 404, `a device \"hall/../7\"`)
	f("devices/hall%2F", 404, `there is no device \"hall/\"`)
	f("devices/%2e%2e", 404, `there is no device \"..\"`)
	f("devices/hall//7", 404, "there is nothing at")
	f("devices/../rules", 404, "there is nothing at")
	f("devices/%2e%2e/rules", 404, `there is no device \"../rules\"`)
}
