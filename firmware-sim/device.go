package sim

import (
	"fmt"
	"log/slog"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A device is one member of a fleet, and how far it has got.
type device struct {
	id, boot, topic string
	every           time.Duration // simulated
	offset          time.Duration // simulated time of the first reading
	quota           int           // how many readings it may take; 0: without limit
	sources         []*source     // by name
	values          []float64     // of the reading being taken, as sources
	model           []*watch
	taken           int
}

// A Sent is one message of one device.
type Sent struct {
	Device string
	Boot   string // changes when the device restarts, which begins seq again
	Seq    uint64 // from 1, in order
	Topic  string
	At     time.Time // the stamp in the payload
	// Payload is what was published.
	Payload []byte
	// Faults names what befalls the device at this reading.
	Faults []string
	// Expected is what must follow from this reading, if it was heard.
	Expected []Crossing
	Sent     time.Time // when it was first handed to the connection
	Acked    time.Time // when the broker acknowledged it; zero if it has not
}

func (d *device) more() bool { return d.quota == 0 || d.taken < d.quota }

// due is when the next reading falls due, in real time since the start.
func (d *device) due(speed float64) time.Duration { return d.dueAt(d.taken, speed) }

func (d *device) dueAt(n int, speed float64) time.Duration {
	return time.Duration(float64(d.simulated(n)) / speed)
}

func (d *device) simulated(n int) time.Duration {
	return d.offset + time.Duration(n)*d.every
}

// next takes the next reading.
func (d *device) next(o Options) Sent {
	t := d.simulated(d.taken)
	at := o.StartAt.Add(d.due(o.Speed)).UTC().Truncate(time.Millisecond)
	d.taken++
	m := Sent{Device: d.id, Boot: d.boot, Seq: uint64(d.taken), Topic: d.topic, At: at} // #nosec G115 -- a count
	d.read(t)
	m.Payload = d.payload(m)
	for i, s := range d.sources {
		for _, f := range s.faults {
			if f.active(t) {
				m.Faults = append(m.Faults, f.name)
			}
		}
		for _, w := range d.model {
			if w.metric == s.name {
				m.Expected = append(m.Expected, w.see(d.values[i], at)...)
			}
		}
	}
	return m
}

// read sets values: first the signals that lead, then those that follow one.
func (d *device) read(t time.Duration) {
	for _, following := range []bool{false, true} {
		for i, s := range d.sources {
			if (s.Follow != nil) != following {
				continue
			}
			other := 0.0
			if following {
				other = d.values[d.index(s.Follow.Signal)]
			}
			d.values[i] = s.at(t, d.every, other)
		}
	}
}

func (d *device) index(signal string) int {
	return slices.IndexFunc(d.sources, func(s *source) bool { return s.name == signal })
}

// payload writes the reading as JSON, and sets values to what a reader of that
// JSON sees: a limit is judged on what was sent.
func (d *device) payload(m Sent) []byte {
	b := make([]byte, 0, 64+32*len(d.sources))
	b = append(b, `{"ts":"`...)
	b = m.At.AppendFormat(b, stampFormat)
	b = append(b, `","seq":`...)
	b = strconv.AppendUint(b, m.Seq, 10)
	b = append(b, `,"boot":"`...)
	b = append(b, m.Boot...)
	b = append(b, '"')
	for i, s := range d.sources {
		b = append(append(b, ','), s.key...)
		begin := len(b)
		b = s.append(b, d.values[i])
		if v, err := strconv.ParseFloat(string(b[begin:]), 64); err == nil {
			d.values[i] = v
		}
	}
	return append(b, '}')
}

// stampFormat is RFC 3339 in milliseconds, UTC.
const stampFormat = "2006-01-02T15:04:05.000Z"

// devices makes the fleet that a run plays.
func (p *Profile) devices(o Options) ([]*device, error) {
	var all []*device
	fleets := make(map[string]string) // by id
	counts := p.counts(o.Devices)
	for name, f := range sorted(p.Fleets) {
		for n := range counts[name] {
			d := p.device(f, n+1, o.Seed)
			if other, taken := fleets[d.id]; taken {
				return nil, fmt.Errorf("device %s: fleet.%s and fleet.%s both make this id (change one of their ids)", d.id, other, name)
			}
			fleets[d.id] = name
			all = append(all, d)
		}
	}
	setQuotas(all, o)
	return slices.DeleteFunc(all, func(d *device) bool { return d.quota < 0 }), nil
}

func (p *Profile) device(f *Fleet, n int, seed uint64) *device {
	m := p.Models[f.Model]
	id := fmt.Sprintf(f.ID, n)
	own := hash(seed, id)
	topic, _ := expand(p.Topic, id, f.Vars)
	d := &device{
		id:     id,
		boot:   fmt.Sprintf("%016x", own),
		topic:  topic,
		every:  time.Duration(m.Every),
		offset: time.Duration(float64(f.Spread) * random(own, 0).Float64()),
		values: make([]float64, len(m.Signals)),
	}
	for name, s := range sorted(m.Signals) {
		d.sources = append(d.sources, newSource(name, s, seed, id, p.faults(id, name)))
	}
	for rule, e := range sorted(p.Expect) {
		if m.Signals[e.Metric] != nil {
			d.model = append(d.model, newWatch(rule, e))
		}
	}
	return d
}

func (p *Profile) faults(id, signal string) []*Fault {
	var own []*Fault
	for name, f := range sorted(p.Faults) {
		if matched, err := path.Match(f.Device, id); err == nil && matched && f.Signal == signal {
			named := *f
			named.name = name
			own = append(own, &named)
		}
	}
	return own
}

// warnIdleFaults tells of faults that befall nobody: a glob that misses, or a
// fleet made smaller than the profile has it.
func (p *Profile) warnIdleFaults(devices []*device, log *slog.Logger) {
	for name, f := range sorted(p.Faults) {
		if !slices.ContainsFunc(devices, func(d *device) bool {
			matched, err := path.Match(f.Device, d.id)
			return err == nil && matched
		}) {
			log.Warn("fault befalls no device", "fault", name, "device", f.Device)
		}
	}
}

// counts shares n devices among the fleets in proportion; 0: as the profile says.
func (p *Profile) counts(n int) map[string]int {
	total := 0
	for _, f := range p.Fleets {
		total += f.Count
	}
	if n == 0 {
		n = total
	}
	counts := make(map[string]int)
	before, given := 0, 0
	for name, f := range sorted(p.Fleets) {
		before += f.Count
		upTo := n * before / total
		counts[name] = upTo - given
		given = upTo
	}
	return counts
}

// setQuotas says how many readings each device takes, from the schedule alone:
// the same messages are sent however fast the broker is. A device that takes
// none gets a quota below zero.
func setQuotas(devices []*device, o Options) {
	if o.Duration == 0 && o.Limit == 0 {
		return
	}
	end := time.Duration(math.MaxInt64)
	if simulated := float64(o.Duration) * o.Speed; simulated > 0 && simulated < math.MaxInt64 {
		end = time.Duration(simulated)
	}
	spare := 0 // readings to give to those that fall due last
	if at := limited(devices, o.Limit); o.Limit > 0 && at <= end {
		end, spare = at-1, o.Limit
	}
	for _, d := range devices {
		d.quota = d.readings(end)
		spare -= d.quota
	}
	for _, d := range devices {
		if spare > 0 && d.readings(end+1) > d.quota {
			d.quota++
			spare--
		}
		if d.quota == 0 {
			d.quota = -1
		}
	}
}

// limited is the simulated time before which the fleet takes at least limit readings.
func limited(devices []*device, limit int) time.Duration {
	low, high := time.Duration(0), time.Duration(math.MaxInt64)
	for low < high {
		mid := low + (high-low)/2
		total := 0
		for _, d := range devices {
			total = min(limit, total+min(limit, d.readings(mid)))
		}
		if total >= limit {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low
}

// readings is how many the device takes before a simulated time.
func (d *device) readings(before time.Duration) int {
	if before <= d.offset {
		return 0
	}
	return int((before-d.offset-1)/d.every) + 1
}

// expand fills a topic template; missing is a name that nothing fills.
func expand(template, device string, vars map[string]string) (topic, missing string) {
	var b strings.Builder
	for rest := template; ; {
		before, after, found := strings.Cut(rest, "{")
		b.WriteString(before)
		if !found {
			return b.String(), missing
		}
		name, tail, _ := strings.Cut(after, "}")
		switch value, known := vars[name]; {
		case name == "device":
			b.WriteString(device)
		case known:
			b.WriteString(value)
		default:
			missing = name
		}
		rest = tail
	}
}
