package rules_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the machine that tests need not have zones

	"github.com/BurntSushi/toml"

	"tocsin/rules"
	"tocsin/rules/ruletest"
)

// A moment is one input of a recorded stream, and what disturbs the engine just
// before it.
type moment struct {
	in      rules.Input
	ticks   []time.Time
	restart bool
	reload  bool
}

// streamFile is the rule file of the stream. Compiled again, it is the same.
func streamFile(t testing.TB) (*rules.File, *rules.Program) {
	t.Helper()
	f := new(rules.File)
	meta, err := toml.DecodeFile("testdata/stream.toml", f)
	if err != nil || len(meta.Undecoded()) > 0 {
		t.Fatalf("%v, unknown keys %v", err, meta.Undecoded())
	}
	p, problems := rules.Compile(f)
	if p == nil {
		t.Fatalf("refused: %v", problems)
	}
	return f, p
}

// A sender is a device as the generator sees it.
type sender struct {
	id       string
	source   string
	labels   map[string]string
	clock    rules.Clock
	skew     time.Duration
	every    time.Duration
	next     time.Time
	away     time.Time // until then it says nothing
	keeps    bool      // and reports what it measured meanwhile
	kept     []rules.Sample
	warm     float64
	power    float64
	humidity float64
	meter    float64
	door     string
	last     []rules.Sample // of its last message
	restless int            // so many readings go up and down
	sent     int            // messages
}

// A generator makes a stream of inputs, the same for a seed.
type generator struct {
	*rand.Rand
	now     time.Time
	devices []*sender
	down    map[string]bool
	samples int
	shelved []string // keys
	stream  []moment
}

// recordStream is what a fleet of fifty devices and its people do, with all that
// goes wrong, until about so many readings have come.
func recordStream(seed uint64, samples int) []moment {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 1)), now: origin, down: map[string]bool{}}
	for i := range 50 {
		d := &sender{
			id: fmt.Sprintf("d%02d", i), source: []string{"plant", "office"}[i%2], warm: -20, power: 400, humidity: 50, door: "closed",
			every: []time.Duration{20 * time.Second, time.Minute, time.Minute, 2 * time.Minute}[i%4], next: origin.Add(time.Duration(i) * time.Second),
			keeps: i%3 == 0,
		}
		if i%5 != 0 {
			d.clock = rules.ClockDevice
		}
		if i > 2 {
			d.labels = map[string]string{"site": []string{"lyon", "paris"}[i/3%2], "room": fmt.Sprint("room-", i%7)}
		}
		g.devices = append(g.devices, d)
	}
	g.devices = append(g.devices, &sender{id: "gw-1", source: "plant", every: 30 * time.Second, next: origin, power: 100, warm: -20, humidity: 50, door: "closed"})
	for _, source := range []string{"plant", "office"} {
		g.add(rules.Input{Link: &rules.Link{Source: source, Connected: true}})
	}
	for g.samples < samples {
		g.turn()
	}
	g.now = g.now.Add(3 * time.Hour)
	g.add(rules.Input{})
	return g.stream
}

func (g *generator) add(in rules.Input) {
	in.Now = g.now
	g.stream = append(g.stream, moment{in: in})
}

func (g *generator) chance(of float64) bool { return g.Float64() < of }

// turn is the next message of the device whose turn it is, and what happens
// beside it.
func (g *generator) turn() {
	d := slices.MinFunc(g.devices, func(a, b *sender) int { return a.next.Compare(b.next) })
	if d.next.After(g.now) {
		g.now = d.next
	}
	d.next = d.next.Add(d.every + time.Duration(g.IntN(4000)-2000)*time.Millisecond)
	if g.chance(0.003) {
		d.next = d.next.Add(-d.every + time.Millisecond) // twice at once
	}
	if g.chance(0.05) {
		g.aside()
	}
	d.live(g.Rand)
	list := g.measure(d)
	switch {
	case g.down[d.source]:
		return
	case g.now.Before(d.away):
		if d.keeps {
			d.kept = append(d.kept, list...)
		}
		return
	case len(d.kept) > 0:
		list = append(d.kept, list...)
		d.kept = nil
		g.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		for i := range list {
			list[i].Received = g.now
			if g.chance(0.3) {
				list[i].Flags |= rules.Historical
			}
		}
	case g.chance(0.004):
		d.away = g.now.Add(time.Duration(g.IntN(25)+2) * time.Minute)
	}
	g.send(d, list)
	if d.sent++; d.sent%8 == 0 && (d.id == "d01" || d.id == "d03") {
		g.burst(d)
	}
}

