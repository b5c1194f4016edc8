package sim

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"
)

// A Report is what [Verify] found.
type Report struct {
	Messages int // sent
	Acked    int // of those, acknowledged
	Expected int // events that must have arrived
	Open     int // events that may have arrived: what they hang on was not acknowledged
	Received int // events of alarms that the ledger knows of
	Other    int // events of anything else
	Repeats  int // received again under the same id with the same body, which is allowed
	Findings []Finding
}

// OK reports whether every promise was kept.
func (r *Report) OK() bool { return len(r.Findings) == 0 }

// A Finding is a promise that was broken.
type Finding struct {
	Kind   Kind
	Alarm  string // its key, rule/device; empty if it is not known
	Detail string
}

// A Kind names the promise.
type Kind string

const (
	Lost       Kind = "lost"         // it had to arrive and did not
	Spurious   Kind = "spurious"     // it arrived and nothing called for it
	Disorder   Kind = "out of order" // a later event of the alarm arrived before it
	Changed    Kind = "changed"      // two bodies under one id
	Doubled    Kind = "doubled"      // one event under two ids
	Unverified Kind = "unverified"   // the receiver could not verify the signature
	Unreadable Kind = "unreadable"   // the body is not an event
)

// A Received is a line of a receiver's file: one webhook.
type Received struct {
	ID       string          `json:"id"` // the webhook-id
	At       time.Time       `json:"at"`
	Verified *bool           `json:"verified"` // absent: the receiver did not look
	Body     json.RawMessage `json:"body"`
}

// body is the little of an event that is judged.
type body struct {
	Type string `json:"type"`
	Data struct {
		Alarm struct {
			Key     string    `json:"key"`
			Episode string    `json:"episode"`
			Seq     int       `json:"seq"`
			Started time.Time `json:"started_at"`
		} `json:"alarm"`
	} `json:"data"`
}

// Verify compares a ledger with what a receiver got. The receiver must be owed
// every event: one that was sent only the critical ones looks like one that lost
// the others. Devices that match one of the globs are left out: those that the
// bridge does not read. An error means that a file cannot be read, or is no glob.
func Verify(sent, received io.Reader, except ...string) (*Report, error) {
	r := &Report{}
	for _, glob := range except {
		if _, err := path.Match(glob, ""); err != nil {
			return nil, fmt.Errorf("except %q: is no glob (write one like freezer-*)", glob)
		}
	}
	want, err := r.readLedger(sent, except)
	if err != nil {
		return nil, fmt.Errorf("reading the ledger: %w", err)
	}
	got, err := r.readReceived(received, want)
	if err != nil {
		return nil, fmt.Errorf("reading what was received: %w", err)
	}
	r.compare(want, got)
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Alarm, b.Alarm))
	})
	return r, nil
}

func (r *Report) find(kind Kind, alarm, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{kind, alarm, fmt.Sprintf(format, args...)})
}

// certainty is how sure it is that something was to be told.
type certainty uint8

const (
	no certainty = iota
	perhaps
	yes
)

// stampFormat is RFC 3339 in milliseconds, UTC.
const stampFormat = "2006-01-02T15:04:05.000Z"

// An episode is an alarm from its firing to its end, as the ledger expects it.
type episode struct {
	started         time.Time
	slack           time.Duration // how much later it may say that it began
	ended           time.Time     // zero: it has not ended
	fired, resolved certainty
}

// is reports whether an alarm that began then is this one.
func (e *episode) is(started time.Time) bool {
	if e.slack == 0 {
		return started.Equal(e.started)
	}
	// A payload may tell its time in whole seconds, to who knows its zone.
	return started.After(e.started.Add(-time.Second)) && !started.After(e.started.Add(e.slack))
}

// open reports whether an alarm may have begun then, since nobody can say how it
// stood.
func (e *episode) open(started time.Time) bool {
	return e.fired == perhaps && !started.Before(e.started) && (e.ended.IsZero() || !started.After(e.ended.Add(e.slack)))
}

// wanted is what the ledger says.
type wanted struct {
	rules  map[string]Expect
	alarms map[string][]*episode // by alarm key, in order
	except []string
}

