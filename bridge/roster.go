package bridge

import (
	"container/list"
	"strings"
	"time"

	"tocsin/rules"
)

const (
	// holdAfter is how long a connection has carried readings of a device before
	// its end says that the device is lost. One that wakes up, reports and cuts
	// its radio is asleep.
	holdAfter = time.Second

	maxCarried = 10_000    // devices of one client
	maxMissing = 100_000   // devices whose clients are away
	maxRoster  = 1_000_000 // devices of all clients
)

// A roster knows through which client of the embedded broker each device was
// heard last, so that a connection's end says who is lost. What has no place in
// it is missed by its silence, as if there were no roster.
//
// It is guarded by the bridge's mu.
type roster struct {
	carriers map[string]*carrier // by client id
	devices  map[string]*carried
	away     list.List // carriers that are not connected, the longest away first
	missing  int       // their devices
}

// A carrier is a client with the devices that were heard through it last.
type carrier struct {
	devices []*carried
	last    *carried      // the one heard last: mostly there is one
	place   *list.Element // in roster.away; nil while it is connected
	lost    string        // why it is gone without a word; "" if it is not
}

// A carried is a device in a roster.
type carried struct {
	id, source string
	by         *carrier
	index      int // in by.devices
	since      time.Time
	held       bool         // the connection stands for it
	told       bool         // and the engine knows that
	said       rules.Status // what it said of itself after its last reading
}

func newRoster() *roster {
	return &roster{carriers: make(map[string]*carrier), devices: make(map[string]*carried)}
}

// heard takes note of a reading, and returns the device when it is known by it
// to be connected.
func (r *roster) heard(client, source, device string, now time.Time) *carried {
	c := r.carriers[client]
	if c == nil || c.place != nil {
		return nil
	}
	d := c.last
	if d == nil || d.id != device {
		if d = r.carry(c, source, device, now); d == nil {
			return nil
		}
		c.last = d
	}
	d.said = rules.StatusUnknown
	if d.told || !d.held && now.Sub(d.since) < holdAfter {
		return nil
	}
	d.held, d.told = true, true
	return d
}

// carry gives a device to the carrier that it is heard through now; nil when
// there is no room.
func (r *roster) carry(c *carrier, source, device string, now time.Time) *carried {
	d := r.devices[device]
	switch {
	case d != nil && d.by == c:
		return d
	case len(c.devices) >= maxCarried:
		if d != nil {
			r.drop(d) // it is not with the other any more
		}
		return nil
	case d != nil:
		r.detach(d)
	case len(r.devices) >= maxRoster:
		return nil
	default:
		d = &carried{id: strings.Clone(device)} // it may be part of a large message
		r.devices[d.id] = d
	}
	d.source, d.by, d.index, d.since = source, c, len(c.devices), now
	d.held, d.told = false, false
	c.devices = append(c.devices, d)
	return d
}

// detach takes a device from its carrier.
func (r *roster) detach(d *carried) {
	c := d.by
	end := len(c.devices) - 1
	c.devices[d.index] = c.devices[end]
	c.devices[d.index].index = d.index
	c.devices[end] = nil
	c.devices = c.devices[:end]
	if c.last == d {
		c.last = nil
	}
	if c.place != nil {
		r.missing--
	}
}

// drop forgets a device.
func (r *roster) drop(d *carried) {
	r.detach(d)
	delete(r.devices, d.id)
}

// speaks takes note of what a device says of itself.
func (r *roster) speaks(device string, s rules.Status) {
	if d := r.devices[device]; d != nil {
		d.said = s
	}
}

// absent reports whether a device said itself that it would not be heard.
func (d *carried) absent() bool {
	return d.said == rules.Offline || d.said == rules.Lost || d.said == rules.Sleeping
}

// came takes note that a client is connected, and returns those of its devices
// that were lost.
func (r *roster) came(client string) []*carried {
	c := r.carriers[client]
	if c == nil {
		r.carriers[client] = new(carrier)
		return nil
	}
	r.recall(c)
	if c.lost == "" {
		return nil
	}
	c.lost = ""
	return c.devices
}

// recall takes a carrier out of those that are away.
func (r *roster) recall(c *carrier) {
	if c.place != nil {
		r.away.Remove(c.place)
		c.place = nil
		r.missing -= len(c.devices)
	}
}

// went takes note that a client is not connected any more; why is "" when that
// says nothing. Only devices that its connection stands for are kept, for its
// return.
func (r *roster) went(client, why string) *carrier {
	c := r.carriers[client]
	if c == nil || c.place != nil {
		return nil
	}
	for i := len(c.devices) - 1; i >= 0; i-- {
		if d := c.devices[i]; !d.held || d.absent() {
			r.drop(d)
		}
	}
	if len(c.devices) == 0 {
		delete(r.carriers, client)
		return nil
	}
	c.lost = why
	c.place = r.away.PushBack(client)
	r.missing += len(c.devices)
	for r.missing > maxMissing && r.away.Front() != c.place {
		r.forget(r.away.Front().Value.(string))
	}
	return c
}

// forget gives up a client and its devices, which it returns.
func (r *roster) forget(client string) []*carried {
	c := r.carriers[client]
	if c == nil {
		return nil
	}
	r.recall(c)
	for _, d := range c.devices {
		delete(r.devices, d.id)
	}
	delete(r.carriers, client)
	return c.devices
}
