//go:build linux

package torture

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// receiverScenes are about receivers, what they speak, their names and their certificates.
func receiverScenes() []scene {
	return slices.Concat(answerScenes(), http2Scenes(), nameScenes(), certificateScenes())
}

// answerScenes are about what receivers answer, or do not.
func answerScenes() []scene {
	return []scene{
		{row: "F11", name: "receiver cut off", before: behindProxy, strike: cutOff},
		{row: "F11", name: "receiver that breaks connections", before: patient, strike: misbehaves(breaks())},
		{row: "F11", name: "receiver whose answers are lost", strike: func(s *stage) {
			s.ops.lose()
			s.lastAttemptSays("connection reset")
			s.goesOn()
		}},
		{row: "F11", name: "receiver stopped and half open", before: anotherProgram, strike: halfOpen},
		{row: "F12", name: "refusals", before: patient, strike: misbehaves(refusals())},
		{row: "F12", name: "server errors", before: patient, strike: misbehaves(serverErrors())},
		{row: "F12", name: "redirects", before: patient, strike: redirected},
		{row: "F12", name: "throttling", before: patient, strike: throttled},
		{row: "F12", name: "gone", strike: gone},
		{row: "F12", name: "late success", strike: late},
		{row: "F12", name: "hostile answers", before: patient, strike: misbehaves(hostile())},
		{row: "F12", name: "success with a hostile body", strike: oddlyAccepted},
	}
}

// patient has the bridge try again and again at an endpoint that fails, so that each
// trial is soon over.
func patient(s *stage) {
	s.onOps = "breaker = { failures = 100000 }\n"
	s.write("tocsin.toml", s.configuration())
}

// A trial is a way of the receiver to treat requests, and what is to be read of it
// where operators look.
type trial struct {
	name string
	does misdeed
	says string // of the last attempt
}

// misbehaves has the receiver go through trials, one after the other, while the other
// endpoint goes on.
func misbehaves(all []trial) func(*stage) {
	return func(s *stage) {
		for _, t := range all {
			came := s.ops.requests()
			s.ops.behave(t.does)
			s.eventually(t.name+" was tried", func() bool { return s.ops.requests() >= came+3 })
			s.lastAttemptSays(t.says)
			s.goesOn()
			s.keepsMemory(t.name)
		}
		s.hears(utterance{metric: "tocsin_deliveries_pending", labels: []string{`endpoint="ops"`}})
		s.hears(utterance{log: "endpoint failing"})
	}
}

// An endpointView is what the API says of an endpoint.
type endpointView struct {
	Condition   string `json:"condition"`
	Reason      string `json:"reason"`
	Owed        int    `json:"owed"`
	WaitsFor    string `json:"waiting_for"`
	LastAttempt struct {
		Accepted bool   `json:"accepted"`
		Status   int    `json:"status"`
		Error    string `json:"error"`
	} `json:"last_attempt"`
}

func (s *stage) endpoint(name string) (v endpointView) {
	if err := s.b.answer("endpoints/"+name, &v); err != nil {
		return endpointView{Reason: err.Error()}
	}
	return v
}

// says reports whether the last attempt ended in one of these ways.
func (v *endpointView) says(what ...string) bool {
	return slices.ContainsFunc(what, func(w string) bool { return strings.Contains(v.LastAttempt.Error, w) })
}

// lastAttemptSays judges P9: whoever asks how the endpoint fares is told what is wrong.
func (s *stage) lastAttemptSays(what ...string) {
	s.Helper()
	var v endpointView
	if !within(deadline, func() bool {
		v = s.endpoint("ops")
		return v.says(what...)
	}) {
		s.Errorf("%s: of the last attempt it says nothing of %q: %+v", outspoken, what, v)
	}
}

// keepsMemory judges P6 while the fault lasts.
func (s *stage) keepsMemory(doing string) {
	s.Helper()
	if f, err := s.b.footprint(); err != nil || f.rss > mostMemory {
		s.Errorf("%s: %s: %+v (%v)", bounded, doing, f, err)
	}
}

// behindProxy puts a network between the bridge and the receiver.
func behindProxy(s *stage) {
	s.way = startProxy(s, strings.TrimPrefix(s.ops.url, "http://"))
	s.ops.url = "http://" + s.way.addr
	patient(s)
}