// readLedger judges at the end: what a message means is on its sent line, and
// whether it was acknowledged comes later.
func (r *Report) readLedger(from io.Reader, except []string) (*wanted, error) {
	type message struct {
		device, boot string
		seq          uint64
		copy         int
	}
	type crossing struct {
		Crossing
		device string
		line   int
	}
	w := &wanted{alarms: make(map[string][]*episode), except: except}
	waiting := make(map[message]int) // the lines on which they were sent
	var crossings []crossing
	line := 0
	err := jsonLines(from, func(e Entry) error {
		line++
		m := message{e.Device, e.Boot, e.Seq, e.Copy}
		switch {
		case e.Line == "run" && w.rules != nil:
			return errors.New("a second run begins here (give each run a ledger of its own)")
		case e.Line == "run":
			w.rules = e.Expect
			if w.rules == nil {
				w.rules = make(map[string]Expect)
			}
		case w.rules == nil:
			return errors.New("does not begin with a run (is this a ledger of firmware-sim run?)")
		case e.Line == "sent":
			r.Messages++
			waiting[m] = line
			for _, c := range e.Expected {
				crossings = append(crossings, crossing{c, e.Device, line})
			}
		case e.Line == "said" || e.Line == "tried" || e.Line == "control":
		case e.Line == "acked" && waiting[m] == 0:
			return fmt.Errorf("device %s: message %d is acknowledged but was not sent", e.Device, e.Seq)
		case e.Line == "acked":
			r.Acked++
			delete(waiting, m)
		default:
			return fmt.Errorf("unknown line %q (is this a ledger of firmware-sim run?)", e.Line)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if w.rules == nil {
		return nil, errors.New("is empty (is this a ledger of firmware-sim run?)")
	}
	// A device's messages build on each other: from the first that was not
	// acknowledged on, nothing is certain.
	unsure := make(map[string]int) // the first such line of each device
	for m, line := range waiting {
		if first, known := unsure[m.device]; m.copy == 0 && (!known || line < first) {
			unsure[m.device] = line
		}
	}
	for _, c := range crossings {
		first, known := unsure[c.device]
		sure := yes
		if c.Maybe || known && c.line >= first {
			sure = perhaps
		}
		if key := c.Rule + "/" + c.device; w.judges(key) {
			w.add(key, c.Crossing, sure)
		}
	}
	return w, nil
}

// judges reports whether an alarm is one of a rule and a device that the ledger
// knows of, and that count.
func (w *wanted) judges(key string) bool {
	rule, device, _ := strings.Cut(key, "/")
	_, known := w.rules[rule]
	return known && !slices.ContainsFunc(w.except, func(glob string) bool {
		matched, err := path.Match(glob, device)
		return err == nil && matched
	})
}

func (w *wanted) add(key string, c Crossing, sure certainty) {
	all := w.alarms[key]
	if n := len(all); n == 0 || all[n-1].started != c.Started {
		all = append(all, &episode{started: c.Started, slack: time.Duration(c.Slack)})
		w.alarms[key] = all
	}
	e := all[len(all)-1]
	switch c.Type {
	case Pending: // it may fire by the bridge's own timer, after the last reading
		e.fired = perhaps
	case Cancelled:
		if sure == yes {
			w.alarms[key] = all[:len(all)-1]
		}
	case Fired:
		e.fired = sure
	case Resolved:
		e.resolved, e.ended = sure, c.At
	}
}

// An arrival is one event as it arrived, first time.
type arrival struct {
	id string
	body
	line int
}

// readReceived returns the first arrivals of alarms, by alarm key.
func (r *Report) readReceived(from io.Reader, want *wanted) (map[string][]arrival, error) {
	bodies := make(map[string][sha256.Size]byte) // by id
	got := make(map[string][]arrival)
	line := 0
	err := jsonLines(from, func(in Received) error {
		line++
		if in.Verified != nil && !*in.Verified {
			r.find(Unverified, "", "request %d, webhook-id %q", line, in.ID)
			return nil
		}
		var b body
		if err := json.Unmarshal(in.Body, &b); err != nil || in.ID == "" || b.Type == "" {
			r.find(Unreadable, "", "request %d, webhook-id %q: %.80q", line, in.ID, in.Body)
			return nil
		}
		var same bytes.Buffer
		if err := json.Compact(&same, in.Body); err != nil {
			return err
		}
		key, sum := b.Data.Alarm.Key, sha256.Sum256(same.Bytes())
		if before, known := bodies[in.ID]; known {
			if before == sum {
				r.Repeats++
			} else {
				r.find(Changed, key, "webhook-id %s: request %d has another body than the first", in.ID, line)
			}
			return nil
		}
		bodies[in.ID] = sum
		if want.judges(key) {
			r.Received++
		} else {
			r.Other++
		}
		if key != "" {
			got[key] = append(got[key], arrival{in.ID, b, line})
		}
		return nil
	})
	return got, err
}

func (r *Report) compare(want *wanted, got map[string][]arrival) {
	for key, arrivals := range sorted(got) {
		r.order(key, arrivals, want.alarms[key])
		if want.judges(key) {
			r.spurious(key, want.alarms[key], arrivals)
		}
	}
	for key, episodes := range sorted(want.alarms) {
		for _, e := range episodes {
			r.lost(key, Fired, e.fired, e, got[key])
			r.lost(key, Resolved, e.resolved, e, got[key])
		}
	}
}

func (r *Report) lost(key, kind string, sure certainty, e *episode, arrivals []arrival) {
	switch sure {
	case no:
		return
	case perhaps:
		r.Open++
		return
	case yes:
		r.Expected++
	}
	if !slices.ContainsFunc(arrivals, func(a arrival) bool {
		return a.Type == kind && e.is(a.Data.Alarm.Started)
	}) {
		r.find(Lost, key, "%s of the episode that began at %s", kind, e.started.Format(stampFormat))
	}
}

func (r *Report) spurious(key string, episodes []*episode, arrivals []arrival) {
	for _, a := range arrivals {
		if a.Type != Fired && a.Type != Resolved {
			continue // levels and reminders are not modelled
		}
		started := a.Data.Alarm.Started
		if !slices.ContainsFunc(episodes, func(e *episode) bool {
			if e.open(started) {
				return true // whatever begins where it is open whether an alarm fired
			}
			return e.is(started) && (a.Type == Fired && e.fired != no || a.Type == Resolved && e.resolved != no)
		}) {
			r.find(Spurious, key, "%s, request %d, webhook-id %s: no reading calls for one that began at %s", a.Type, a.line, a.id, started.Format(stampFormat))
		}
	}
}

// order checks that an alarm's episodes came one after another, and the events
// of each in the order of their numbers, without a gap.
func (r *Report) order(key string, arrivals []arrival, episodes []*episode) {
	seen := make(map[string]map[int]string) // episode, seq, id
	highest := make(map[string]int)
	newest := ""
	var began time.Time
	for _, a := range arrivals {
		alarm := a.Data.Alarm
		events := seen[alarm.Episode]
		if events == nil {
			events = make(map[int]string)
			seen[alarm.Episode] = events
			wrongClock := func(e *episode) bool { return e.open(alarm.Started) || e.open(began) }
			if alarm.Started.Before(began) && !slices.ContainsFunc(episodes, wrongClock) {
				r.find(Disorder, key, "%s, request %d: its episode began at %s, and a later one was told first", a.Type, a.line, alarm.Started.Format(stampFormat))
			} else {
				newest, began = alarm.Episode, alarm.Started
			}
		} else if alarm.Episode != newest {
			r.find(Disorder, key, "%s, request %d: belongs to an episode before the one that was told last", a.Type, a.line)
		}
		if other, twice := events[alarm.Seq]; twice {
			r.find(Doubled, key, "event %d of episode %s has the ids %s and %s", alarm.Seq, alarm.Episode, other, a.id)
			continue
		}
		events[alarm.Seq] = a.id
		if alarm.Seq < highest[alarm.Episode] {
			r.find(Disorder, key, "%s, request %d: event %d of the episode came after event %d", a.Type, a.line, alarm.Seq, highest[alarm.Episode])
		}
		highest[alarm.Episode] = max(alarm.Seq, highest[alarm.Episode])
	}
	for id, events := range sorted(seen) {
		if missing := highest[id] - len(events); missing > 0 && events[1] != "" {
			// Without its first it is the episode's alarm.fired, which the ledger knows of.
			r.find(Lost, key, "%d of the first %d events of episode %s", missing, highest[id], id)
		}
	}
}

// jsonLines calls f for each line. A last line without an end is one that was
// being written: it does not count.
func jsonLines[T any](from io.Reader, f func(T) error) error {
	in := bufio.NewReader(from)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			return fmt.Errorf("line %d: not JSON of the expected shape: %w", n, err)
		}
		if err := f(v); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
}
