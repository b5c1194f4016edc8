package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// ControlAddress is where a run is controlled unless it is said otherwise.
const ControlAddress = "127.0.0.1:7883"

// ListenControl opens the address on which a run is controlled, which must be a
// loopback one: whoever reaches it may do what they like with the devices.
func ListenControl(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("control %q: not an address (write 127.0.0.1:PORT; port 0 takes a free one)", address)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("control %q: not a loopback address, and it asks for no password (write 127.0.0.1:PORT)", address)
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("control: %w (is another run there? port 0 takes a free one)", err)
	}
	return ln, nil
}

// A Status is how far a run has got.
type Status struct {
	Profile   string        `json:"profile"`
	Seed      uint64        `json:"seed"`
	Speed     float64       `json:"speed"`
	Simulated string        `json:"simulated"` // since the start
	Devices   int           `json:"devices"`
	Sent      uint64        `json:"sent"`
	Acked     uint64        `json:"acked"`
	Lost      uint64        `json:"lost"` // connections that broke
	Down      int64         `json:"down"` // devices that cannot connect
	Faults    []FaultStatus `json:"faults"`
}

// A FaultStatus is a fault that is under way.
type FaultStatus struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Whom    string `json:"whom"`
	Signal  string `json:"signal,omitempty"`
	Devices int    `json:"devices"` // that it is meant for
	Ends    string `json:"ends"`    // in simulated time from now; empty: when it is cleared
}

// A control serves what an operator asks of a run.
type control struct {
	r       *run
	p       *Profile
	devices []*device // of which only what never changes is read
}

// maxOrder bounds what is read of a request.
const maxOrder = 64 << 10

// serve answers until ctx ends. ln is closed then.
func (c *control) serve(ctx context.Context, ln net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", c.status)
	mux.HandleFunc("POST /fault", c.set)
	mux.HandleFunc("DELETE /fault", c.clear)
	server := &http.Server{
		Handler:           http.NewCrossOriginProtection().Handler(local(mux)),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		MaxHeaderBytes:    8 << 10,
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // its listener and what it is answering
	defer stop()
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control: %w", err)
	}
	return nil
}

// local refuses requests that were not meant for a loopback address: a page in a
// browser may have a name that leads here.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
			http.Error(w, "the Host is not a loopback address", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (c *control) status(w http.ResponseWriter, _ *http.Request) {
	now := c.r.now()
	s := Status{
		Profile: c.p.Name, Seed: c.r.Seed, Speed: c.r.Speed, Simulated: now.Round(time.Second).String(),
		Devices: len(c.devices), Sent: c.r.sent.Load(), Acked: c.r.acked.Load(), Lost: c.r.lost.Load(), Down: c.r.down.Load(),
		Faults: []FaultStatus{},
	}
	for _, f := range c.underWay(now) {
		one := FaultStatus{Name: f.name, Kind: f.Kind, Whom: f.Device + f.Group, Signal: f.Signal, Devices: c.meant(f)}
		if f.For != 0 && f.For < forever {
			one.Ends = (f.ends(now) - now).Round(time.Millisecond).String()
		}
		s.Faults = append(s.Faults, one)
	}
	reply(w, s)
}

// underWay are the faults that last, of the profile and of operators. One that
// was cleared for some devices is not, if their glob is its own or all.
func (c *control) underWay(now time.Duration) []*Fault {
	var all []*Fault
	for _, f := range sorted(c.p.Faults) {
		own := *f
		all = append(all, &own)
	}
	done := 0
	for _, op := range c.r.operations.since(&done) {
		if op.fault != nil {
			own := *op.fault
			all = append(all, &own)
			continue
		}
		for _, f := range all {
			if (op.glob == "*" || op.glob == f.Device) && f.At <= Duration(op.at) && op.clears(f) {
				f.cleared = &op.at
			}
		}
	}
	var active []*Fault
	for _, f := range all {
		if f.active(now) {
			active = append(active, f)
		}
	}
	return active
}

func (c *control) meant(f *Fault) int {
	n := 0
	for _, d := range c.devices {
		if f.befalls(d) {
			n++
		}
	}
	return n
}

// set adds a fault, written as a [fault.NAME] table of a profile is.
func (c *control) set(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxOrder))
	if _, tooLong := errors.AsType[*http.MaxBytesError](err); tooLong {
		http.Error(w, "fault: has more than 64 KiB (write one fault)", http.StatusRequestEntityTooLarge)
		return
	} else if err != nil {
		http.Error(w, "fault: cannot be read: "+err.Error(), http.StatusBadRequest)
		return
	}
	f, err := c.p.parseFault(text)
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	n := c.meant(f)
	if n == 0 {
		http.Error(w, fmt.Sprintf("fault: no device %q has what %s befalls (status shows the profile)", f.Device+f.Group, f.Kind), http.StatusNotFound)
		return
	}
	now := c.r.now()
	f.At += Duration(now)
	c.do(w, operation{at: now, fault: f}, "set "+strings.Join(strings.Fields(string(text)), " "), n)
}

func (c *control) clear(w http.ResponseWriter, r *http.Request) {
	op := operation{at: c.r.now(), glob: r.URL.Query().Get("device"), kind: r.URL.Query().Get("kind")}
	n := 0
	for _, d := range c.devices {
		if matched, err := path.Match(op.glob, d.id); err == nil && matched {
			n++
		}
	}
	if n == 0 {
		http.Error(w, fmt.Sprintf("fault: there is no device %q (write an id or a glob: freezer-03, freezer-*)", op.glob), http.StatusNotFound)
		return
	}
	c.do(w, op, strings.TrimSpace("clear "+op.glob+" "+op.kind), n)
}

// do writes an operation down before it is done.
func (c *control) do(w http.ResponseWriter, op operation, did string, devices int) {
	if err := c.r.ledger.control(did); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	c.r.operations.add(op)
	c.r.Log.Info("control", "did", did, "devices", devices)
	reply(w, struct {
		Devices int `json:"devices"`
	}{devices})
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // to who is gone, nothing can be said
}

// parseFault reads a fault from the TOML of its table. One without a for lasts
// until it is cleared.
func (p *Profile) parseFault(text []byte) (*Fault, error) {
	f := &Fault{}
	c := checker{file: "fault", lines: make(map[string]int)}
	for key, line := range lines(text) {
		c.lines["fault."+key] = line
	}
	meta, err := toml.Decode(string(text), f)
	if err != nil {
		return nil, c.decodeError(err)
	}
	for _, key := range meta.Undecoded() {
		c.add("fault."+key.String(), "unknown key (a fault's are in the reference of profiles)")
	}
	f.complete()
	f.name = f.Kind
	if f.For == 0 && f.Kind != "reconnect" && f.Kind != "ota" && f.Kind != "brown-out" {
		f.For = forever
	}
	c.fault("fault", f, p)
	if err := c.err(); err != nil {
		return nil, err
	}
	return f, nil
}
