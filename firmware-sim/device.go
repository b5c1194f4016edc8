package sim

import (
	"fmt"
	"slices"
	"time"

	"tocsin/firmware-sim/payload"
)

// A device is one member of a fleet, and how far it has got. It is a function of
// seed, profile and what an operator does: nothing that happens to its messages
// reaches it.
type device struct {
	id, group string
	own       uint64 // its seed
	model     *Model
	encoder   *payload.Encoder
	listens   listens

	every   time.Duration // simulated
	offset  time.Duration // simulated time of the reading that base counts from
	base    int           // readings taken when every was changed last
	quota   int           // how many readings it may take; 0: without limit
	taken   int
	sources []*source // by name
	values  []float64 // what is there, as sources
	watches []*watch
	faults  []*Fault
	acted   []time.Duration // up to when the edges of each fault are done

	boot     string
	boots    uint64
	seq      uint64
	firmware string
	reading  payload.Reading // the last one, for births that repeat it
	latest   time.Duration   // when the last message was due
	dead     bool            // the battery is empty
	untold   []Crossing      // of readings that no message was made of
}

// A Sent is one message of one device.
type Sent struct {
	Device string
	Boot   string // changes when the device restarts, which begins seq again
	Seq    uint64 // from 1, in order
	Copy   int    // above 0: a fault sends the same again
	Topic  string
	At     time.Time // the stamp in the payload; without one, when the reading was due
	// Payload is what was published.
	Payload []byte
	// Faults names what befalls the device at this reading.
	Faults []string
	// Expected is what must follow from this reading, if it was heard.
	Expected []Crossing
	Sent     time.Time // when it was first handed to the connection
	Acked    time.Time // when the broker acknowledged it; zero if it has not

	loseAck bool // its acknowledgement must not arrive the first time
}

// A step is what a device does next.
type step struct {
	at   time.Duration // simulated time at which it is due
	held bool          // for want of a connection; it goes at once when that comes early
	cut  bool          // the connection breaks first, without a goodbye
	// silent leaves it open, and nothing passes any more.
	silent bool
	try    *Fault // how to connect in vain; nil: not at all
	dial   bool   // and a new one is made, even if there is nothing to say
	sent   []Sent
	// after is done last; nil: nothing.
	after *step
}

func (d *device) more() bool { return d.quota == 0 || d.taken < d.quota }

// simulated is when the n-th reading falls due, from 0.
func (d *device) simulated(n int) time.Duration {
	return d.offset + time.Duration(n-d.base)*d.every
}

// real is a simulated time in real time since the start.
func (o *Options) real(t time.Duration) time.Duration {
	return time.Duration(float64(t) / o.Speed)
}

// due is when the next step falls due, in simulated time.
func (d *device) due() time.Duration {
	t := d.simulated(d.taken)
	if e, _ := d.edge(); e.f != nil {
		return min(t, e.at)
	}
	return t
}

// edge is the next thing that a fault makes the device do between readings.
func (d *device) edge() (next edge, of int) {
	for i, f := range d.faults {
		if e, ok := f.next(d.acted[i]); ok && (next.f == nil || e.at < next.at) {
			next, of = e, i
		}
	}
	return next, of
}

// next takes the next step.
func (d *device) next(o Options) step {
	t := d.simulated(d.taken)
	if e, i := d.edge(); e.f != nil && e.at <= t {
		d.acted[i] = e.at
		return d.act(e, o)
	}
	swap := (d.quota == 0 || d.taken+1 < d.quota) && d.befalls("reorder", t) != nil
	s := d.take(t, o, swap)
	if swap {
		t = d.simulated(d.taken)
		late := s.sent
		s = d.take(t, o, false)
		s.sent = append(s.sent, late...)
	}
	return d.release(s, t)
}

// befalls is the fault of a kind that hits the reading at t, or nil.
func (d *device) befalls(kind string, t time.Duration) *Fault {
	for _, f := range d.faults {
		if f.Kind == kind && f.hits(t) {
			return f
		}
	}
	return nil
}

// off reports whether the device has no power.
func (d *device) off(t time.Duration) bool { return d.dead || d.befalls("power-cut", t) != nil }

