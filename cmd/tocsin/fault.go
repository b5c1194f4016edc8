package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A fault is one way to answer a request badly, and how often.
type fault struct {
	name        string // as it was written, without the probability
	probability float64
	status      int // what the sender is told; 0: it gets no answer
	header      http.Header
	act         func(w http.ResponseWriter, req *http.Request, f fault)
	wait        time.Duration // slow only
}

const faultSyntax = "write KIND:PROBABILITY,… where KIND is a status such as 500, 429/2s or 302/URL, " +
	"or redirect, hang, slow/20s, drip, big, bomb, reset, close"

// parseFaults reads 429/2s:0.1,hang:0.01 and so on.
func parseFaults(s string) ([]fault, error) {
	if s == "" {
		return nil, nil
	}
	var faults []fault
	var sum float64
	for item := range strings.SplitSeq(s, ",") {
		item = strings.TrimSpace(item)
		i := strings.LastIndexByte(item, ':')
		if i < 0 {
			return nil, fmt.Errorf("%q has no probability (%s)", item, faultSyntax)
		}
		f, err := parseFault(item[:i])
		if err != nil {
			return nil, err
		}
		f.probability, err = strconv.ParseFloat(item[i+1:], 64)
		if err != nil || math.IsNaN(f.probability) || f.probability <= 0 || f.probability > 1 {
			return nil, fmt.Errorf("%q is not a probability (write a number above 0 and at most 1)", item[i+1:])
		}
		sum += f.probability
		faults = append(faults, f)
	}
	if sum > 1+1e-9 {
		return nil, fmt.Errorf("the probabilities add up to %g (they may add up to 1)", sum)
	}
	return faults, nil
}

func parseFault(name string) (fault, error) {
	kind, arg, hasArg := strings.Cut(name, "/")
	f := fault{name: name, status: http.StatusOK}
	switch kind {
	case "hang":
		f.status, f.act = 0, hang
	case "reset":
		f.status, f.act = 0, reset
	case "close":
		f.status, f.act = 0, cutOff
	case "drip":
		f.act = drip
	case "big":
		f.act = flood
	case "bomb":
		f.act = bomb
	case "redirect":
		return parseStatusFault(f, "302", arg, hasArg)
	case "slow":
		f.act, f.wait = slow, 20*time.Second
		if hasArg {
			d, err := time.ParseDuration(arg)
			if err != nil || d <= 0 {
				return fault{}, fmt.Errorf("%q is not a delay (write slow/20s)", name)
			}
			f.wait = d
		}
		return f, nil
	default:
		return parseStatusFault(f, kind, arg, hasArg)
	}
	if hasArg {
		return fault{}, fmt.Errorf("%q takes no argument (write %s)", name, kind)
	}
	return f, nil
}

func parseStatusFault(f fault, kind, arg string, hasArg bool) (fault, error) {
	code, err := strconv.Atoi(kind)
	if err != nil || code < 200 || code > 599 {
		return fault{}, fmt.Errorf("%q is not a fault (%s)", f.name, faultSyntax)
	}
	f.status, f.act, f.header = code, status, http.Header{}
	switch {
	case code >= 300 && code < 400:
		// A sender that follows comes back here, where it is seen.
		if !hasArg {
			arg = "/followed"
		}
		f.header.Set("Location", arg)
	case hasArg:
		// A duration is sent in seconds; anything else as it is, so that a date or
		// nonsense can be tried too.
		if d, err := time.ParseDuration(arg); err == nil {
			arg = strconv.FormatInt(int64(math.Ceil(d.Seconds())), 10)
		}
		f.header.Set("Retry-After", arg)
	}
	return f, nil
}

// pick chooses the fault for a number drawn from [0,1); nil is a good answer.
func pick(faults []fault, draw float64) *fault {
	for i := range faults {
		if draw < faults[i].probability {
			return &faults[i]
		}
		draw -= faults[i].probability
	}
	return nil
}

func status(w http.ResponseWriter, _ *http.Request, f fault) {
	for name, values := range f.header {
		w.Header()[name] = values
	}
	w.WriteHeader(f.status)
}

// hang never answers: it lasts until the sender goes away or the receiver stops.
func hang(_ http.ResponseWriter, req *http.Request, _ fault) {
	<-req.Context().Done()
	panic(http.ErrAbortHandler) // the documented way to answer nothing at all
}

func slow(w http.ResponseWriter, req *http.Request, f fault) {
	select {
	case <-time.After(f.wait):
		w.WriteHeader(f.status)
	case <-req.Context().Done():
	}
}

// drip sends a good status at once and then a byte a second.
func drip(w http.ResponseWriter, req *http.Request, f fault) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	w.WriteHeader(f.status)
	out := http.NewResponseController(w)
	for {
		if _, err := w.Write([]byte(".")); err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-req.Context().Done():
			return
		}
	}
}

// flood sends a body without end.
func flood(w http.ResponseWriter, req *http.Request, f fault) {
	w.WriteHeader(f.status)
	chunk := make([]byte, 64<<10)
	for req.Context().Err() == nil {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// bomb sends a gigabyte of zeros, which gzip makes a megabyte of.
func bomb(w http.ResponseWriter, _ *http.Request, f fault) {
	var member bytes.Buffer // a gzip stream may be many, one after the other
	z := gzip.NewWriter(&member)
	_, err := z.Write(make([]byte, 1<<20))
	if err != nil || z.Close() != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Encoding", "gzip")
	w.WriteHeader(f.status)
	for range 1 << 10 {
		if _, err := w.Write(member.Bytes()); err != nil {
			return
		}
	}
}

// reset ends the connection with a TCP reset, cutOff with a plain close.
func reset(w http.ResponseWriter, req *http.Request, f fault) { hangUp(w, 0) }

func cutOff(w http.ResponseWriter, req *http.Request, f fault) { hangUp(w, -1) }

func hangUp(w http.ResponseWriter, linger int) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(linger) // best effort: the connection ends either way
	}
	_ = conn.Close()
}
