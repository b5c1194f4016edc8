package api

import (
	"encoding/json"
	"net/http"
)

// keysPath is where receivers look for the keys to verify messages with.
const keysPath = "/.well-known/tocsin-keys.json"

// keys serves a set of public keys. Receivers keep it for a while: a key is there
// before it signs, and an hour is long enough to notice a new one.
func keys(current func() any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		text, err := json.Marshal(current())
		if err != nil {
			problem(w, http.StatusInternalServerError, "the keys cannot be written: "+err.Error())
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "public, max-age=300")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		_, _ = w.Write(append(text, '\n')) // a client that is gone needs no answer
	}
}
