//go:build linux

package torture

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// A fickle server speaks HTTP/2 before a receiver, as servers do that are deployed anew
// or shed load: it asks every few requests to go elsewhere, and does worse when told to.
type fickle struct {
	net.Listener // speaks TLS
	ops          *receiver

	came  atomic.Int64 // requests, whatever became of them
	byOld atomic.Int64 // those that did not come by HTTP/2

	mu     sync.Mutex
	treats treatment // nil: it answers
	worse  bool      // it also resets streams, before and after it has taken what came
	conns  []net.Conn
}

// A treatment answers the beginning of a request with frames of its own; after false
// the connection ends.
type treatment func(c net.Conn, stream uint32) (more bool)

// byHTTP2 puts a fickle server before the receiver.
func byHTTP2(f *fickle) func(*stage) {
	return func(s *stage) {
		root := newAuthorityOf(s, nil)
		_, cert := root.certificate(s, nil)
		config := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}}
		listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
		if err != nil {
			s.Fatal(err)
		}
		f.ops, f.Listener = s.ops, listener
		server := &http.Server{Handler: f, TLSConfig: config, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: deadline}
		go func() { _ = server.Serve(f) }() // until it is closed
		s.Cleanup(func() { f.treat(nil, false); server.Close() })
		s.ops.url = "https://" + listener.Addr().String()
		s.write("tls/ca.pem", root.pem())
		s.onOps = "breaker = { failures = 100000 }\ntls = { ca = \"tls/ca.pem\" }\n"
		s.write("tocsin.toml", s.configuration())
	}
}

// treat has it treat requests in a way from now on, and ends all connections.
func (f *fickle) treat(t treatment, worse bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.treats, f.worse = t, worse
	for _, c := range f.conns {
		c.Close()
	}
	f.conns = nil
}

// Accept returns connections to answer, and keeps those that are to be treated
// otherwise.
func (f *fickle) Accept() (net.Conn, error) {
	for {
		c, err := f.Listener.Accept()
		if err != nil {
			return nil, err
		}
		f.mu.Lock()
		treats := f.treats
		f.conns = append(f.conns, c)
		f.mu.Unlock()
		if treats == nil {
			return c, nil
		}
		go func() { defer c.Close(); f.misbehave(c, treats) }()
	}
}

func (f *fickle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := f.came.Add(1)
	if r.ProtoMajor != 2 {
		f.byOld.Add(1)
	}
	f.mu.Lock()
	worse := f.worse
	f.mu.Unlock()
	if n%5 == 0 {
		w.Header().Set("Connection", "close") // at which the server sends GOAWAY
	}
	if worse && n%7 == 0 {
		panic(http.ErrAbortHandler) // at which it sends RST_STREAM
	}
	f.ops.ServeHTTP(w, r)
	if worse && n%11 == 0 {
		panic(http.ErrAbortHandler) // it has been taken, and nobody is told
	}
}

// Frames of HTTP/2, and what they say of an end.
const (
	frameData, frameHeaders, frameReset, frameSettings, framePing, frameGoAway = 0, 1, 3, 4, 6, 7

	internalError, refusedStream, enhanceYourCalm = 2, 7, 11
)

// frame writes one.
func frame(c net.Conn, kind, flags byte, stream uint32, payload ...byte) bool {
	head := []byte{0, byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	_, err := c.Write(append(binary.BigEndian.AppendUint32(head, stream), payload...))
	return err == nil
}

// misbehave speaks no more HTTP/2 than it takes to be sent requests.
func (f *fickle) misbehave(c net.Conn, treats treatment) {
	preface := make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	if _, err := io.ReadFull(c, preface); err != nil || !frame(c, frameSettings, 0, 0) {
		return
	}
	for head := make([]byte, 9); ; {
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		size := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
		payload := make([]byte, size)
		if _, err := io.ReadFull(c, payload); err != nil {
			return
		}
		kind, flags, stream := head[3], head[4], binary.BigEndian.Uint32(head[5:])
		more := true
		switch {
		case kind == frameHeaders:
			f.came.Add(1)
			more = treats(c, stream)
		case kind == frameSettings && flags&1 == 0:
			more = frame(c, frameSettings, 1, 0)
		case kind == framePing && flags&1 == 0:
			more = frame(c, framePing, 1, 0, payload...)
		}
		if !more {
			return
		}
	}
}

// resetsStream ends each stream with a code.
func resetsStream(code byte) treatment {
	return func(c net.Conn, stream uint32) bool { return frame(c, frameReset, 0, stream, 0, 0, 0, code) }
}

// goesAway says that it has read no request, whatever came, and ends the connection.
func goesAway(c net.Conn, _ uint32) bool {
	frame(c, frameGoAway, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	return false
}

// fickleHTTP2 goes through what a server of HTTP/2 can do beside answering.
func fickleHTTP2(f *fickle) func(*stage) {
	return func(s *stage) {
		for _, t := range []struct {
			name   string
			treats treatment
			says   []string
		}{
			{"refused streams", resetsStream(refusedStream), []string{"REFUSED_STREAM", "no answer within 1s"}},
			{"streams that fail", resetsStream(internalError), []string{"INTERNAL_ERROR"}},
			{"be calm", resetsStream(enhanceYourCalm), []string{"ENHANCE_YOUR_CALM"}},
			{"GOAWAY at once", goesAway, []string{"GOAWAY", "no answer within 1s"}},
			{"an end without a word", func(net.Conn, uint32) bool { return false }, []string{"EOF", "connection reset", "broken pipe"}},
			{"half an answer", func(c net.Conn, stream uint32) bool {
				frame(c, frameHeaders, 0, stream) // it never ends
				return false
			}, []string{"EOF", "connection reset", "broken pipe"}},
			{"an answer of HTTP/1", func(c net.Conn, _ uint32) bool {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
				return false
			}, []string{"frame", "protocol"}},
			{"data without an answer", func(c net.Conn, stream uint32) bool {
				return frame(c, frameData, 1, stream, 'x')
			}, []string{"PROTOCOL_ERROR", "no answer within 1s"}},
		} {
			came := f.came.Load()
			f.treat(t.treats, false)
			s.eventually(t.name+" was tried", func() bool { return f.came.Load() >= came+3 })
			s.lastAttemptSays(t.says...)
			s.keepsMemory(t.name)
		}
		s.goesOn()
		s.hears(utterance{log: "endpoint failing", metric: "tocsin_deliveries_pending", labels: []string{`endpoint="ops"`}})
		taken := s.ops.accepted()
		f.treat(nil, true)
		s.eventually("what a fickle server takes is enough", func() bool { return s.ops.accepted() > taken+100 })
		f.treat(nil, false) // from now on only GOAWAY
		if n := f.byOld.Load(); n > 0 {
			s.Errorf("%d requests came by HTTP/1: nothing of HTTP/2 was tried", n)
		}
	}
}

// http2Scenes are about receivers that speak it.
func http2Scenes() []scene {
	f := &fickle{}
	return []scene{{row: "F12", name: "fickle HTTP/2", before: byHTTP2(f), strike: fickleHTTP2(f)}}
}