// cutOff has the receiver out of reach in each way.
func cutOff(s *stage) {
	tried := func(says ...string) {
		s.Helper()
		s.lastAttemptSays(says...)
		s.goesOn()
	}
	s.way.refuse()
	tried("connection refused")
	end := s.way.hole()
	tried("given up while connecting")
	end()
	s.way.listen()
	s.way.treat(toxin{silent: true})
	tried("given up while waiting for the answer")
	for _, t := range []toxin{{up: 1}, {down: 1}, {latency: 2 * time.Second}} {
		s.way.cut()
		s.way.treat(t)
		tried("no answer within 1s")
	}
	s.way.cut()
	s.way.treat(toxin{reset: 300})
	tried("connection reset", "broken pipe", "EOF")
	s.hears(utterance{metric: "tocsin_deliveries_pending", labels: []string{`endpoint="ops"`}})
	s.way.treat(toxin{})
	s.way.cut()
}

// breaks are ways to end a connection in the wrong place.
func breaks() []trial {
	return []trial{
		{"a reset", resets, "connection reset"},
		{"a close without an answer", hangsUp(""), "EOF"},
		{"half an answer", hangsUp("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n"), "EOF"},
		{"an answer that is none", hangsUp("SSH-2.0-OpenSSH_9.6\r\n"), "malformed"},
		{"an answer before the body was read", answersUnread, "answered 503"},
		{"silence", hangs, "no answer within 1s"},
		{"a byte a second", drips, "no answer within 1s"},
	}
}

// hangsUp is a misdeed: a text in place of an answer, and an end.
func hangsUp(text string) misdeed {
	return func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return false
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, text)
		return false
	}
}

// answersUnread is a misdeed: the answer is there before the request is.
func answersUnread(w http.ResponseWriter, _ *http.Request) bool {
	w.Header().Set("Connection", "close")
	w.WriteHeader(http.StatusServiceUnavailable)
	return false
}

// drips is a misdeed: an answer of a byte a second.
func drips(w http.ResponseWriter, r *http.Request) bool {
	_, _ = io.Copy(io.Discard, r.Body)
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return false
	}
	defer conn.Close()
	for _, b := range []byte("HTTP/1.1 200 OK\r\n\r\n") {
		if _, err := conn.Write([]byte{b}); err != nil {
			return false
		}
		pause(time.Second)
	}
	return false
}

// anotherProgram has what ops is told received by a tocsin of its own, which can be
// stopped as a whole.
func anotherProgram(s *stage) {
	addr := freeAddress(s)
	s.ops.url = "http://" + addr
	s.other = exec.Command(bridgeBinary(s), "listen", "-q", "--addr", addr, "--secret", "@"+s.path("secrets/signing"), "--out", s.path("listen.jsonl"))
	s.other.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.other.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		_ = syscall.Kill(-s.other.Process.Pid, syscall.SIGKILL)
		_ = s.other.Wait()
	})
	s.ops.counts = func() int { return s.transcribe("listen.jsonl") }
	s.eventually("the receiver listens", func() bool {
		resp, err := http.Get(s.ops.url)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return true
	})
	s.write("tocsin.toml", s.configuration())
}

// transcribe writes the ledger of ops from that of a program, which has more in it than
// a receiver is to show.
func (s *stage) transcribe(name string) (n int) {
	text, err := os.ReadFile(s.path(name))
	if err != nil {
		return 0
	}
	var ledger bytes.Buffer
	for line := range bytes.Lines(text) {
		var t told
		if !bytes.HasSuffix(line, []byte("\n")) || json.Unmarshal(line, &t) != nil {
			break
		}
		short, err := json.Marshal(t)
		if err != nil {
			s.Fatal(err)
		}
		ledger.Write(append(short, '\n'))
		n++
	}
	if err := os.WriteFile(s.ops.path, ledger.Bytes(), 0o600); err != nil {
		s.Fatal(err)
	}
	return n
}

