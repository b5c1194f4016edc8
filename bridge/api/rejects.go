package api

import (
	"context"
	"encoding/hex"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tocsin/bridge"
)

// A RejectView is input of one kind that was not used. What a device sent is
// another's text, not to be trusted.
type RejectView struct {
	bridge.Reject
	Payload    string `json:"payload,omitempty" doc:"the beginning of the newest payload, where it is text"`
	PayloadHex string `json:"payload_hex,omitempty" doc:"the same, where it is not"`
}

// An UnaskedView is a device that says nothing which a rule asks for.
type UnaskedView struct {
	bridge.Unasked
	Text string `json:"text" doc:"all of it, for people"`
}

// addRejects adds what tells of input that was not used, and of what would use it.
func (c *control) addRejects() {
	type rejectList struct {
		Since   time.Time     `json:"since" doc:"counts begin with the process"`
		Rejects []RejectView  `json:"rejects" doc:"one for each source and reason, the newest first"`
		Unasked []UnaskedView `json:"unasked" doc:"devices that say nothing which a rule asks for, by name; not all of very many"`
	}
	type sourceList struct {
		Sources []bridge.SourceInfo `json:"sources"`
	}
	reads(c, does{bridge.ScopeRead, "sources", "List what messages are read by"}, func(context.Context, *struct{}) (sourceList, error) {
		return sourceList{c.bridge.Sources()}, nil
	})
	reads(c, does{bridge.ScopeRead, "rejects", "List the input that was not used, and why"}, func(context.Context, *struct{}) (rejectList, error) {
		found, since := c.bridge.Rejects()
		list := rejectList{Since: since, Rejects: []RejectView{}, Unasked: []UnaskedView{}}
		for _, u := range c.bridge.Unasked("") {
			list.Unasked = append(list.Unasked, UnaskedView{u, u.Text()})
		}
		for _, r := range found {
			v := RejectView{Reject: r}
			if text := string(untorn(r.Payload)); isPlain(text) {
				v.Payload = text
			} else {
				v.PayloadHex = hex.EncodeToString(r.Payload)
			}
			list.Rejects = append(list.Rejects, v)
		}
		return list, nil
	})
}

// untorn leaves out a character that was cut off at the end.
func untorn(b []byte) []byte {
	for n := 1; n <= min(utf8.UTFMax, len(b)); n++ {
		if tail := b[len(b)-n:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				return b[:len(b)-n]
			}
			break
		}
	}
	return b
}

// isPlain reports whether a text can be shown as it is.
func isPlain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) && !strings.ContainsRune("\n\r\t", r)
	})
}
