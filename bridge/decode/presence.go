package decode

import (
	"bytes"

	"tocsin/rules"
)

// presence reads a payload that says whether a device is there.
func (r *reading) presence(payload []byte) *Rejection {
	text := bytes.TrimSpace(payload)
	if len(text) > 0 && (text[0] == '{' || text[0] == '"') {
		var rej *Rejection
		if text, rej = r.stated(text); rej != nil {
			return rej
		}
	}
	status, ok := statusOf(text)
	if !ok {
		return rejectf(ReasonValue, "%s is no presence (write online, offline, lost or sleeping, or one of the words that the documentation lists)", quote(text))
	}
	if status == rules.Online && r.flags&rules.Retained != 0 {
		status = rules.StatusUnknown
	}
	reason, _ := r.d.texts.bytes(text)
	r.out.Presence = append(r.out.Presence, rules.Presence{
		Source: r.d.name, Device: r.topicDevice, Status: status, Reason: reason, At: r.received,
	})
	return nil
}

// stated finds the word in a JSON document.
func (r *reading) stated(payload []byte) ([]byte, *Rejection) {
	doc := r.out.doc
	if doc == nil {
		doc = new(document)
		r.out.doc = doc
	}
	const members = 1000 // of a document that says one thing
	if rej := doc.parse(payload, r.d.maxDepth, members); rej != nil {
		return nil, rej
	}
	at := 0
	if doc.nodes[0].kind == '{' {
		var found bool
		if at, found = r.find(r.d.value, doc, 0); !found {
			return nil, rejectf(ReasonValue, "the document has no presence where value says (set value to its path; without, it is $.state)")
		}
	}
	switch n := &doc.nodes[at]; n.kind {
	case 't':
		return []byte("true"), nil
	case 'f':
		return []byte("false"), nil
	case '"', '0':
		return n.text, nil
	}
	return nil, rejectf(ReasonValue, "what is where value says is no presence (write online, offline, lost or sleeping)")
}

// maxWord is the length of the longest word for a presence.
const maxWord = len("disconnected")

// statusOf returns the presence that a word stands for, in any case.
func statusOf(word []byte) (rules.Status, bool) {
	var lower [maxWord]byte
	if len(word) > maxWord {
		return 0, false
	}
	for i, c := range word {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	switch string(lower[:len(word)]) {
	case "online", "true", "1", "connected", "available", "alive", "awake", "init", "ready", "alert":
		return rules.Online, true
	case "offline", "false", "0", "disconnected", "unavailable":
		return rules.Offline, true
	case "lost", "dead":
		return rules.Lost, true
	case "sleeping", "asleep":
		return rules.Sleeping, true
	}
	return 0, false
}