// halfOpen stops the receiver: its machine takes connections and bytes, and nothing
// comes back.
func halfOpen(s *stage) {
	_ = syscall.Kill(-s.other.Process.Pid, syscall.SIGSTOP)
	s.lastAttemptSays("no answer within 1s")
	s.goesOn()
	s.goOn(2 * time.Second)
	s.keepsMemory("half open")
	s.hears(utterance{log: "endpoint failing"})
	_ = syscall.Kill(-s.other.Process.Pid, syscall.SIGCONT)
}

func refusals() (all []trial) {
	for _, status := range []int{400, 401, 403, 404, 405, 408, 409, 413, 415, 421, 422, 425, 451} {
		all = append(all, trial{fmt.Sprint(status), answers(status), fmt.Sprint("answered ", status)})
	}
	return all
}

func serverErrors() (all []trial) {
	for _, status := range []int{500, 501, 502, 503, 504, 507, 599} {
		all = append(all, trial{fmt.Sprint(status), answers(status), fmt.Sprint("answered ", status)})
	}
	return all
}

// redirected has the receiver send the bridge elsewhere: to itself, in a loop, to the
// other receiver, to the machine's own metadata. Nobody is asked who was not named.
func redirected(s *stage) {
	astray := func(w http.ResponseWriter, r *http.Request) bool {
		s.Errorf("%s: a redirect was followed: %s %s came", discreet, r.Method, r.URL.Path)
		return answers(http.StatusInternalServerError)(w, r)
	}
	var all []trial
	for _, status := range []int{300, 301, 302, 303, 304, 307, 308} {
		for _, to := range []string{"/elsewhere", s.canary.url + "/elsewhere", "http://169.254.169.254/latest/meta-data", "file:///etc/passwd"} {
			if status != 302 && status != 307 && to != "/elsewhere" {
				continue
			}
			all = append(all, trial{fmt.Sprint(status, " to ", to), func(w http.ResponseWriter, r *http.Request) bool {
				if strings.Contains(r.URL.Path, "elsewhere") {
					return astray(w, r)
				}
				return answers(status, "Location", to)(w, r)
			}, fmt.Sprint("answered ", status)})
		}
	}
	s.canary.behave(func(w http.ResponseWriter, r *http.Request) bool {
		return !strings.Contains(r.URL.Path, "elsewhere") || astray(w, r)
	})
	misbehaves(all)(s)
	s.lastAttemptSays("redirects are not followed", "answered 304")
	s.canary.behave(nil)
}

// throttled has the receiver say for how long it wants to be left alone.
func throttled(s *stage) {
	for _, t := range []struct {
		status int
		after  string
		waits  bool
	}{
		{429, "1", true}, {429, "0.5", true}, {503, "1", true}, {429, "315360000", true}, {429, "Fri, 31 Dec 9999 23:59:59 GMT", true},
		{429, time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), true}, {429, "-5", false}, {429, "", false},
		{429, "soon", false}, {429, "1e309", false}, {429, time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat), false},
	} {
		name := fmt.Sprintf("%d with Retry-After %q", t.status, t.after)
		came := s.ops.requests()
		s.ops.behave(answers(t.status, "Retry-After", t.after))
		s.eventually(name+" was tried", func() bool { return s.ops.requests() > came })
		if !t.waits {
			s.eventually(name+" was tried again", func() bool { return s.ops.requests() > came+2 })
		} else if !within(deadline, func() bool { return s.endpoint("ops").WaitsFor == "retry_after" }) {
			s.Errorf("%s: %s: nobody is told that the receiver asked for time: %+v", outspoken, name, s.endpoint("ops"))
		}
		s.lastAttemptSays(fmt.Sprint("answered ", t.status))
		s.goesOn()
	}
}

// gone has the receiver want no more, and somebody who knows better switch it on again.
func gone(s *stage) {
	s.ops.behave(answers(http.StatusGone))
	s.eventually("the endpoint is disabled", func() bool { return s.endpoint("ops").Condition == "disabled" })
	s.hears(utterance{log: "tocsin endpoints enable", metric: "tocsin_endpoint_state", labels: []string{`endpoint="ops"`, `state="disabled"`}})
	s.ops.behave(nil)
	came := s.ops.requests()
	s.goesOn()
	s.b.kill() // not even a crash has it forget
	s.startReady()
	s.goesOn()
	if n := s.ops.requests(); n > came+4 { // those that were under way
		s.Errorf("%s: %d requests came after the endpoint had said that it is gone", delivered, n-came)
	}
	if status, body := s.b.post("/api/v1/endpoints/ops/enable"); status/100 != 2 {
		s.Fatalf("%s: enabling is answered %d: %s", healed, status, body)
	}
}