// burst sends more than the device may, in a few tenths of a second, as a batch or
// one by one.
func (g *generator) burst(d *sender) {
	whole := d.sent%16 == 0
	var list []rules.Sample
	for i := range 60 {
		at := g.now.Add(time.Duration(i-60) * 3 * time.Millisecond)
		if !whole {
			g.now = g.now.Add(3 * time.Millisecond)
			at = g.now
		}
		list = append(list, rules.Sample{
			Source: d.source, Device: d.id, Metric: []string{"temperature", "humidity", "meter"}[i%3], Labels: d.labels,
			Num: []float64{d.warm, 50, d.meter}[i%3] + float64(i*i%7), At: at.Add(d.skew), Received: g.now, Clock: rules.ClockDevice,
		})
		if !whole {
			g.add(rules.Input{Sample: &list[i]})
		}
	}
	if whole {
		g.add(rules.Input{Batch: list})
	}
}

// live lets the world of a device go on.
func (d *sender) live(r *rand.Rand) {
	d.warm += r.NormFloat64()*0.4 + (-19-d.warm)*0.02
	d.power = max(0, d.power+r.NormFloat64()*60+(500-d.power)*0.05)
	d.humidity += r.NormFloat64()*2 + (50-d.humidity)*0.02
	d.meter += float64(r.IntN(12))
	switch r.IntN(400) {
	case 0, 1:
		d.warm += 6 + 10*r.Float64()
	case 2:
		d.power += 1500
	case 3:
		d.humidity = 90
	case 4:
		d.humidity = 10
	case 8:
		d.restless = 200
	case 5:
		d.meter = 0
	case 6:
		d.skew = []time.Duration{0, 0, 5 * time.Second, -90 * time.Second, 50 * time.Minute}[r.IntN(5)]
	case 7:
		d.labels = map[string]string{"site": "paris", "room": fmt.Sprint("room-", r.IntN(7))}
	}
	if d.restless--; d.restless > 0 {
		d.warm = []float64{-18, -6}[d.restless/12%2]
	}
	if r.IntN(25) == 0 {
		d.door = []string{"open", "closed", "closed", "ajar", "broken"}[r.IntN(5)]
	}
}

// measure makes the readings of one message.
func (g *generator) measure(d *sender) []rules.Sample {
	at := g.now
	if d.clock == rules.ClockDevice {
		at = at.Add(d.skew - time.Duration(g.IntN(1500))*time.Millisecond).Truncate(time.Millisecond)
		if g.chance(0.01) {
			at = at.Add(-time.Duration(g.IntN(180)) * time.Second) // it was held up
		}
	}
	one := func(metric string, v float64) rules.Sample {
		return rules.Sample{Source: d.source, Device: d.id, Metric: metric, Labels: d.labels, Num: v, At: at, Received: g.now, Clock: d.clock}
	}
	round := func(v float64) float64 { return math.Round(v*10) / 10 }
	var list []rules.Sample
	add := func(s rules.Sample) { list = append(list, s) }
	if g.chance(0.8) {
		s := one("temperature", round(d.warm))
		switch g.IntN(120) {
		case 0:
			s.Num, s.Invalid = 0, "nan"
		case 1:
			s.Num = 85
		case 2:
			s.Num = 500
		case 3:
			s.Kind, s.Text, s.Num = rules.Text, "unavailable", 0
		case 4, 5, 6:
			s.Num, s.Unit = round(s.Num*1.8+32), "°F"
		case 7:
			s.Unit = "bar"
		}
		add(s)
	}
	if g.chance(0.5) {
		add(one("power", round(d.power)))
	}
	if g.chance(0.4) {
		v := round(d.humidity)
		if d.id[len(d.id)-1] == '7' {
			v = 45
		}
		add(one("humidity", v))
	}
	if g.chance(0.3) {
		s := one("door", 0)
		s.Kind, s.Text = rules.Text, d.door
		add(s)
	}
	if g.chance(0.1) {
		add(one("battery", round(5+math.Abs(d.humidity-40))))
	}
	if g.chance(0.05) {
		s := one("mains", float64(g.IntN(2)))
		s.Kind = rules.Bool
		add(s)
	}
	if g.chance(0.1) {
		s := one("leak", 0)
		s.Kind, s.Text = rules.Text, []string{"dry", "dry", "dry", "dry", "dry", "dry", "wet"}[g.IntN(7)]
		add(s)
	}
	if g.chance(0.08) {
		s := one("button", 0)
		s.Kind, s.Text = rules.Text, []string{"single", "double"}[g.IntN(2)]
		add(s)
	}
	if g.chance(0.2) {
		add(one("meter", d.meter))
	}
	if g.chance(0.2) {
		add(one("clicks", float64(g.IntN(8))))
	}
	return list
}

