package sim

import (
	"cmp"
	"crypto/tls"
	"math"
	"slices"
	"time"
)

// A Fault is what goes wrong with the devices that match, from At on for For.
// Kind says what; which of the other keys it needs and takes is in kinds.
type Fault struct {
	name    string
	cleared *time.Duration // simulated time from which it is no more
	drawn   uint64         // seed of what it draws at this device
	pair    *tls.Certificate

	Kind   string   `toml:"kind"`   // default: offset where add is given, set where set is
	Device string   `toml:"device"` // an id or a glob
	Group  string   `toml:"group"`  // instead: FLEET/NUMBER or a glob, a group that fails together
	Share  float64  `toml:"share"`  // of the devices that match, drawn by seed; 0: all
	Spread Duration `toml:"spread"` // it begins at random within it; 0: everywhere at once
	Signal string   `toml:"signal"`
	At     Duration `toml:"at"`
	For    Duration `toml:"for"`
	Repeat Duration `toml:"repeat"` // again and again after this time; 0: once

	Add     *float64 `toml:"add"`     // offset: added to the signal; drift: in each hour; spikes: by up to
	Over    Duration `toml:"over"`    // offset, skew: rising to it in this time
	Recover Duration `toml:"recover"` // offset: and falling back in this time, after For
	Set     *float64 `toml:"set"`     // set, out-of-range: the signal has this value
	Chance  float64  `toml:"chance"`  // spikes, duplicate, reorder, lost-ack: of each reading; 0: 1
	Word    string   `toml:"word"`    // text: what is sent; default: unavailable
	Unit    string   `toml:"unit"`    // unit: what it becomes; default: °F
	Gain    float64  `toml:"gain"`    // unit: times this; default: 1.8, and 32 added
	Every   Duration `toml:"every"`   // brown-out: from one boot to the next; certificate, distrust: attempt, default 10s
	Factor  float64  `toml:"factor"`  // drain: so many times as fast
	Ahead   Duration `toml:"ahead"`   // skew: the clock is fast by this
	Behind  Duration `toml:"behind"`  // skew: or slow
	Delay   Duration `toml:"delay"`   // slow: messages take up to this long
	Bytes   float64  `toml:"bytes"`   // trickle: so many pass in a second
	Cert    string   `toml:"cert"`    // certificate: the file that the device shows; beside the profile
	Key     string   `toml:"key"`     // certificate: and that of its key
	Keep    *int     `toml:"keep"`    // offline and the like: so many readings are kept; default: all
	Jitter  Duration `toml:"jitter"`  // reconnect: within this time; 0: all at once
	Version string   `toml:"version"` // ota: of the new firmware
	Fails   bool     `toml:"fails"`   // ota: it is rolled back
}

// An aspect is what of a device a kind of fault touches.
type aspect uint8

const (
	ofSignal aspect = iota // one signal
	ofDevice               // the device itself
	ofClock
	ofConnection
)

// A kind of fault.
type kind struct {
	aspect
	about string
	needs []string // keys, beside device or group, and signal where one is touched
	takes []string // keys that may be given
}