// late has the receiver take everything, and say so when nobody waits any more.
func late(s *stage) {
	s.ops.answer(func(http.ResponseWriter, *http.Request) { pause(1500 * time.Millisecond) })
	s.lastAttemptSays("no answer within 1s")
	taken := s.ops.accepted()
	s.eventually("it was taken all the same", func() bool { return s.ops.accepted() > taken })
	s.goesOn()
	s.goOn(2 * time.Second)
}

// babbles is a misdeed: an answer that is not the library's.
func babbles(head string, piece []byte, times int) misdeed {
	return func(w http.ResponseWriter, r *http.Request) bool {
		writeRaw(w, r, head, piece, times)
		return false
	}
}

func writeRaw(w http.ResponseWriter, r *http.Request, head string, piece []byte, times int) {
	_, _ = io.Copy(io.Discard, r.Body)
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, err = io.WriteString(conn, head)
	for ; times > 0 && err == nil; times-- {
		_, err = conn.Write(piece)
	}
}

// megabyte is a piece of what is too long.
func megabyte() []byte { return bytes.Repeat([]byte("x"), 1<<20) }

// bomb is a gigabyte, packed.
func bomb() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for range 1 << 10 {
		_, _ = z.Write(make([]byte, 1<<20)) // a buffer takes everything
	}
	_ = z.Close()
	return b.Bytes()
}

// hostile are answers that are to cost the bridge dearly.
func hostile() []trial {
	packed := bomb()
	return []trial{
		{"100 interim answers a time", babbles("", bytes.Repeat([]byte("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"), 100), 1<<20), "exceeded 65536 bytes"},
		{"100 MB", babbles("HTTP/1.1 500 No\r\nContent-Length: 104857600\r\n\r\n", megabyte(), 100), "answered 500"},
		{"no end", babbles("HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n", append([]byte("100000\r\n"), append(megabyte(), "\r\n"...)...), 1000), "answered 500"},
		{"more than can be", babbles("HTTP/1.1 500 No\r\nContent-Length: 999999999999999999\r\n\r\n", megabyte(), 2), "answered 500"},
		{"a gigabyte packed", babbles(fmt.Sprintf("HTTP/1.1 500 No\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n", len(packed)), packed, 1), "answered 500"},
		{"bad chunks", babbles("HTTP/1.1 502 No\r\nTransfer-Encoding: chunked\r\n\r\nzzzz\r\n", []byte("x"), 10), "answered 502"},
		{"two lengths", babbles("HTTP/1.1 500 No\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", []byte("x"), 10), "Content-Length"},
		{"a head of megabytes", babbles("HTTP/1.1 200 OK\r\nX: ", megabyte(), 16), "header"},
		{"another protocol", babbles("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", megabyte(), 16), "answered 101"},
	}
}

// oddlyAccepted has the receiver take everything, and say so with bodies that nobody
// should read to the end.
func oddlyAccepted(s *stage) {
	for _, t := range []struct{ name, head string }{
		{"204", "HTTP/1.1 204 No Content\r\n\r\n"},
		{"200 and 100 MB", "HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n"},
		{"202 and bad chunks", "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n"},
		{"200 and half a body", "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nnot so much"},
		{"200 and a lie about its encoding", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"},
	} {
		pieces := 0
		if strings.Contains(t.name, "MB") {
			pieces = 100
		}
		taken := s.ops.accepted()
		s.ops.answer(func(w http.ResponseWriter, r *http.Request) { writeRaw(w, r, t.head, megabyte(), pieces) })
		s.eventually(t.name+" was tried", func() bool { return s.ops.accepted() >= taken+10 })
		s.goesOn()
		s.keepsMemory(t.name)
		// Its status has said that it is taken: nothing is sent again for the body's sake.
		// A receiver that closes with a request half read may have its answer overtaken.
		s.eventually(t.name+" is taken for an answer", func() bool { return s.endpoint("ops").LastAttempt.Accepted })
	}
}
