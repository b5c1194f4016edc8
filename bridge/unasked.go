package bridge

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	maxUnasked      = 1024 // devices
	maxUnaskedNames = 8    // of each
)

// strangers are devices that say nothing which a rule asks for. No engine knows them:
// mostly a name is written in another way there, and somebody looks for the device.
type strangers struct {
	mu sync.Mutex
	of map[string]*Unasked
}

// An Unasked is a device that was heard, and has said nothing which a rule asks for.
type Unasked struct {
	Device string            `json:"device"`
	Source string            `json:"source"`
	Last   time.Time         `json:"last"`
	Count  int               `json:"count"`          // messages
	Sent   []string          `json:"sent"`           // names of what it sends, not all of very many
	Near   map[string]string `json:"near,omitempty"` // what rules ask for, by the name of which it is a slip away
	Asked  []string          `json:"-"`              // what rules ask for
}

// note takes down that a device was heard, and what it said.
func (s *strangers) note(source, device string, said []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.of[device]
	if u == nil {
		if len(s.of) >= maxUnasked || len(device) > maxRejectText {
			return
		}
		if s.of == nil {
			s.of = make(map[string]*Unasked)
		}
		u = &Unasked{Device: device}
		s.of[device] = u
	}
	u.Source, u.Last, u.Count = source, time.Now(), u.Count+1
	for _, name := range said {
		if len(u.Sent) < maxUnaskedNames && !slices.Contains(u.Sent, bounded(name)) {
			u.Sent = append(u.Sent, bounded(name))
		}
	}
}

// forget leaves out a device that has said more since.
func (s *strangers) forget(device string) {
	s.mu.Lock()
	delete(s.of, device)
	s.mu.Unlock()
}

// list returns what is known of one device, or with "" of all, by name.
func (s *strangers) list(device string) (list []Unasked) {
	s.mu.Lock()
	for id, u := range s.of {
		if device == "" || id == device {
			v := *u
			v.Sent = slices.Clone(u.Sent)
			list = append(list, v)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(list, func(a, b Unasked) int { return cmp.Compare(a.Device, b.Device) })
	return list
}

// Unasked lists devices that say nothing which a rule asks for, by name: one, or with
// "" as many as are remembered. They are not among [Bridge.Devices].
func (b *Bridge) Unasked(device string) []Unasked {
	list := b.strangers.list(device)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.engine == nil {
		return nil
	}
	kept := list[:0]
	for _, u := range list {
		u.Asked = b.program.Metrics()
		if b.engine.Asked(u.Device) || slices.ContainsFunc(u.Sent, func(name string) bool { return slices.Contains(u.Asked, name) }) {
			b.strangers.forget(u.Device) // it has said more since, or the rules ask for more
			continue
		}
		for _, name := range u.Sent {
			if near := b.program.NearestMetric(name); near != "" {
				if u.Near == nil {
					u.Near = make(map[string]string)
				}
				u.Near[name] = near
			}
		}
		kept = append(kept, u)
	}
	return kept
}

// Text says in one sentence what there is to say of it.
func (u *Unasked) Text() string {
	var sent []string
	for _, name := range u.Sent {
		if near := u.Near[name]; near != "" {
			name += " (did you mean " + near + "?)"
		}
		sent = append(sent, name)
	}
	return fmt.Sprintf("was last heard at %s, but no rule asks for what it sends: %s; rules ask for %s (name it there as the device does, or add a rule)",
		u.Last.UTC().Format(time.RFC3339), strings.Join(sent, ", "), some(u.Asked))
}

// unheard is the error that there is no such device, or why it is not looked at. The
// caller does not hold mu.
func (b *Bridge) unheard(device string) error {
	if list := b.Unasked(device); device != "" && len(list) == 1 {
		return fmt.Errorf("%w that a rule looks at by the name %q: it %s", ErrNoDevice, device, list[0].Text())
	}
	return fmt.Errorf("%w %q (tocsin devices lists them)", ErrNoDevice, device)
}