// kinds are all there are, by name.
func kinds() map[string]kind {
	return map[string]kind{
		"offset":       {ofSignal, "add is added, rising over over, falling back in recover", []string{"add"}, []string{"over", "recover"}},
		"set":          {ofSignal, "the signal has the value set", []string{"set"}, nil},
		"stuck":        {ofSignal, "the value that it had stays", nil, nil},
		"drift":        {ofSignal, "strays by add in each hour", []string{"add"}, nil},
		"spikes":       {ofSignal, "jumps by up to add in chance of the readings", []string{"add"}, []string{"chance"}},
		"out-of-range": {ofSignal, "sends set, beyond what the sensor can measure", []string{"set"}, nil},
		"unit":         {ofSignal, "sends another unit: gain times the value (default: °F)", nil, []string{"unit", "gain", "add"}},
		"nan":          {ofSignal, "sends a number that is none", nil, nil},
		"null":         {ofSignal, "sends null", nil, nil},
		"missing":      {ofSignal, "leaves the signal out", nil, nil},
		"text":         {ofSignal, "sends a word instead of the number", nil, []string{"word"}},

		"power-cut": {ofDevice, "the device is off, and boots after for", nil, nil},
		"brown-out": {ofDevice, "boots again and again, each every", []string{"every"}, nil},
		"drain":     {ofDevice, "the battery empties factor times as fast", []string{"factor"}, nil},
		"ota":       {ofDevice, "downloads version during for and boots with it; with fails it is rolled back", []string{"version"}, []string{"fails"}},

		"skew":     {ofClock, "the clock is ahead or behind, getting there over over", nil, []string{"ahead", "behind", "over"}},
		"epoch":    {ofClock, "the clock begins again at 1970", nil, nil},
		"no-clock": {ofClock, "payloads carry no time", nil, nil},

		"offline":     {ofConnection, "no connection; what was kept is sent after it, with its old time", nil, []string{"keep"}},
		"half-open":   {ofConnection, "nothing passes, and the connection stays open until the broker's patience ends", nil, []string{"keep"}},
		"certificate": {ofConnection, "shows the broker a certificate that it has to refuse, of the files cert and key", []string{"cert", "key"}, []string{"every", "keep"}},
		"distrust":    {ofConnection, "trusts no broker, so there is no connection", nil, []string{"every", "keep"}},
		"trickle":     {ofConnection, "so many bytes pass in a second", []string{"bytes"}, nil},
		"slow":        {ofConnection, "messages take up to delay", []string{"delay"}, nil},
		"duplicate":   {ofConnection, "chance of the messages are sent twice", nil, []string{"chance"}},
		"reorder":     {ofConnection, "chance of the readings change places with the next", nil, []string{"chance"}},
		"lost-ack":    {ofConnection, "the connection breaks before the acknowledgement, so it is sent again as DUP", nil, []string{"chance"}},
		"reconnect":   {ofConnection, "connections break and come back, all at once or within jitter", nil, []string{"jitter"}},
	}
}

// forever is longer than anything is played.
const forever = Duration(math.MaxInt64 / 4)

// since is how long ago the fault last began, and whether it ever did.
func (f *Fault) since(t time.Duration) (time.Duration, bool) {
	since := t - time.Duration(f.At)
	if since > 0 && f.Repeat > 0 {
		since %= time.Duration(f.Repeat)
	}
	return since, since >= 0 && (f.cleared == nil || t < *f.cleared)
}

// active reports whether the fault lasts; recovery is after it.
func (f *Fault) active(t time.Duration) bool {
	since, begun := f.since(t)
	return begun && since < time.Duration(f.lasts())
}

func (f *Fault) lasts() Duration {
	if f.For == 0 {
		return forever
	}
	return f.For
}

// ends is when the occurrence that is under way at t is over.
func (f *Fault) ends(t time.Duration) time.Duration {
	since, _ := f.since(t)
	end := t - since + time.Duration(f.lasts())
	if f.cleared != nil {
		return min(end, *f.cleared)
	}
	return end
}

// offset is what an offset fault adds.
func (f *Fault) offset(t time.Duration) float64 {
	since, begun := f.since(t)
	if f.Add == nil || !begun {
		return 0
	}
	after := since - time.Duration(f.lasts())
	switch {
	case since < time.Duration(f.Over):
		return *f.Add * float64(since) / float64(f.Over)
	case after < 0:
		return *f.Add
	case after < time.Duration(f.Recover):
		return *f.Add * (1 - float64(after)/float64(f.Recover))
	}
	return 0
}

// hits draws whether a reading is one of those that the fault befalls.
func (f *Fault) hits(t time.Duration) bool {
	if !f.active(t) {
		return false
	}
	return f.Chance == 0 || uniform(f.drawn, uint64(t)) < f.Chance // #nosec G115 -- a seed
}

