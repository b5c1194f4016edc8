package bridge

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"tocsin/rules"
)

// An Alarm is an alarm that is not inactive, for people to look at.
type Alarm struct {
	Key    string `json:"key"` // the one that receivers have been told
	Rule   string `json:"rule"`
	Device string `json:"device"`
	Standing
	StartedAt time.Time `json:"started_at,omitzero"` // while it is pending: since when its condition holds
	Episode   string    `json:"episode,omitempty"`
	Value     any       `json:"value,omitempty"` // of the newest reading that is stored
	Unit      string    `json:"unit,omitempty"`
	At        time.Time `json:"at,omitzero"`

	Acked   bool            `json:"acked,omitempty"`
	AckedBy string          `json:"acked_by,omitempty"`
	Shelved *rules.Shelving `json:"shelved,omitempty"`
	Muted   string          `json:"muted,omitempty"` // why nobody is told
	Stale   bool            `json:"stale,omitempty"` // nothing is known any more
}

// Alarms returns the alarms that are not inactive, by key, as the store has them.
// There are more when it returns limit of them.
func (b *Bridge) Alarms(ctx context.Context, limit int) ([]Alarm, error) {
	alarms := []Alarm{} // a list, never null
	for s, err := range b.store.States(ctx) {
		if err != nil {
			return nil, fmt.Errorf("reading alarms: %w", err)
		}
		stands := standing(&s)
		if stands.State == inactive {
			continue
		}
		alarms = append(alarms, alarmOf(&s, stands))
		if len(alarms) == limit {
			break
		}
	}
	slices.SortFunc(alarms, func(a, b Alarm) int { return cmp.Compare(a.Key, b.Key) })
	return alarms, nil
}

func alarmOf(s *rules.State, stands Standing) Alarm {
	a := Alarm{
		Key: keyOf(s), Rule: s.Rule, Device: s.Device, Standing: stands, StartedAt: s.StartedAt, Episode: s.Episode,
		Value: s.Last, Unit: s.Unit, At: s.LastAt,
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