// send lets a message come: alone, as a batch, again, or replayed by a broker.
func (g *generator) send(d *sender, list []rules.Sample) {
	g.samples += len(list)
	switch {
	case len(list) == 0:
	case len(list) > 4 || g.chance(0.3):
		g.add(rules.Input{Batch: list})
	default:
		for i := range list {
			g.add(rules.Input{Sample: &list[i]})
			if g.chance(0.05) {
				g.now = g.now.Add(time.Duration(g.IntN(900)) * time.Millisecond)
			}
		}
	}
	if len(d.last) > 0 && g.chance(0.02) {
		again := d.last[g.IntN(len(d.last))]
		again.Flags |= []rules.Flags{0, rules.Dup, rules.Retained}[g.IntN(3)]
		again.Received = g.now
		if again.Flags&rules.Retained != 0 && again.Clock == rules.ClockArrival {
			again.At = g.now
		}
		g.samples++
		g.add(rules.Input{Sample: &again})
	}
	d.last = list
}

// commanded are the rules whose alarms people take care of.
var commanded = [...]string{"warm", "at-once", "range", "leak", "silent", "door-open", "average", "mostly", "stuck", "trend", "turned", "room"}

// aside is something that is no reading.
func (g *generator) aside() {
	d := g.devices[g.IntN(len(g.devices))]
	switch g.IntN(12) {
	case 0, 1:
		status := []rules.Status{rules.Online, rules.Online, rules.Offline, rules.Lost, rules.Sleeping}[g.IntN(5)]
		g.add(rules.Input{Presence: &rules.Presence{Source: d.source, Device: d.id, Status: status, Reason: "it said so", At: g.now}})
	case 2:
		if source := d.source; g.chance(0.4) || g.down[source] {
			g.down[source] = !g.down[source]
			g.add(rules.Input{Link: &rules.Link{Source: source, Connected: !g.down[source]}})
		}
	case 3:
		if g.chance(0.2) { // suspended
			from := g.now
			g.now = g.now.Add(time.Duration(g.IntN(600)+1) * time.Second)
			g.add(rules.Input{Gap: &rules.Gap{From: from, To: g.now}})
		}
	case 4:
		if g.chance(0.1) { // the bridge's clock is set back
			from := g.now
			g.now = g.now.Add(-time.Duration(g.IntN(120)+1) * time.Second)
			g.add(rules.Input{Gap: &rules.Gap{From: from, To: g.now}})
		}
	case 5:
		if g.chance(0.2) { // everything stands still
			g.now = g.now.Add(time.Duration(g.IntN(40)) * time.Minute)
		}
	default:
		c := &rules.Command{Verb: rules.Ack, Key: commanded[g.IntN(len(commanded))] + "/" + d.id, By: "anna", Reason: "seen"}
		if c.Key[:4] == "room" {
			c.Key = fmt.Sprint("room/room-", g.IntN(7))
		}
		until := g.now.Add(time.Duration(g.IntN(30)+1) * time.Minute)
		switch g.IntN(10) {
		case 0, 1:
			g.add(rules.Input{Command: c})
			c = &rules.Command{Verb: rules.Unack, Key: c.Key, By: "bert"}
		case 2, 3:
			c.Verb, c.Until = rules.Shelve, until
			g.shelved = append(g.shelved, c.Key)
		case 4:
			if n := len(g.shelved); n > 0 {
				c.Verb, c.Key = rules.Unshelve, g.shelved[n-1]
				g.shelved = g.shelved[:n-1]
			}
		case 5:
			c.Verb = rules.Reset
		}
		g.add(rules.Input{Command: c})
	}
}

