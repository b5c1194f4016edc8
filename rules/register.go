package rules

import (
	"strconv"
)

// Devices that no file declares are taken in when they report, up to a limit, so
// that a client that makes names up cannot fill the memory. Whoever asks for it
// is told while there is still time to do something about it.

// A Headcount says how many undeclared devices there are, and may be.
type Headcount struct {
	Registered int `json:"registered"`
	Limit      int `json:"limit"`
}

// In hundredths of the limit: a little coming and going between them is no news.
const (
	crowdedFrom  = 80
	crowdedUntil = 70
)

// Registered is how many devices the engine knows that its program does not
// declare, and how many it gets to know at most.
func (e *Engine) Registered() Headcount { return Headcount{e.registered(), e.options.MaxDevices} }

// Every declared device is known from the start.
func (e *Engine) registered() int { return len(e.devices) - len(e.program.devices) }

// undeclared reports whether a device is refused because the file does not
// declare it.
func (e *Engine) undeclared(id string, out *Output) bool {
	if !e.program.declared || e.program.devices[id] != nil {
		return false
	}
	out.Problems = append(out.Problems, "undeclared")
	return true
}

// crowding tells when the devices are nearly as many as there may be, and when
// they no longer are.
func (e *Engine) crowding(at int64, out *Output) {
	n, limit := e.registered(), e.options.MaxDevices
	share := n * 100
	switch {
	case !e.crowded && share >= crowdedFrom*limit:
		e.crowded = true
	case e.crowded && share < crowdedUntil*limit:
		e.crowded = false
	default:
		return
	}
	ev := Event{
		Type: DevicesBelowLimit, At: wall(at), Devices: &Headcount{n, limit},
		Title:   "there is room for devices again",
		Because: strconv.Itoa(n) + " of " + strconv.Itoa(limit) + " devices that no file declares are known",
	}
	if e.crowded {
		ev.Type, ev.Title = DevicesNearLimit, "nearly as many devices as may be are known"
		ev.Because += "; readings of further ones will be refused (raise limits.devices, or declare the devices)"
	}
	ev.ID = "evt_" + digest("devices", string(ev.Type), stamp(at), strconv.Itoa(n))
	e.tellOutside(ev, out)
}

// keepUp looks after what is no alarm's, and says when to do so again.
func (e *Engine) keepUp(at int64, out *Output) {
	e.chores = 0
	e.crowding(at, out)
	e.warmUp(at, out)
}

// register reads whether devices must be declared.
func (c *compiler) register(f *File) (declared bool) {
	at := []string{"defaults", "register"}
	switch f.Defaults.Register {
	case "", "auto":
		return false
	case "declared":
	default:
		c.fail(at, strconv.Quote(f.Defaults.Register)+" is no way to register devices", `write "auto" to know devices once they report, or "declared" to refuse those without a [device] table`)
		return false
	}
	if len(f.Device) == 0 {
		c.warn(at, "no device is declared, so every reading is refused", "declare devices as [device.NAME], or remove register", []string{"device"})
	}
	return true
}