// take takes the next reading. Late is one that arrives after the one behind it:
// nothing new follows from it.
func (d *device) take(t time.Duration, o Options, late bool) step {
	d.taken++
	d.read(t)
	s := step{at: t}
	if drain := d.drained(t); !d.dead && slices.ContainsFunc(d.sources, func(s *source) bool { return s.empty(t, drain) }) {
		d.dead, s.cut = true, true
	}
	if d.off(t) || d.forgets(t) {
		return s
	}
	at := o.StartAt.Add(o.real(t)).UTC().Truncate(d.precision())
	r := payload.Reading{Seq: d.seq + 1, Boot: d.boot, Fields: make([]payload.Field, 0, len(d.sources)+1)}
	stamp, trusted := d.clock(t, at, o)
	r.At = stamp
	expected := make([][]Crossing, 0, len(d.sources)+1) // of each field
	for i, source := range d.sources {
		f, reads, ok := source.measured(d.values[i], t)
		if !trusted {
			reads = max(reads, unclear)
		}
		var told []Crossing
		if !late {
			told = d.judge(source.name, f.Num, reads, at, stamp)
		}
		if ok {
			r.Fields, expected = append(r.Fields, f), append(expected, told)
		} else {
			d.untold = append(d.untold, told...)
		}
	}
	if d.firmware != "" {
		r.Fields = append(r.Fields, payload.Field{Name: "fw", Kind: payload.Text, Text: d.firmware})
	}
	if d.encoder.Counts() {
		d.reading = r
	}
	s.sent = d.messages(d.encoder.Reading(r), at, stamp)
	d.expect(s.sent, expected)
	for i := range s.sent {
		s.sent[i].Faults = d.named(t)
	}
	return d.repeated(s, t)
}

// expect writes what must follow from each field on the message that tells it.
func (d *device) expect(sent []Sent, told [][]Crossing) {
	if len(sent) == 0 {
		return
	}
	sent[0].Expected, d.untold = d.untold, nil
	for i, t := range told {
		if len(t) > 0 {
			m := &sent[min(i, len(sent)-1)] // a scalar has one for each field, all others one
			m.Expected = append(m.Expected, t...)
		}
	}
}

// messages numbers what was encoded.
func (d *device) messages(all []payload.Message, at, stamp time.Time) []Sent {
	if stamp.IsZero() {
		stamp = at
	}
	sent := make([]Sent, 0, len(all))
	for _, m := range all {
		d.seq++
		sent = append(sent, Sent{Device: d.id, Boot: d.boot, Seq: d.seq, Topic: m.Topic, At: stamp, Payload: m.Payload})
	}
	return sent
}

// repeated adds what faults of the connection make of messages.
func (d *device) repeated(s step, t time.Duration) step {
	if len(s.sent) == 0 {
		return s
	}
	s.sent[0].loseAck = d.befalls("lost-ack", t) != nil
	if d.befalls("duplicate", t) != nil {
		for _, m := range slices.Clone(s.sent) {
			m.Copy, m.Expected, m.loseAck = 1, nil, false
			s.sent = append(s.sent, m)
		}
	}
	return s
}

// named are the faults that a reading is taken under.
func (d *device) named(t time.Duration) []string {
	var all []string
	for _, f := range d.faults {
		if f.active(t) {
			all = append(all, f.name)
		}
	}
	return all
}

// precision is how exact a stamp is: that of the payload, if it has one.
func (d *device) precision() time.Duration {
	return max(time.Millisecond, payload.Stamp(d.model.Format))
}

// clock is what the device takes for the time, zero if it has none, and whether
// that is right.
func (d *device) clock(t time.Duration, at time.Time, o Options) (stamp time.Time, trusted bool) {
	stamp, trusted = at, true
	if d.model.Format == "ttn" {
		return stamp, true // the gateway's clock
	}
	for _, f := range d.faults {
		if !f.active(t) {
			continue
		}
		switch f.Kind {
		case "skew":
			stamp, trusted = stamp.Add(f.clockError(t)), false
		case "epoch":
			since, _ := f.since(t)
			stamp, trusted = time.Unix(0, 0).UTC().Add(o.real(since)), false
		case "no-clock":
			return time.Time{}, false
		}
	}
	return stamp.Truncate(d.precision()), trusted
}

// judge asks the model what must follow from a value.
func (d *device) judge(signal string, v float64, reads sense, at, stamp time.Time) (told []Crossing) {
	for _, w := range d.watches {
		switch {
		case w.metric != signal:
		case reads == useless || w.outside(v):
			told = append(told, w.miss(at)...)
		case reads == unclear:
			told = append(told, w.doubt(earlier(at, stamp), later(at, stamp))...)
		default:
			told = append(told, w.see(v, at)...)
		}
	}
	return told
}

