package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bridge"
)

// crashed is the folder of a store that has ended by itself after so many commits.
func crashed(t *testing.T, n int) (dir string) {
	t.Helper()
	from, dir := t.TempDir(), t.TempDir()
	d := open(t, from)
	for i := range n {
		commit(t, d, event(fmt.Sprintf("e%d", i), fmt.Sprintf("a%d", i), "ops"))
	}
	for _, name := range []string{databaseFile, databaseFile + "-wal"} {
		text, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// frames are where the frames of a log begin, and which of them end a transaction.
func frames(text []byte) (at []int, last []bool) {
	for p := logHeader; p+frameHeader+4096 <= len(text); p += frameHeader + 4096 {
		if string(text[p+8:p+16]) != string(text[16:24]) {
			break
		}
		at, last = append(at, p), append(last, binary.BigEndian.Uint32(text[p+4:]) != 0)
	}
	return at, last
}

// Whatever bit of the log was flipped: SQLite would go without all that comes after
// it, and nobody would know.
func TestDamageInTheMiddleOfTheLogIsRefused(t *testing.T) {
	dir := crashed(t, 6)
	wal := filepath.Join(dir, databaseFile+"-wal")
	text, err := os.ReadFile(wal)
	if err != nil {
		t.Fatal(err)
	}
	at, last := frames(text)
	end := len(at) - 1
	for end--; !last[end]; end-- { // the last transaction begins after this frame
	}
	try := func(what string, byteAt int, refused bool) {
		t.Helper()
		damaged := slices.Clone(text)
		damaged[byteAt] ^= 0x10
		if err := os.WriteFile(wal, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := checkLog(wal); (err != nil) != refused || refused && !errors.Is(err, errDamaged) {
			t.Errorf("%s, byte %d: %v, to be refused: %t", what, byteAt, err, refused)
		}
	}
	for i := range logHeader {
		try("header", i, true)
	}
	for i, p := range at {
		// A flip in the frame that ends a transaction may hide that it does; where only
		// one more comes after it, nothing tells them from a torn one.
		for _, within := range []int{0, 1, 9, 14, 17, 22, frameHeader, frameHeader + 2000, frameHeader + 4095} {
			try(fmt.Sprintf("frame %d", i), p+within, i <= end)
		}
	}
	damaged := slices.Clone(text)
	damaged[at[0]+frameHeader+100] ^= 1
	if err := os.WriteFile(wal, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	refuses(t, dir, "tocsin.db-wal", "is damaged", "restore a backup")
}

// What was never synced may be there in part, and was promised to nobody.
func TestTornTransactionIsLeftOut(t *testing.T) {
	dir := crashed(t, 6)
	wal := filepath.Join(dir, databaseFile+"-wal")
	text, err := os.ReadFile(wal)
	if err != nil {
		t.Fatal(err)
	}
	at, last := frames(text)
	begin := len(at) - 1
	for ; !last[begin-1]; begin-- {
	}
	for p := at[begin]; p < len(text); p += 1111 {
		garbled := slices.Clone(text)
		clear(garbled[p:min(p+4096, len(garbled))])
		for what, torn := range map[string][]byte{"cut": text[:p], "a hole": garbled, "more": append(slices.Clone(text), garbled[32:9000]...)} {
			if err := os.WriteFile(wal, torn, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := checkLog(wal); err != nil {
				t.Errorf("%s at byte %d: %v", what, p, err)
			}
		}
	}
	if err := os.WriteFile(wal, text[:at[len(at)-1]+100], 0o600); err != nil {
		t.Fatal(err)
	}
	d := open(t, dir)
	audit(t, d, []string{"e0", "e1", "e2", "e3", "e4"})
}

// SQLite has no checksum for a page: a flipped bit in a text comes back as another
// text.
func TestFlippedBitInARowIsNotTold(t *testing.T) {
	for what, flip := range map[string]string{
		"a body":  `UPDATE event SET payload = replace(payload, 'e1', 'e7')`,
		"a type":  `UPDATE event SET type = 'alarm.resolved'`,
		"an id":   `UPDATE event SET id = 'e7' WHERE id = 'e1'`,
		"a key":   `UPDATE event SET alarm = 'a7'`,
		"a state": `UPDATE alarm SET data = replace(data, 'e1', 'e7')`,
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			d := open(t, dir)
			commit(t, d, event("e0", "a0", "ops"), event("e1", "a1", "ops"))
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			db, err := connect(filepath.Join(dir, databaseFile), 1024)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec(flip); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			d = open(t, dir)
			err = read(d)
			if err == nil || !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), "not as it was written") || !strings.Contains(err.Error(), "(tocsin doctor --integrity says what is damaged; restore a backup") {
				t.Errorf("%v", err)
			}
		})
	}
}

// The columns that change as deliveries go on have no checksum. What one that flipped
// takes from an endpoint is missing in the count of what it is owed.
func TestFlippedBitTakesNothingFromWhatIsOwed(t *testing.T) {
	ctx := context.Background()
	whole := t.TempDir()
	d := open(t, whole)
	for i := range 12 {
		commit(t, d, event(fmt.Sprintf("e%d", i), fmt.Sprintf("a%d", i), "ops", "canary"))
	}
	drain(t, d, "canary")
	due, _, err := d.Claim(ctx, bridge.Ask{Endpoint: "ops", Limit: 3})
	if err != nil || len(due) != 3 {
		t.Fatalf("%d due, %v", len(due), err)
	}
	ends := []bridge.Outcome{{Fate: bridge.Dead}, {Fate: bridge.Retry, Due: time.Now().Add(time.Hour)}, {Fate: bridge.Retry, Due: time.Now().Add(time.Hour)}}
	for i := range ends {
		ends[i].Event, ends[i].Endpoint, ends[i].Attempt, ends[i].At = due[i].Event, "ops", 1, time.Now()
	}
	if err := d.Finish(ctx, ends); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(whole, databaseFile))
	if err != nil {
		t.Fatal(err)
	}
	for what, flip := range map[string]string{
		"nothing":                 ``,
		"a position":              `UPDATE endpoint SET cursor = cursor + 4 WHERE name = 'ops'`,
		"a position, back":        `UPDATE endpoint SET cursor = 0 WHERE name = 'ops'; DELETE FROM delivery WHERE ep = (SELECT num FROM endpoint WHERE name = 'ops')`,
		"whom an event is for":    `UPDATE event SET eps = replace(eps, (SELECT num FROM endpoint WHERE name = 'ops'), 9) WHERE num = 8`,
		"a delivery's state":      `UPDATE delivery SET state = 1 WHERE ep = (SELECT num FROM endpoint WHERE name = 'ops') AND event = 2`,
		"a dead delivery's state": `UPDATE delivery SET state = 3 WHERE state = 2`,
		"a delivery's event":      `UPDATE delivery SET event = 99 WHERE event = 2 AND state = 0`,
		"a delivery's endpoint":   `UPDATE delivery SET ep = (SELECT num FROM endpoint WHERE name = 'canary'), event = 99 WHERE event = 2 AND state = 0`,
		"what was counted":        `UPDATE endpoint SET owed = owed + 1 WHERE name = 'ops'`,
		"a delivered one's state": `UPDATE delivery SET state = 0 WHERE state = 1 AND event = 5`,
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, databaseFile)
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			if what == "nothing" {
				if err := open(t, dir).Close(); err != nil {
					t.Fatal(err)
				}
				return
			}
			alter(t, path, flip)
			refuses(t, dir, "not as it was written: endpoint ", " were counted", "restore a backup")
		})
	}
}

// read reads all states, and what is owed to ops.
func read(d *DB) error {
	for _, err := range d.States(context.Background(), "") {
		if err != nil {
			return err
		}
	}
	_, _, err := d.Claim(context.Background(), bridge.Ask{Endpoint: "ops", Limit: 10})
	return err
}

// A page that has one cell less is a page like any other to a reader, and what was in
// the cell is owed to nobody.
func TestPageThatLacksARowIsRefused(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	for i := range 20 {
		commit(t, d, event(fmt.Sprintf("e%d", i), fmt.Sprintf("a%d", i), "ops"))
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, databaseFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for at := 4096; at < len(text); at += 4096 {
		if cells := binary.BigEndian.Uint16(text[at+3:]); text[at] == 0x0d && cells > 1 { // a leaf of a table
			binary.BigEndian.PutUint16(text[at+3:], cells-1)
			tried++
		}
	}
	if tried == 0 {
		t.Fatal("no page has rows")
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	refuses(t, dir, "tocsin.db is damaged", "(tocsin doctor --integrity says what is damaged; restore a backup")
}
