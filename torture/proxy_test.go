//go:build linux

package torture

import (
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A proxy is a network in one process: between whoever connects to it and its target
// it does to bytes what a scene wants.
type proxy struct {
	t      testing.TB
	addr   string
	target string

	mu      sync.Mutex
	ln      net.Listener // nil: connections are refused
	pairs   map[*pair]bool
	toxin   toxin
	hears   *tap // nil: nobody
	running sync.WaitGroup
}

// A toxin is what befalls the bytes of connections; the zero value is nothing.
type toxin struct {
	latency time.Duration // before each piece of them
	up      int           // bytes a second towards the target; 0: without limit
	down    int           // and back
	reset   int           // the connection is reset after so many bytes towards the target; 0: never
	silent  bool          // they are taken, and go nowhere
}

// A pair is one connection, from both sides.
type pair struct{ near, far *net.TCPConn }

func (p *pair) close() { p.near.Close(); p.far.Close() }

func startProxy(t testing.TB, target string) *proxy {
	t.Helper()
	return startProxyAt(t, "127.0.0.1:0", target)
}

func startProxyAt(t testing.TB, addr, target string) *proxy {
	t.Helper()
	p := &proxy{t: t, addr: addr, target: target, pairs: map[*pair]bool{}}
	p.listen()
	t.Cleanup(func() {
		p.refuse()
		p.running.Wait()
	})
	return p
}

// listen accepts connections, again.
func (p *proxy) listen() {
	p.t.Helper()
	var ln net.Listener
	var err error
	if !within(deadline, func() bool { ln, err = net.Listen("tcp", p.addr); return err == nil }) {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ln, p.addr = ln, ln.Addr().String()
	p.running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.carry(c.(*net.TCPConn)) })
		}
	})
}

// refuse cuts all connections and has new ones refused.
func (p *proxy) refuse() {
	p.mu.Lock()
	if p.ln != nil {
		p.ln.Close()
		p.ln = nil
	}
	p.mu.Unlock()
	p.cut()
}

// cut resets all connections there are.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.pairs {
		_ = c.near.SetLinger(0)
		c.close()
	}
}

// treat has all connections treated in a way, those that there are too.
func (p *proxy) treat(t toxin) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.toxin = t
}

func (p *proxy) treatment() toxin {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.toxin
}

func (p *proxy) carry(near *net.TCPConn) {
	far, err := net.Dial("tcp", p.target)
	if err != nil {
		near.Close()
		return
	}
	c := &pair{near, far.(*net.TCPConn)}
	p.mu.Lock()
	p.pairs[c] = true
	if p.ln == nil {
		c.close()
	}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.pairs, c)
	}()
	both := sync.WaitGroup{}
	both.Go(func() { p.pump(c, c.far, c.near, func(t toxin) int { return t.up }, true) })
	both.Go(func() { p.pump(c, c.near, c.far, func(t toxin) int { return t.down }, false) })
	both.Wait()
	c.close()
}

// pump carries one direction until either side ends.
func (p *proxy) pump(c *pair, to, from *net.TCPConn, rate func(toxin) int, up bool) {
	buf := make([]byte, 4096)
	carried := 0
	for {
		t := p.treatment()
		room := len(buf)
		if n := rate(t); n > 0 {
			room = max(1, min(room, n/20))
		}
		n, err := from.Read(buf[:room])
		if n > 0 {
			pause(t.latency)
			if r := rate(t); r > 0 {
				pause(time.Duration(n) * time.Second / time.Duration(r))
			}
			carried += n
			if t = p.treatment(); up && t.reset > 0 && carried >= t.reset {
				_ = c.near.SetLinger(0)
				c.close()
				return
			}
			if t.silent { // what was under way is lost with the connection
				_, _ = io.Copy(io.Discard, from)
				c.close()
				return
			}
			if p.hears != nil {
				p.hears.carried(c, up, buf[:n])
			}
			if _, werr := to.Write(buf[:n]); werr != nil {
				c.close()
				return
			}
		}
		if err != nil {
			_ = to.CloseWrite()
			return
		}
	}
}

// hole has connections to the address neither accepted nor refused: a listener whose
// queue is full. It ends with what it returns.
func (p *proxy) hole() (end func()) {
	p.t.Helper()
	p.refuse()
	to, err := net.ResolveTCPAddr("tcp4", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	at := &syscall.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}
	err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err == nil {
		err = syscall.Bind(fd, at)
	}
	if err == nil {
		err = syscall.Listen(fd, 0)
	}
	if err != nil {
		_ = syscall.Close(fd)
		p.t.Fatal(err)
	}
	var filled []net.Conn
	for { // until the queue is full
		c, err := net.DialTimeout("tcp", p.addr, 300*time.Millisecond)
		if err != nil {
			break
		}
		filled = append(filled, c)
	}
	return func() {
		_ = syscall.Close(fd)
		for _, c := range filled {
			c.Close()
		}
	}
}