// A told is an event: its body, and which input it came with.
type told struct {
	body  string
	input int
}

// A playing is an engine under way through a stream.
type playing struct {
	program *rules.Program
	again   *rules.Program // the same file, compiled again
	engine  *rules.Engine
	out     rules.Output
	now     time.Time
	input   int
	events  []told
	count   map[rules.Type]int
	drains  bool // it ticks whenever a timer is due, as a backtest does
}

// everybody is told of everything, so that every event is made.
func everybody(ev *rules.Event) []string {
	if len(ev.Notify) > 0 {
		return ev.Notify
	}
	return []string{"all"}
}

func (p *playing) step(in rules.Input) error {
	p.out.Reset()
	p.engine.Step(in, &p.out)
	p.now = in.Now
	return p.take()
}

func (p *playing) take() error {
	for i := range p.out.Transitions {
		for j := range p.out.Transitions[i].Events {
			ev := &p.out.Transitions[i].Events[j]
			body, err := ev.AppendJSON(nil)
			if err != nil {
				return err
			}
			p.count[ev.Type]++
			p.events = append(p.events, told{fmt.Sprintf("%s %q", body, ev.Endpoints), p.input})
		}
	}
	return nil
}

// restart is a stop as it should be, and a start at the same moment.
func (p *playing) restart() error {
	before := p.engine
	p.engine = rules.NewEngine(p.program, rules.Options{Route: everybody})
	for record := range before.Memory() {
		if err := p.engine.Recall(slices.Clone(record)); err != nil {
			return err
		}
	}
	for s := range before.States() {
		text, err := json.Marshal(s)
		if err != nil {
			return err
		}
		back := rules.State{}
		if err := json.Unmarshal(text, &back); err != nil {
			return err
		}
		back.Key = s.Key
		if !p.engine.Restore(back) {
			return fmt.Errorf("nobody claims %s", s.Key)
		}
	}
	p.engine.Resume(p.now, p.now)
	return nil
}

func (p *playing) reload() error {
	p.program, p.again = p.again, p.program
	p.out.Reset()
	p.engine.Reload(p.program, p.now, nil, &p.out)
	return p.take()
}

func (p *playing) moment(m *moment, disturbed bool) error {
	if disturbed {
		for _, at := range m.ticks {
			if err := p.step(rules.Input{Now: at}); err != nil {
				return err
			}
		}
		if m.reload {
			if err := p.reload(); err != nil {
				return err
			}
		}
		if m.restart {
			if err := p.restart(); err != nil {
				return err
			}
		}
	}
	until := m.in.Now
	if m.in.Gap != nil {
		until = m.in.Gap.From
	}
	for p.drains {
		due := p.engine.Next()
		if due.IsZero() || due.After(until) {
			break
		}
		if err := p.step(rules.Input{Now: due}); err != nil {
			return err
		}
	}
	return p.step(m.in)
}

// A judge plays streams by two programs of one file.
type judge struct{ program, again *rules.Program }

// play is what an engine tells of a stream.
func (j judge) play(stream []moment, disturbed, drains bool) (*playing, error) {
	p := &playing{
		program: j.program, again: j.again, engine: rules.NewEngine(j.program, rules.Options{Route: everybody}),
		drains: drains, count: map[rules.Type]int{},
	}
	for i := range stream {
		p.input = i
		if err := p.moment(&stream[i], disturbed); err != nil {
			return p, fmt.Errorf("input %d: %w", i, err)
		}
	}
	return p, nil
}