// believable is how far from the truth a reader may take a stamp for one.
const believable = 48 * time.Hour

func earlier(at, stamp time.Time) time.Time {
	if stamp.Before(at) && at.Sub(stamp) < believable {
		return stamp
	}
	return at
}

func later(at, stamp time.Time) time.Time {
	if stamp.After(at) && stamp.Sub(at) < believable {
		return stamp
	}
	return at
}

// forgets reports whether a reading is not kept until there is a connection.
func (d *device) forgets(t time.Duration) bool {
	return slices.ContainsFunc(d.faults, func(f *Fault) bool {
		return f.away() && f.active(t) && f.Keep != nil && f.lasts() < forever && f.ends(t)-t > time.Duration(*f.Keep)*d.every
	})
}

// away reports whether a fault leaves the device without a connection.
func (d *device) away(t time.Duration) bool {
	return slices.ContainsFunc(d.faults, func(f *Fault) bool { return f.away() && f.active(t) })
}

// trying is the fault under which the device connects in vain, or nil.
func (d *device) trying(t time.Duration) *Fault {
	i := slices.IndexFunc(d.faults, func(f *Fault) bool { return f.try() && f.active(t) })
	if i < 0 || d.off(t) {
		return nil
	}
	return d.faults[i]
}

// release says when what a step has to say leaves: late where the network is slow
// or away, and never before what was said before it.
func (d *device) release(s step, t time.Duration) step {
	for _, f := range d.faults {
		if f.away() && f.active(t) {
			s.at, s.held = max(s.at, f.ends(t)), true
		}
	}
	if f := faulty(d.faults, "slow", t); f != nil {
		s.at += time.Duration(float64(f.Delay) * uniform(f.drawn, moment(t)))
	}
	if len(s.sent) == 0 {
		s.at, s.held = t, false
		return s
	}
	s.at = max(s.at, d.latest)
	d.latest = s.at
	return s
}

// act does what a fault asks for between readings.
func (d *device) act(e edge, o Options) step {
	s := step{at: e.at}
	last := e.part > 0
	switch e.f.Kind {
	case "half-open":
		s.silent, s.dial = !last, last
	case "certificate", "distrust":
		s.cut, s.dial = !last, last
		if !last && !d.off(e.at) {
			s.try = e.f
		}
	case "offline", "power-cut":
		s.cut, s.dial = !last, last
		if last && e.f.Kind == "power-cut" {
			d.restart()
		}
	case "reconnect":
		s.cut, s.dial = !last, last || e.f.Jitter == 0
	case "brown-out":
		d.restart()
		s.cut, s.dial = true, true
	case "ota":
		if !d.off(e.at) {
			s = d.update(e, o, s)
		}
	}
	s.dial = s.dial && !d.off(e.at) && !d.away(e.at)
	return d.release(s, e.at)
}

// update goes on with a new firmware.
func (d *device) update(e edge, o Options, s step) step {
	state := "downloading"
	switch {
	case e.part == 0:
		state = "announced"
	case e.part == otaSteps:
		state, d.firmware = "installed", e.f.Version
	case e.part > otaSteps:
		state, d.firmware = "rolled_back", d.model.Firmware
	}
	if e.part >= otaSteps {
		d.restart()
		s.cut, s.dial = true, true
	}
	at := o.StartAt.Add(o.real(e.at)).UTC().Truncate(d.precision())
	stamp, _ := d.clock(e.at, at, o)
	p := payload.Progress{
		Reading: payload.Reading{Seq: d.seq + 1, Boot: d.boot, At: stamp},
		State:   state, Percent: min(100, e.part*100/otaSteps), Version: e.f.Version,
	}
	s.sent = d.messages(d.encoder.Progress(p), at, stamp)
	return s
}

// restart makes the device boot: another id, and numbers from 1.
func (d *device) restart() {
	d.boots++
	d.boot = bootID(d.own, d.boots)
	d.seq = 0
}

func bootID(own, boots uint64) string {
	if boots > 0 {
		own = hash(own, "boot", fmt.Sprint(boots))
	}
	return fmt.Sprintf("%016x", own)
}
