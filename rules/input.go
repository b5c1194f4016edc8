package rules

import (
	"fmt"
	"time"
)

// An Input is one thing that happens to an engine; at most one of its pointers
// and lists is set, and with none of them it is a tick. Now is the bridge's
// clock; it never runs backwards from one input to the next, except over a Gap
// that says so. The same inputs make the same events, to the byte, whenever ticks
// come in between.
type Input struct {
	Now time.Time

	Sample   *Sample   // one reading
	Batch    []Sample  // readings of one device that came together, in any order
	Presence *Presence // a device says, or its broker knows, whether it is there
	Link     *Link     // a source begins or ceases to hear its devices
	Command  *Command  // a person takes care of an alarm
	Gap      *Gap      // nobody listened, see [Engine.Resume]
}

// Status is a device's presence.
type Status uint8

const (
	StatusUnknown Status = iota
	Online
	Offline  // it said goodbye
	Lost     // it is gone without a word: last will, death certificate
	Sleeping // it will not report for a while, and said so
)

var statusNames = [...]string{"unknown", "online", "offline", "lost", "sleeping"}

func (s Status) String() string { return statusNames[min(s, Sleeping)] }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Status) UnmarshalText(b []byte) error {
	for i, name := range statusNames {
		if name == string(b) {
			*s = Status(i)
			return nil
		}
	}
	return fmt.Errorf("%q is no presence (online, offline, lost or sleeping)", b)
}

// A Presence is what is known of a device beside its readings. That it is online,
// or sleeps, is contact.
type Presence struct {
	Source, Device string
	Status         Status
	Reason         string
	At             time.Time
}

// A Link is a source's connection to its devices: while it is down, their
// silence proves nothing.
type Link struct {
	Source    string
	Connected bool
}

// A Verb is what a person does with an alarm.
type Verb string

const (
	Ack      Verb = "ack"      // I take care of it: no reminders, no escalation
	Unack    Verb = "unack"    //
	Shelve   Verb = "shelve"   // tell nobody until Until
	Unshelve Verb = "unshelve" //
	Reset    Verb = "reset"    // end a latched alarm whose condition has cleared
)

// A Command is an operator's action on the alarm with the given key. One that
// finds no such alarm, or changes nothing, is a problem of the step's output.
type Command struct {
	Verb   Verb
	Key    string // "rule/instance"
	By     string
	Reason string
	Until  time.Time // shelve only
}

// A Gap is time on the bridge's clock in which nobody listened.
type Gap struct{ From, To time.Time }