// differ is the first event that is told otherwise when the engine is disturbed,
// -1 for none.
func differ(a, b *playing) int {
	for i := range max(len(a.events), len(b.events)) {
		if i >= len(a.events) || i >= len(b.events) || a.events[i].body != b.events[i].body {
			return i
		}
	}
	return -1
}

// shrink takes away of a stream what is not needed for its events to differ.
func (j judge) shrink(stream []moment, drains bool, most time.Duration) []moment {
	runs, begun := 600, time.Now()
	differs := func(s []moment) bool {
		if runs--; time.Since(begun) > most {
			runs = 0
			return false
		}
		a, err := j.play(s, false, false)
		if err != nil {
			return false
		}
		b, err := j.play(s, true, drains)
		return err != nil || differ(a, b) >= 0
	}
	for size := len(stream) / 2; size > 0 && runs > 0; size /= 2 {
		for from := 1; from < len(stream) && runs > 0; { // the first begins the engine's time
			fewer := slices.Delete(slices.Clone(stream), from, min(from+size, len(stream)))
			if differs(fewer) {
				stream = fewer
			} else {
				from += size
			}
		}
	}
	for i := range stream { // what is left is disturbed no more than it must be
		calm := slices.Clone(stream)
		calm[i].ticks, calm[i].restart, calm[i].reload = nil, false, false
		if m := stream[i]; (m.restart || m.reload || m.ticks != nil) && runs > 0 && differs(calm) {
			stream = calm
		}
	}
	return stream
}

// explain says in few lines how two plays of a stream came to differ.
func (j judge) explain(t *testing.T, stream []moment, a, b *playing, drains bool) {
	t.Helper()
	n := differ(a, b)
	t.Errorf("event %d of %d is told otherwise (%d were told)\n%s", n, len(a.events), len(b.events), difference(a, b, n))
	end := len(stream) - 1
	for _, p := range []*playing{a, b} {
		if n < len(p.events) {
			end = min(end, p.events[n].input)
		}
	}
	small := j.shrink(stream[:min(end+2, len(stream))], drains, 15*time.Second)
	var text strings.Builder
	for i, m := range small {
		if i == 30 {
			fmt.Fprintf(&text, "… %d more\n", len(small)-i)
			break
		}
		text.WriteString(m.String() + "\n")
	}
	a, _ = j.play(small, false, false)
	b, err := j.play(small, true, drains)
	t.Logf("it takes these inputs:\n%s%s (%v)", text.String(), difference(a, b, differ(a, b)), err)
}

func difference(a, b *playing, n int) string {
	if n < 0 {
		return "(it does not differ)"
	}
	x, y := "(none)", "(none)"
	if n < len(a.events) {
		x = a.events[n].body
	}
	if n < len(b.events) {
		y = b.events[n].body
	}
	at := 0
	for at < min(len(x), len(y)) && x[at] == y[at] {
		at++
	}
	cut := func(s string) string {
		head := s[:min(len(s), 150)]
		if at > 150 {
			head += " … " + s[max(150, min(at-40, len(s))):min(len(s), at+90)]
		}
		return head
	}
	return "alone     " + cut(x) + "\ndisturbed " + cut(y)
}

