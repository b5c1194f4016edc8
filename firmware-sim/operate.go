package sim

import (
	"encoding/json"
	"path"
	"sync"
	"time"

	"tocsin/firmware-sim/payload"
)

// listens are the topics on which a device is told what to do, and the one on
// which it answers. Empty: none.
type listens struct{ config, command, reply string }

// An operation is what an operator does to devices while they are played: it
// adds a fault, or ends those that are under way.
type operation struct {
	at    time.Duration // simulated
	fault *Fault        // nil: clear
	glob  string        // of devices, to clear
	kind  string        // of faults to clear; empty: every
}

// operations are all there were. The zero value has none.
type operations struct {
	mu   sync.Mutex
	all  []operation
	wake chan struct{} // closed when there is another; nil: nobody waits
}

func (o *operations) add(op operation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, op)
	if o.wake != nil {
		close(o.wake)
		o.wake = nil
	}
}

// changed is closed when another comes.
func (o *operations) changed() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.wake == nil {
		o.wake = make(chan struct{})
	}
	return o.wake
}

// since returns those that a device has not gone through.
func (o *operations) since(done *int) []operation {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.all[*done:]
	*done = len(o.all)
	return all
}

// undergo makes an operation the device's.
func (d *device) undergo(op operation) step {
	s := step{at: op.at}
	if op.fault != nil {
		if op.fault.befalls(d) {
			d.suffer(op.fault, op.at-1)
		}
		return s
	}
	if matched, err := path.Match(op.glob, d.id); err != nil || !matched {
		return s
	}
	for _, f := range d.faults {
		if f.active(op.at) && op.clears(f) {
			f.cleared = &op.at
			if f.Kind == "power-cut" && !d.off(op.at) {
				d.restart()
			}
			s.dial = s.dial || f.Kind == "power-cut" || f.away()
		}
	}
	s.dial = s.dial && !d.off(op.at) && !d.away(op.at)
	d.latest = min(d.latest, op.at) // nothing waits for longer any more
	return s
}

// clears reports whether a fault is of the kind, or of the name, that is cleared.
func (op operation) clears(f *Fault) bool {
	return op.kind == "" || op.kind == f.Kind || op.kind == f.name
}

// An order is what a device can be told, on either topic.
type order struct {
	ID    string   `json:"id,omitempty"`
	Do    string   `json:"do,omitempty"` // ping, reboot
	Every Duration `json:"every,omitzero"`
}

// An answer says what came of it.
type answer struct {
	TS   *time.Time `json:"ts,omitempty"`
	Seq  uint64     `json:"seq"`
	Boot string     `json:"boot"`
	order
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

// shortestEvery is the shortest interval that a device can be told to report in.
const shortestEvery = Duration(10 * time.Millisecond)

// obey does what a device is told, and answers.
func (d *device) obey(topic string, text []byte, now time.Duration, o Options) step {
	s := step{at: now}
	at := o.StartAt.Add(o.real(now)).UTC().Truncate(time.Millisecond)
	stamp, _ := d.clock(now, at, o)
	a := answer{Seq: d.seq + 1, Boot: d.boot, OK: true}
	if !stamp.IsZero() {
		a.TS = &stamp
	}
	switch err := json.Unmarshal(text, &a.order); {
	case err != nil:
		a.OK, a.Error = false, "not an object with the keys id, do and every"
	case topic == d.listens.config && a.Every < shortestEvery:
		a.OK, a.Error = false, `every is missing or shorter than 10ms`
	case topic == d.listens.config:
		d.every, d.base, d.offset = time.Duration(a.Every), d.taken, now+time.Duration(a.Every)
	case a.Do == "reboot":
		s.after = &step{at: now, cut: true, dial: true}
	case a.Do != "ping":
		a.OK, a.Error = false, "there is nothing to do but ping and reboot"
	}
	body, err := json.Marshal(a)
	if err != nil {
		return s // its parts all have a JSON form
	}
	s.sent = d.messages([]payload.Message{{Topic: d.listens.reply, Payload: body}}, at, stamp)
	if s.after != nil {
		d.restart()
	}
	return s
}
