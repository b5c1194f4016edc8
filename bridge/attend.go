package bridge

import (
	"slices"
	"time"

	"tocsin/broker"
	"tocsin/rules"
)

// Client takes in that a client of the embedded broker has come or gone. It may
// be called for many clients at once, for one in order with its messages: it is
// what [broker.EmbeddedOptions] ask for.
func (b *Bridge) Client(ev broker.ClientEvent) {
	b.commits.admit()
	g, inputs := b.attend(ev)
	b.record(g, inputs)
}

func (b *Bridge) attend(ev broker.ClientEvent) (*group, []rules.Input) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.out.Reset()
	now, inputs := b.wake(nil)
	var told []rules.Presence
	if ev.Kind == broker.Dropped && now.Sub(b.woke) < maxStray {
		ev.Kind = broker.Closed // nobody answered at our end, which says nothing of theirs
	}
	switch ev.Kind {
	case broker.Connected:
		for _, d := range b.roster.came(ev.Client) {
			told = append(told, d.is(rules.Online, "its client is connected again", now))
		}
	case broker.Disconnected:
		for _, d := range b.roster.forget(ev.Client) {
			if d.told && !d.absent() {
				told = append(told, d.is(rules.StatusUnknown, "its client said goodbye", now))
			}
		}
	case broker.Dropped:
		told = b.dropped(ev, now)
	case broker.Closed:
		b.roster.went(ev.Client, "")
	}
	return b.stepPresence(told, now, inputs)
}

// dropped says who is lost with a client. What was missed before is not lost now,
// and will not be back with the client.
func (b *Bridge) dropped(ev broker.ClientEvent, now time.Time) []rules.Presence {
	c := b.roster.went(ev.Client, ev.Reason)
	if c == nil {
		return nil
	}
	var told []rules.Presence
	for _, d := range slices.Clone(c.devices) {
		if b.engine != nil && b.engine.Missed(d.id, now) {
			told = append(told, d.is(rules.StatusUnknown, ev.Reason, now))
			b.roster.drop(d)
			continue
		}
		told = append(told, d.is(rules.Lost, ev.Reason, now))
	}
	return told
}

// stepPresence puts what is known of devices before the engine, which has seen the
// inputs before. Without one, it is told when there is one again: see retell. The
// caller holds mu, and has emptied out.
func (b *Bridge) stepPresence(told []rules.Presence, now time.Time, inputs []rules.Input) (*group, []rules.Input) {
	if b.engine == nil || len(told)+len(inputs) == 0 {
		return nil, nil
	}
	for i := range told {
		in := rules.Input{Now: now, Presence: &told[i]}
		b.engine.Step(in, &b.out)
		inputs = append(inputs, in)
	}
	b.metrics.evaluations.Add(float64(len(told)))
	return b.queue(nil, nil), inputs
}

// retell tells an engine that is made anew what became of clients while there was
// none. Devices that are connected are told of with their next reading.
func (b *Bridge) retell() {
	b.mu.Lock()
	now := b.clock.now()
	var told []rules.Presence
	for e := b.roster.away.Front(); e != nil; e = e.Next() {
		c := b.roster.carriers[e.Value.(string)]
		for _, d := range c.devices {
			if c.lost != "" {
				told = append(told, d.is(rules.Lost, c.lost, now))
			}
		}
	}
	for _, d := range b.roster.devices {
		d.told = false
	}
	b.out.Reset()
	g, inputs := b.stepPresence(told, now, nil)
	b.mu.Unlock()
	b.record(g, inputs)
}

func (d *carried) is(s rules.Status, why string, now time.Time) rules.Presence {
	return rules.Presence{Source: d.source, Device: d.id, Status: s, Reason: why, At: now}
}

// notePresence takes in what a message says of a device by having come: that its
// client is connected, or, where it is a will, that it is not. The caller holds
// mu, and the engine has seen the readings.
func (b *Bridge) notePresence(s *intake, m *broker.Message, device string, batch *batch, now time.Time) {
	if m.Will {
		if d := b.roster.devices[device]; d != nil && d.by.lost != "" { // a will that was delayed
			b.learn(d.is(rules.Lost, d.by.lost, now), batch)
		}
		return
	}
	if d := b.roster.heard(m.Client, s.Name(), device, now); d != nil {
		b.learn(d.is(rules.Online, "connected", now), batch)
	}
}

// learn puts what a message says of a device beside its readings before the
// engine.
func (b *Bridge) learn(p rules.Presence, batch *batch) {
	in := rules.Input{Now: p.At, Presence: &p}
	b.engine.Step(in, &b.out)
	batch.inputs = append(batch.inputs, in)
}