// String is a moment in one line.
func (m moment) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v", m.in.Now.Sub(origin))
	one := func(s *rules.Sample) {
		fmt.Fprintf(&b, " %s.%s=%v%s%s%s", s.Device, s.Metric, s.Num, s.Text, s.Unit, s.Invalid)
		if s.Clock != rules.ClockArrival {
			fmt.Fprintf(&b, " at %v", s.At.Sub(origin))
		}
		if s.Flags != 0 {
			fmt.Fprintf(&b, " flags %d", s.Flags)
		}
	}
	switch in := m.in; {
	case in.Sample != nil:
		one(in.Sample)
	case in.Presence != nil:
		fmt.Fprintf(&b, " %s is %s", in.Presence.Device, in.Presence.Status)
	case in.Link != nil:
		fmt.Fprintf(&b, " source %s: %t", in.Link.Source, in.Link.Connected)
	case in.Command != nil:
		fmt.Fprintf(&b, " %s %s", in.Command.Verb, in.Command.Key)
	case in.Gap != nil:
		fmt.Fprintf(&b, " gap from %v to %v", in.Gap.From.Sub(origin), in.Gap.To.Sub(origin))
	}
	for i := range m.in.Batch {
		one(&m.in.Batch[i])
	}
	for _, at := range m.ticks {
		fmt.Fprintf(&b, " [tick %v]", at.Sub(origin))
	}
	if m.restart {
		b.WriteString(" [restart]")
	}
	if m.reload {
		b.WriteString(" [reload]")
	}
	return b.String()
}

// disturb is the stream with ticks, restarts and reloads in it.
func disturb(seed uint64, stream []moment, ticks bool, restarts, reloads int) []moment {
	r := rand.New(rand.NewPCG(seed, 2))
	list := slices.Clone(stream)
	if ticks {
		for i := 1; i < len(list); i++ {
			from, to := list[i-1].in.Now, list[i].in.Now
			if g := list[i].in.Gap; g != nil {
				to = g.From
			}
			if gap := to.Sub(from); gap > 0 && r.IntN(3) == 0 {
				for at := from; len(list[i].ticks) < 3; {
					at = at.Add(time.Duration(r.Int64N(int64(gap)) + 1))
					if at.After(to) {
						break
					}
					list[i].ticks = append(list[i].ticks, at)
				}
			}
		}
	}
	for range restarts {
		list[1+r.IntN(len(list)-1)].restart = true
	}
	for range reloads {
		list[1+r.IntN(len(list)-1)].reload = true
	}
	return list
}

