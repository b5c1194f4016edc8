package sim

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/firmware-sim/payload"
)

// devices makes the fleet that a run plays.
func (p *Profile) devices(o Options) ([]*device, error) {
	var all []*device
	fleets := make(map[string]string) // by id
	counts := p.counts(o.Devices)
	for name := range sorted(p.Fleets) {
		for n := range counts[name] {
			d, err := p.device(name, n+1, o.Seed)
			if err != nil {
				return nil, err
			}
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

func (p *Profile) device(fleet string, n int, seed uint64) (*device, error) {
	f := p.Fleets[fleet]
	m := p.Models[f.modelOf(n)]
	id := fmt.Sprintf(f.ID, n)
	own := hash(seed, id)
	d := &device{
		id:       id,
		own:      own,
		model:    m,
		boot:     bootID(own, 0),
		every:    time.Duration(m.Every),
		offset:   time.Duration(float64(f.Spread) * random(own, 0).Float64()),
		values:   make([]float64, len(m.Signals)),
		firmware: m.Firmware,
	}
	vars := map[string]string{"device": id}
	if f.Groups > 0 {
		d.group = fleet + "/" + strconv.Itoa((n-1)%f.Groups+1)
		vars["group"] = strconv.Itoa((n-1)%f.Groups + 1)
	}
	maps.Copy(vars, f.Vars)
	o := payload.Options{Format: m.Format, Device: id, Vars: vars, Every: d.every}
	o.Topic, _ = payload.Expand(m.Topic, vars)
	o.Status, _ = payload.Expand(m.Status, vars)
	o.Events, _ = payload.Expand(m.Events, vars)
	d.listens.config, _ = payload.Expand(m.Config, vars)
	d.listens.command, _ = payload.Expand(m.Command, vars)
	d.listens.reply, _ = payload.Expand(m.Reply, vars)
	for name, s := range sorted(m.Signals) {
		src := newSource(name, s, seed, id)
		d.sources = append(d.sources, src)
		o.Fields = append(o.Fields, src.field(0, s.Unit))
	}
	encoder, err := payload.New(o)
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", id, err)
	}
	d.encoder = encoder
	for _, f := range sorted(p.Faults) {
		if f.befalls(d) {
			d.suffer(f, -1)
		}
	}
	for rule, e := range sorted(p.Expect) {
		if m.Signals[e.Metric] != nil {
			w := newWatch(rule, e)
			if payload.Stamp(m.Format) == 0 {
				w.slack = Duration(arrives)
			}
			d.watches = append(d.watches, w)
		}
	}
	return d, nil
}

// modelOf is the model of the n-th device of a fleet: that of all, or one of a
// mix, dealt out as evenly as their weights allow.
func (f *Fleet) modelOf(n int) string {
	if len(f.Mix) == 0 {
		return f.Model
	}
	total := 0
	for _, weight := range f.Mix {
		total += weight
	}
	at := (n - 1) % total
	for name, weight := range sorted(f.Mix) {
		if at -= weight; at < 0 {
			return name
		}
	}
	return f.Model
}

// befalls reports whether a device is one of those that a fault is meant for.
func (f *Fault) befalls(d *device) bool {
	if f.Signal != "" && d.model.Signals[f.Signal] == nil {
		return false
	}
	glob, name := f.Device, d.id
	if f.Group != "" {
		glob, name = f.Group, d.group
	}
	if matched, err := path.Match(glob, name); err != nil || !matched {
		return false
	}
	if f.Share == 0 {
		return true
	}
	drawn := d.own
	if f.Group != "" {
		drawn = hash(0, d.group) // groups fail together
	}
	return uniform(hash(drawn, f.name), 0) < f.Share
}

// suffer makes a fault one of the device's, its edges up to a moment done.
func (d *device) suffer(f *Fault, done time.Duration) {
	own := *f
	own.drawn = hash(d.own, f.name)
	if f.Spread > 0 {
		own.At += Duration(float64(f.Spread) * uniform(own.drawn, 1<<32))
	}
	d.faults, d.acted = append(d.faults, &own), append(d.acted, done)
	for _, s := range d.sources {
		if s.name == own.Signal {
			s.faults = append(s.faults, &own)
		}
	}
}

// warnIdleFaults tells of faults that befall nobody: a glob that misses, or a
// fleet made smaller than the profile has it.
func (p *Profile) warnIdleFaults(devices []*device, o Options) {
	for name, f := range sorted(p.Faults) {
		if f.try() && !strings.HasPrefix(o.Broker, "mqtts:") {
			o.Log.Warn("fault shows certificates to a broker that asks for none: only the connection is away (use mqtts://)", "fault", name)
		}
		if !slices.ContainsFunc(devices, f.befalls) {
			o.Log.Warn("fault befalls no device", "fault", name, "device", cmp.Or(f.Device, f.Group))
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
