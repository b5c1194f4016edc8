//go:build linux

package torture

import "encoding/binary"

// The log of the store's file, as SQLite describes it: a header, and frames of a
// header and a page. Those of one time begin with the same salt.
const (
	walHeader   = 32
	frameHeader = 24
)

// commits are the offsets at which the transactions of a log end.
func commits(text []byte) (ends []int) {
	if len(text) < walHeader {
		return nil
	}
	frame := frameHeader + int(binary.BigEndian.Uint32(text[8:]))
	salt := string(text[16:24])
	for at := walHeader; at+frame <= len(text) && string(text[at+8:at+16]) == salt; at += frame {
		if binary.BigEndian.Uint32(text[at+4:]) != 0 {
			ends = append(ends, at+frame)
		}
	}
	return ends
}