// The same stream makes the same events, to the byte and in order, however an
// engine comes through it.
func TestEveryWayToJudgeAStreamTellsTheSame(t *testing.T) {
	seed, samples := uint64(20261106), 25_000
	switch long := os.Getenv("TOCSIN_TORTURE"); {
	case long != "":
		samples = 1_000_000
		_, _ = fmt.Sscanf(long, "%d,%d", &samples, &seed) // "1", or how many readings, and of which seed
		samples = max(samples, 20_000)
		if long == "1" {
			samples = 1_000_000
		}
	case testing.Short():
		samples = 5_000
	}
	file, program := streamFile(t)
	_, again := streamFile(t)
	j := judge{program, again}
	stream := recordStream(seed, samples)
	begun := time.Now()
	alone, err := j.play(stream, false, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("seed %d: %d inputs, %d events in %v: %v", seed, len(stream), len(alone.events), time.Since(begun).Round(time.Millisecond), alone.count)
	episodesBeginOnce(t, alone)
	if samples >= 20_000 {
		everyWayIsThere(t, program, alone)
	}
	for _, way := range []struct {
		name              string
		ticks             bool
		restarts, reloads int
		drains            bool
	}{
		{name: "with ticks", ticks: true},
		{name: "with restarts", restarts: 50},
		{name: "with reloads", reloads: 20},
		{name: "with all of these", ticks: true, restarts: 50, reloads: 20},
		{name: "at its timers", drains: true},
	} {
		t.Run(way.name, func(t *testing.T) {
			disturbed := disturb(seed, stream, way.ticks, way.restarts, way.reloads)
			p, err := j.play(disturbed, true, way.drains)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if differ(alone, p) >= 0 {
				t.Logf("seed %d", seed)
				j.explain(t, disturbed, alone, p, way.drains)
			}
		})
	}
	t.Run("backtested", func(t *testing.T) { backtestSame(t, file, program, stream, alone) })
}

// episodesBeginOnce fails where an episode is told of as if it were two.
func episodesBeginOnce(t *testing.T, alone *playing) {
	t.Helper()
	begun := map[string]string{}
	for _, e := range alone.events {
		head := e.body[:min(len(e.body), 90)]
		if !strings.Contains(head, `"type":"alarm.fired"`) && !strings.Contains(head, `"type":"alarm.occurred"`) {
			continue
		}
		_, rest, _ := strings.Cut(e.body, `"episode":"`)
		id, _, _ := strings.Cut(rest, `"`)
		if was, ok := begun[id]; ok {
			t.Errorf("episode %s is told twice:\n%.200s\n%.200s", id, was, e.body)
		}
		begun[id] = e.body
	}
}

// everyWayIsThere fails where the stream does not lead to what is to be compared.
func everyWayIsThere(t *testing.T, program *rules.Program, alone *playing) {
	t.Helper()
	for _, typ := range []rules.Type{
		rules.AlarmFired, rules.AlarmEscalated, rules.AlarmDeescalated, rules.AlarmReminder, rules.AlarmReturned, rules.AlarmResolved, rules.AlarmOccurred,
		rules.AlarmFlapping, rules.AlarmFlapEnded, rules.AlarmStale, rules.AlarmAcked, rules.AlarmUnacked, rules.AlarmShelved, rules.AlarmUnshelved, rules.AlarmFlood,
		rules.DeviceOnline, rules.DeviceOffline, rules.DeviceNew, rules.DeviceChatty, rules.SourceDisconnected, rules.SourceReconnected, rules.ReadingMatched,
	} {
		if alone.count[typ] == 0 {
			t.Errorf("the stream makes no %s: that way is not compared", typ)
		}
	}
	for _, info := range program.Rules() {
		if !slices.ContainsFunc(alone.events, func(e told) bool { return strings.Contains(e.body, `"rule":{"id":"`+info.ID+`"`) }) {
			t.Errorf("nothing is told of rule %s: it is not compared", info.ID)
		}
	}
}

// backtestSame compares the episodes of a backtest with the events of an engine.
func backtestSame(t *testing.T, file *rules.File, program *rules.Program, stream []moment, alone *playing) {
	report, err := ruletest.Backtest(file, program, func(yield func(rules.Input, error) bool) {
		for i := range stream {
			if !yield(stream[i].in, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	type episode struct{ fired, ended time.Time }
	want := map[string]episode{}
	ends := []string{`"type":"alarm.fired"`, `"type":"alarm.resolved"`, `"type":"alarm.cancelled"`, `"type":"alarm.occurred"`}
	for _, e := range alone.events {
		if !slices.ContainsFunc(ends, func(typ string) bool { return strings.Contains(e.body[:min(len(e.body), 90)], typ) }) {
			continue
		}
		ev := struct {
			Type  rules.Type
			At    time.Time
			Muted string
			Alarm struct {
				Episode string
				Started time.Time `json:"started_at"`
			}
			Ended time.Time `json:"ended_at"`
		}{}
		if err := json.NewDecoder(strings.NewReader(e.body)).Decode(&ev); err != nil {
			t.Fatal(err)
		}
		switch ep := want[ev.Alarm.Episode]; {
		case ev.Muted != "":
		case ev.Type == rules.AlarmFired:
			want[ev.Alarm.Episode] = episode{fired: ev.At}
		case ev.Type == rules.AlarmOccurred:
			want[ev.Alarm.Episode] = episode{ev.Alarm.Started, ev.Ended}
		case ev.Type == rules.AlarmResolved || ev.Type == rules.AlarmCancelled:
			ep.ended = ev.At
			want[ev.Alarm.Episode] = ep
		}
	}
	got, missed := 0, 0
	for _, r := range report.Rules {
		got += r.Episodes // of very many, the first are listed
		for _, e := range r.List {
			if w := want[e.ID]; !w.fired.Equal(e.Fired) || !w.ended.Equal(e.Ended) {
				if missed++; missed <= 3 {
					t.Errorf("%s of %s fired at %v and ended at %v; a backtest says %v and %v", e.ID, e.Rule, w.fired, w.ended, e.Fired, e.Ended)
				}
			}
		}
	}
	if got != len(want) {
		t.Errorf("a backtest has %d episodes, an engine %d", got, len(want))
	}
}
