//go:build linux

package torture

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// A receiver keeps a ledger of what it accepted, and behaves as a case wants it to.
type receiver struct {
	url    string
	server *httptest.Server
	hook   *standard.Webhook
	path   string // of its ledger

	bearer  string // of the bridge that may come
	anyTime bool   // the time of a signature is no matter; set before anything comes

	mu      sync.Mutex
	file    *os.File
	came    int // requests, whatever became of them
	taken   int // accepted
	seen    strings.Builder
	misdeed misdeed          // nil: it is well
	reply   http.HandlerFunc // how it answers what it has taken; nil: well

	counts func() int // reads into the ledger what another program took in its place; nil: there is none
}

// A misdeed is how a receiver treats a request; it reports whether it takes it all
// the same.
type misdeed func(w http.ResponseWriter, r *http.Request) (takes bool)

// A told is a line of a receiver's ledger, as firmware-sim verify reads it.
type told struct {
	ID       string          `json:"id"`
	At       time.Time       `json:"at"`
	Verified bool            `json:"verified"`
	Body     json.RawMessage `json:"body"`
}

// secret is what the bridge signs with.
const secret = "whsec_dG9jc2luIHRvcnR1cmUgc2VjcmV0IG9mIDMyIGJ5dGU="

func startReceiver(t testing.TB, ledger, bearer string) *receiver {
	t.Helper()
	hook, err := standard.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(ledger)
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{hook: hook, path: ledger, file: file, bearer: bearer}
	r.server = httptest.NewUnstartedServer(r)
	r.server.Config.ReadTimeout = deadline
	r.server.Start()
	r.url = r.server.URL
	t.Cleanup(func() {
		r.behave(nil)
		r.server.CloseClientConnections()
		r.server.Close()
		file.Close()
	})
	return r
}

// behave changes how it treats requests; nil: well.
func (r *receiver) behave(m misdeed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.misdeed, r.reply = m, nil
}

// lose has it accept everything, and nobody hears of that.
func (r *receiver) lose() { r.answer(func(w http.ResponseWriter, _ *http.Request) { hangUp(w) }) }

// answer has it take everything, and say so in a way of its own.
func (r *receiver) answer(reply http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.misdeed, r.reply = nil, reply
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if who := req.Header.Get("Authorization"); who != "" && who != "Bearer "+r.bearer {
		http.NotFound(w, req) // a bridge of another run, to whose receiver this port belonged
		return
	}
	r.mu.Lock()
	r.came++
	treat, reply := r.misdeed, r.reply
	r.mu.Unlock()
	if treat != nil && !treat(w, req) {
		return
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	if !r.take(req, body) { // what is not on record is not accepted
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	if reply != nil {
		reply(w, req)
	}
}

// take puts a message on record.
func (r *receiver) take(req *http.Request, body []byte) bool {
	verify := r.hook.Verify
	if r.anyTime {
		verify = r.hook.VerifyIgnoringTimestamp
	}
	line, err := json.Marshal(told{ID: req.Header.Get("webhook-id"), At: time.Now(), Verified: verify(body, req.Header) == nil, Body: body})
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		_, err = r.file.Write(append(line, '\n'))
	}
	if err != nil {
		return false
	}
	r.taken++
	r.seen.WriteString(req.URL.String())
	for name := range req.Header {
		if name != "Authorization" { // which is where a credential belongs
			r.seen.WriteString(name + req.Header.Get(name))
		}
	}
	return true
}

// ledger is the file of all that it accepted.
func (r *receiver) ledger() string {
	if r.counts != nil {
		r.counts()
	}
	return r.path
}

func (r *receiver) accepted() int {
	if r.counts != nil {
		return r.counts()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.taken
}

func (r *receiver) requests() int {
	if r.counts != nil {
		return r.counts()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.came
}

// answers is a misdeed: a status, with headers in pairs.
func answers(status int, header ...string) misdeed {
	return func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		return false
	}
}

// resets is a misdeed: the connection is reset before anything is answered.
func resets(w http.ResponseWriter, _ *http.Request) bool {
	hangUp(w)
	return false
}

func hangUp(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	conn.Close()
}

// hangs is a misdeed: nothing is answered until the other side gives up.
func hangs(_ http.ResponseWriter, r *http.Request) bool {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
	return false
}
