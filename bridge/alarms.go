package bridge

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"tocsin/rules"
)

// An Alarm is an alarm for people to look at.
type Alarm struct {
	Key    string `json:"key"` // the one that receivers have been told
	Rule   string `json:"rule"`
	Device string `json:"device"`
	Standing
	Title     string    `json:"title,omitempty"`     // as it would be told now; none while it is inactive
	Because   string    `json:"because,omitempty"`   // why it stands as it does; none while it is inactive
	StartedAt time.Time `json:"started_at,omitzero"` // of its episode, or the last; while it is pending: since when its condition holds
	EndedAt   time.Time `json:"ended_at,omitzero"`   // of the last episode, when it is inactive
	Episode   string    `json:"episode,omitempty"`
	Value     any       `json:"value,omitempty"` // of the newest reading
	Unit      string    `json:"unit,omitempty"`
	At        time.Time `json:"at,omitzero"`

	Told    []string        `json:"told,omitempty"` // endpoints that were told of the episode, or are owed it
	Acked   bool            `json:"acked,omitempty"`
	AckedBy string          `json:"acked_by,omitempty"`
	Shelved *rules.Shelving `json:"shelved,omitempty"`
	Muted   string          `json:"muted,omitempty"` // why nobody is told
	Stale   bool            `json:"stale,omitempty"` // nothing is known any more
}

// An AlarmQuery says which alarms are asked for. Its zero value asks for all that
// are not inactive.
type AlarmQuery struct {
	From     string // a page begins here: what came back as next; "" is the first
	Limit    int    // of a page; 0: no limit
	State    string // pending, firing, recovering, inactive, or all; "": not inactive
	Severity rules.Severity
	Device   string
	Rule     string
	Since    time.Time // only those whose episode, or the last, began then or later
}

// takes reports whether the alarm of a state is asked for.
func (q *AlarmQuery) takes(s *rules.State, stands Standing) bool {
	switch q.State {
	case "":
		if stands.State == inactive {
			return false
		}
	case "all":
	default:
		if stands.State != q.State {
			return false
		}
	}
	return (q.Severity == rules.Unset || stands.Severity == q.Severity) &&
		(q.Device == "" || s.Device == q.Device) && (q.Rule == "" || s.Rule == q.Rule)
}

// Alarms returns the alarms that are asked for, by key, as the store has them. The
// next page begins at next, which is "" after the last.
func (b *Bridge) Alarms(ctx context.Context, q AlarmQuery) (list []Alarm, next string, err error) {
	list = []Alarm{} // a list, never null
	for s, err := range b.store.States(ctx, q.From) {
		if err != nil {
			return nil, "", fmt.Errorf("reading alarms: %w", err)
		}
		stands := standing(&s)
		if !q.takes(&s, stands) {
			continue
		}
		a := alarmOf(&s, stands)
		if !q.Since.IsZero() && a.StartedAt.Before(q.Since) {
			continue
		}
		if q.Limit > 0 && len(list) == q.Limit {
			next = s.Key
			break
		}
		list = append(list, a)
	}
	for part := range slices.Chunk(list, describedAtOnce) {
		b.describe(part)
	}
	return list, next, nil
}

// describedAtOnce bounds for how many alarms intake waits at a time.
const describedAtOnce = 64

// describe adds to alarms what the engine says of them. While there is none they go
// without.
func (b *Bridge) describe(list []Alarm) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.engine == nil {
		return
	}
	now := b.clock.now()
	for i := range list {
		if a := &list[i]; a.State != inactive {
			a.Title, a.Because = b.engine.Describe(a.Key, now)
			last, at, muted := b.engine.Glance(a.Key)
			a.Muted = cmp.Or(a.Muted, muted)
			if at.After(a.At) { // only a reading that changes something is stored
				a.Value, a.At = last, at
			}
		}
	}
}

// Alarm returns the alarm that receivers know by a key, also when it is inactive,
// or an [ErrNoAlarm].
func (b *Bridge) Alarm(ctx context.Context, key string) (Alarm, error) {
	for _, from := range []string{key, ""} { // one that began under its rule's former name is looked for
		for s, err := range b.store.States(ctx, from) {
			if err != nil {
				return Alarm{}, fmt.Errorf("reading alarm %s: %w", key, err)
			}
			if keyOf(&s) == key {
				one := []Alarm{alarmOf(&s, standing(&s))}
				b.describe(one)
				return one[0], nil
			}
			if from != "" {
				break
			}
		}
	}
	return Alarm{}, fmt.Errorf("%w %s (tocsin alarms lists those under way)", ErrNoAlarm, key)
}

func alarmOf(s *rules.State, stands Standing) Alarm {
	a := Alarm{
		Key: keyOf(s), Rule: s.Rule, Device: s.Device, Standing: stands, StartedAt: s.StartedAt, Episode: s.Episode,
		Value: s.Last, Unit: s.Unit, At: s.LastAt, Told: s.Told,
		Acked: s.Acked, AckedBy: s.AckedBy, Shelved: s.Shelved, Muted: s.Muted, Stale: s.Stale,
	}
	if stands.State == pending { // what the state has of an episode is the one before
		a.StartedAt, a.Episode = time.Time{}, ""
		for _, l := range s.Levels {
			if !l.Since.IsZero() && (a.StartedAt.IsZero() || l.Since.Before(a.StartedAt)) {
				a.StartedAt = l.Since
			}
		}
	}
	if stands.State == inactive {
		a.EndedAt = s.EndedAt
	}
	return a
}

// keyOf is the key by which receivers tell an alarm apart: an episode that began
// under its rule's former name keeps it.
func keyOf(s *rules.State) string {
	if s.ToldAs == "" {
		return s.Key
	}
	return s.ToldAs + "/" + s.Device
}
