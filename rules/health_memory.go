package rules

import (
	"encoding/binary"
	"time"
)

// How rules fared is a record each: an operator who asks which rule never fired
// means since it was written, not since the last restart. What a rule cannot look
// at is left out, for whoever takes the record back finds it out again.

func (h *health) appendMemory(b []byte, r *rule) []byte {
	b = append(b, ofHealth, memoryVersion)
	b = appendText(appendText(b, r.id), r.logic)
	b = binary.AppendVarint(b, h.since)
	for o, n := range h.counts {
		if outcome(o) == errored {
			continue
		}
		if b = binary.AppendVarint(b, int64(n)); n > 0 {
			t := &h.traces[o]
			b = appendText(appendText(binary.AppendVarint(b, nanos(t.At)), t.Key), t.Text)
		}
	}
	n, m := &h.near, &h.miss
	if b = appendBool(b, n.known); n.known {
		b = appendBool(appendFloat(appendFloat(b, n.short), n.value), n.beyond)
		b = appendText(appendText(appendText(binary.AppendVarint(b, n.at), n.device), n.limit), n.unit)
	}
	b = binary.AppendVarint(appendFloat(b, m.share), m.held)
	b = binary.AppendVarint(binary.AppendVarint(b, int64(m.hold)), m.at)
	return appendText(b, m.device)
}

// recallHealth takes back how a rule fared. How near readings came to a limit that
// has changed is not worth knowing any more.
func (e *Engine) recallHealth(r *reader) {
	rule, logic := e.program.byID[r.text()], r.text()
	h := health{since: r.int()}
	for o := range h.counts {
		if outcome(o) == errored {
			continue
		}
		if h.counts[o] = int(r.int()); h.counts[o] > 0 {
			if t := (Trace{Outcome: outcomeNames[o], At: wall(r.int()), Key: r.text(), Text: r.text()}); t.Key != "" { // or it was only rehearsed
				h.traces[o] = t
			}
		}
	}
	if r.bool() {
		h.near = nearness{known: true, short: r.float(), value: r.float(), beyond: r.bool(), at: r.int(), device: r.text(), limit: r.text(), unit: r.text()}
	}
	h.miss = miss{share: r.float(), held: r.int(), hold: time.Duration(r.int()), at: r.int(), device: r.text()}
	if rule == nil || r.err != nil {
		return
	}
	if rule.logic != logic {
		h.near, h.miss = nearness{}, miss{}
	}
	now := &e.counts[rule.index].health
	h.counts[errored], h.traces[errored] = now.counts[errored], now.traces[errored]
	*now = h
}
