package api

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bridge"
	"tocsin/bridge/decode"
	"tocsin/bridge/store"
	"tocsin/broker"
	"tocsin/rules"
)

// A streamed is a server before a bridge with one rule, in a bubble.
type streamed struct {
	t    *testing.T
	ln   *pipes
	b    *bridge.Bridge
	s    *Server
	stop context.CancelFunc
	done chan error
}

func newStreamed(t *testing.T) *streamed {
	t.Helper()
	program, problems := rules.Compile(&rules.File{Schema: 1, Rule: map[string]*rules.RuleDef{"warm": {
		Metric: "temperature", Severity: rules.Warning, Condition: rules.Condition{Above: &rules.Quantity{Value: -15}},
	}}})
	if program == nil {
		t.Fatal(problems)
	}
	decoder, err := decode.New(decode.Options{Name: "plant", Topic: "plant/{device}"})
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "data")})
	if err != nil {
		t.Fatal(err)
	}
	s := &streamed{t: t, ln: newPipes(), done: make(chan error, 1)}
	if s.b, err = bridge.New(t.Context(), bridge.Options{Program: program, Decoders: []*decode.Decoder{decoder}, Source: quiet{}, Store: db}); err != nil {
		t.Fatal(err)
	}
	if s.s, err = newServer(&Options{Bridge: s.b, Token: NewToken(secret)}, s.ln); err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	running, stopBridge := context.WithCancel(context.Background())
	bridged := make(chan error, 1)
	go func() { bridged <- s.b.Run(running) }()
	go func() {
		err := s.s.Run(ctx)
		stopBridge()
		if e := <-bridged; e != nil {
			t.Error(e)
		}
		if e := db.Close(); e != nil {
			t.Error(e)
		}
		s.done <- err
	}()
	return s
}

// end stops the server and says how long that took.
func (s *streamed) end() time.Duration {
	s.t.Helper()
	began := time.Now()
	s.stop()
	if err := <-s.done; err != nil {
		s.t.Error(err)
	}
	return time.Since(began)
}

// reading hands a reading in.
func (s *streamed) reading(device string, value float64) {
	s.t.Helper()
	time.Sleep(time.Millisecond)
	receipt := s.b.Handle(broker.Message{Topic: "plant/" + device, Payload: fmt.Appendf(nil, `{"temperature":%v}`, value), Received: time.Now()})
	if receipt != nil {
		if err := receipt(context.Background()); err != nil {
			s.t.Fatal(err)
		}
	}
}

// open asks for the stream, and returns its messages, each as its lines.
func (s *streamed) open(token, query, after string) <-chan string {
	s.t.Helper()
	conn := s.ln.dial()
	s.t.Cleanup(func() { _ = conn.Close() })
	return s.openOn(conn, token, query, after)
}

// leaving opens a stream that may be left.
func (s *streamed) leaving(token string) (messages <-chan string, leave func()) {
	s.t.Helper()
	conn := s.ln.dial()
	return s.openOn(conn, token, "", ""), func() { _ = conn.Close() }
}

func (s *streamed) openOn(conn net.Conn, token, query, after string) <-chan string {
	s.t.Helper()
	go func() {
		_, _ = fmt.Fprintf(conn, "GET /api/v1/stream?%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nLast-Event-ID: %s\r\n\r\n", query, token, after)
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		s.t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	messages := make(chan string, 1000)
	go func() {
		defer close(messages)
		lines := bufio.NewScanner(resp.Body)
		for message := ""; lines.Scan(); {
			if lines.Text() != "" {
				message += lines.Text() + "\n"
				continue
			}
			messages <- message
			message = ""
		}
	}()
	return messages
}

// next is the kind of the next message, and its id; "closed" at the end.
func next(t *testing.T, messages <-chan string) (kind, id, data string) {
	t.Helper()
	message, more := <-messages
	if !more {
		return "closed", "", ""
	}
	for line := range strings.Lines(message) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "event":
			kind = value
		case "id":
			id = value
		case "data":
			data = value
		case ":", "retry":
			kind = name
		}
	}
	return kind, id, data
}

// wants compares the kinds of the messages that come next, and returns the last's id and data.
func wants(t *testing.T, messages <-chan string, kinds ...string) (id, data string) {
	t.Helper()
	for i, want := range kinds {
		var got string
		if got, id, data = next(t, messages); got != want {
			t.Fatalf("message %d: %s %s, want %s", i, got, data, want)
		}
	}
	return id, data
}

func TestStreamTellsWhatHappensAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreamed(t)
		all := s.open(secret, "kinds=event,reading&device=freezer-1", "")
		wants(t, all, "retry")
		s.reading("freezer-2", -12)
		s.reading("freezer-1", -20)
		if id, data := wants(t, all, "reading"); id != "" || !strings.Contains(data, `"value":-20`) {
			t.Errorf("%s %s", id, data)
		}
		usual := s.open(secret, "", "")
		wants(t, usual, "retry")
		s.reading("freezer-1", -12)
		id, data := wants(t, usual, "event")
		if id == "" || !strings.Contains(data, `"type":"alarm.fired"`) || strings.Contains(data, "\n") {
			t.Errorf("%s %s", id, data)
		}
		wants(t, all, "reading", "event")
		s.reading("freezer-3", -12)
		again := s.open(secret, "", id)
		if _, data := wants(t, again, "retry", "event"); !strings.Contains(data, "freezer-3") {
			t.Errorf("went on with %s", data)
		}
		wants(t, s.open(secret, "", "before-7"), "retry", "gap")
		s.end()
	})
}

// A stream outlives the deadlines of requests, and a silent one says that it is there.
func TestStreamLivesLongerThanRequestsMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreamed(t)
		messages := s.open(secret, "", "")
		wants(t, messages, "retry")
		for range 20 { // five minutes
			wants(t, messages, ":")
		}
		s.reading("freezer-1", -12)
		wants(t, messages, "event")
		s.end()
	})
}

func TestStreamEndsWithTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreamed(t)
		messages := s.open(secret, "", "")
		wants(t, messages, "retry")
		if took := s.end(); took >= drainTimeout {
			t.Errorf("the stop took %v", took)
		}
		if _, data := wants(t, messages, "end"); !strings.Contains(data, "stops") {
			t.Errorf("%s", data)
		}
		wants(t, messages, "closed")
	})
}

// A token that is revoked, or ends, takes its streams along.
func TestStreamEndsWithItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreamed(t)
		h := s.s.http.Handler
		reader, other := makeToken(t, h, "reader", bridge.ScopeRead), makeToken(t, h, "other", bridge.ScopeRead)
		one, two := s.open(reader.Token, "", ""), s.open(other.Token, "", "")
		wants(t, one, "retry")
		wants(t, two, "retry")
		ask(t, h, secret, "DELETE", "/api/v1/tokens/reader", "")
		s.reading("freezer-1", -12)
		wants(t, two, "event")
		if _, data := wants(t, one, "end"); !strings.Contains(data, "token") {
			t.Errorf("%s", data)
		}
		wants(t, one, "closed")
		ask(t, h, secret, "DELETE", "/api/v1/tokens/other", "")
		wants(t, two, "end", "closed") // at the next sign of life
		s.end()
	})
}

// Somebody who takes nothing is cut off, and costs nobody a place.
func TestStreamThatIsNotReadIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreamed(t)
		for range 17 { // one more than may watch
			conn := s.ln.dial()
			go func() {
				_, _ = fmt.Fprintf(conn, "GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", secret)
			}()
			synctest.Wait()
			time.Sleep(writeWithin + beatEvery)
			synctest.Wait()
			if n := s.s.conns.Load(); n != 0 {
				t.Fatalf("%d connections", n)
			}
			_ = conn.Close()
		}
		s.end()
	})
}

// Who opens many streams has nobody else's place.
func TestStreamsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreamed(t)
		h := s.s.http.Handler
		greedy := makeToken(t, h, "greedy", bridge.ScopeRead)
		first, leave := s.leaving(greedy.Token)
		wants(t, first, "retry")
		for range maxStreams - 1 {
			wants(t, s.open(greedy.Token, "", ""), "retry")
		}
		declined := func() {
			w := ask(t, h, greedy.Token, "GET", "/api/v1/stream?kinds=event", "")
			if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), `"greedy\"`) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
		declined()
		wants(t, s.open(secret, "", ""), "retry")
		leave()
		synctest.Wait()
		wants(t, s.open(greedy.Token, "", ""), "retry")
		declined()
		s.end()
	})
}