// lasted is for how much of the time up to t the fault has been active.
func (f *Fault) lasted(t time.Duration) time.Duration {
	if f.cleared != nil {
		t = min(t, *f.cleared)
	}
	since := t - time.Duration(f.At)
	if since <= 0 {
		return 0
	}
	if f.Repeat == 0 {
		return min(since, time.Duration(f.lasts()))
	}
	rounds := since / time.Duration(f.Repeat)
	return rounds*time.Duration(f.lasts()) + min(since%time.Duration(f.Repeat), time.Duration(f.lasts()))
}

// clockError is how far the fault puts the device's clock ahead.
func (f *Fault) clockError(t time.Duration) time.Duration {
	since, _ := f.since(t)
	by := time.Duration(f.Ahead - f.Behind)
	if since < time.Duration(f.Over) {
		return time.Duration(float64(by) * float64(since) / float64(f.Over))
	}
	return by
}

// An edge is a moment at which a fault makes the device do something between
// its readings.
type edge struct {
	at   time.Duration
	f    *Fault
	part int // of the occurrence, from 0
}

const otaSteps = 10 // of a download

// away reports whether the fault leaves a device without a connection.
func (f *Fault) away() bool { return f.Kind == "offline" || f.Kind == "half-open" || f.try() }

// try reports whether it connects in vain.
func (f *Fault) try() bool { return f.Kind == "certificate" || f.Kind == "distrust" }

// again is when it connects in vain the next time.
func (f *Fault) again(after time.Duration) time.Duration {
	every := time.Duration(cmp.Or(f.Every, Duration(10*time.Second)))
	since, _ := f.since(after)
	return after - since + (since/every+1)*every
}

// parts is when, after its beginning, an occurrence makes the device act.
func (f *Fault) parts() []time.Duration {
	length := time.Duration(f.For)
	switch f.Kind {
	case "offline", "half-open", "certificate", "distrust", "power-cut":
		if length == 0 {
			return []time.Duration{0}
		}
		return []time.Duration{0, length}
	case "reconnect":
		return []time.Duration{0, time.Duration(float64(f.Jitter) * uniform(f.drawn, 0))}
	case "brown-out":
		var all []time.Duration
		for at := time.Duration(0); at < time.Duration(f.lasts()) && len(all) < 10_000; at += time.Duration(f.Every) {
			all = append(all, at)
		}
		return all
	case "ota":
		var all []time.Duration
		for n := range otaSteps + 1 {
			all = append(all, length*time.Duration(n)/otaSteps)
		}
		if f.Fails {
			all = append(all, length+length/5)
		}
		return all
	}
	return nil
}

// next is the fault's first edge after a moment.
func (f *Fault) next(after time.Duration) (edge, bool) {
	round := time.Duration(0)
	if f.Repeat > 0 && after > time.Duration(f.At) {
		round = max(0, (after-time.Duration(f.At))/time.Duration(f.Repeat)-1) // parts of the one before may be due yet
	}
	for range 3 {
		begin := time.Duration(f.At) + round*time.Duration(f.Repeat)
		for i, part := range f.parts() {
			if at := begin + part; at > after && (f.cleared == nil || at <= *f.cleared) {
				return edge{at, f, i}, true
			}
		}
		if round++; f.Repeat == 0 {
			break
		}
	}
	return edge{}, false
}

// faulty returns the fault of a kind that is under way at t, or nil.
func faulty(faults []*Fault, kind string, t time.Duration) *Fault {
	i := slices.IndexFunc(faults, func(f *Fault) bool { return f.Kind == kind && f.active(t) })
	if i < 0 {
		return nil
	}
	return faults[i]
}

// uniform draws a number from 0 to 1 that depends on nothing but a and b
// (splitmix64).
func uniform(a, b uint64) float64 {
	z := a + (b+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return float64((z^z>>31)>>11) / (1 << 53)
}
