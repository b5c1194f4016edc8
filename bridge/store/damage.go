package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"strings"
)

// errDamaged is what a check finds out.
var errDamaged = errors.New("it is not as it was written")

// afterDamage is what is left to be done.
const afterDamage = "tocsin doctor --integrity says what is damaged; restore a backup, or move the folder away to start empty"

// The log of SQLite's file, by its format: a header, and frames of a header and a
// page. Each frame of one time has the salt of the header, and a checksum that goes
// on from the frame before.
const (
	logHeader   = 32
	frameHeader = 24
)

// A chain is a checksum of the log.
type chain [2]uint32

func (c chain) add(order binary.ByteOrder, b []byte) chain {
	for ; len(b) >= 8; b = b[8:] {
		c[0] += order.Uint32(b) + c[1]
		c[1] += order.Uint32(b[4:]) + c[0]
	}
	return c
}

func chainIn(b []byte) chain {
	return chain{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])}
}

// checkLog refuses a log that was damaged after it was written. SQLite takes what
// comes before the damage, and says nothing of the rest, which was acknowledged: it
// cannot tell it from a transaction that was never finished. But a transaction begins
// only when the one before it is on disk. So if one goes on from another after a
// frame that is wrong, both were whole once.
//
// The last transaction is not known by that: damaged, it is taken for torn.
func checkLog(path string) error {
	f, err := os.Open(path) // #nosec G304 -- a name of ours in the folder we were given
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	err = readLog(f)
	_ = f.Close() // read only
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func readLog(r io.Reader) error {
	header := make([]byte, logHeader)
	if _, err := io.ReadFull(r, header); err != nil {
		return ended(err)
	}
	if bytes.Count(header, []byte{0}) == logHeader {
		return nil // the power failed before it was begun
	}
	magic, size := binary.BigEndian.Uint32(header), binary.BigEndian.Uint32(header[8:])
	var order binary.ByteOrder = binary.LittleEndian
	if magic&1 != 0 {
		order = binary.BigEndian
	}
	sum := chain{}.add(order, header[:24])
	if magic&^1 != 0x377f0682 || size < 512 || size > 65536 || sum != chainIn(header[24:]) {
		return fmt.Errorf("its header: %w", errDamaged)
	}
	return readFrames(r, order, header, int(size))
}

func readFrames(r io.Reader, order binary.ByteOrder, header []byte, size int) error {
	salt, sum := header[16:24], chainIn(header[24:])
	frame := make([]byte, frameHeader+size)
	wrong := int64(-1)   // where the first frame is that is wrong
	var follows [2]chain // what the next frame may go on from, once one was wrong
	committed := false   // the frame before ends a transaction
	for at := int64(logHeader); ; at += int64(len(frame)) {
		if _, err := io.ReadFull(r, frame); err != nil {
			return ended(err)
		}
		ours, stored := bytes.Equal(frame[8:16], salt), chainIn(frame[16:])
		from := func(c chain) chain { return c.add(order, frame[:8]).add(order, frame[frameHeader:]) }
		if wrong < 0 {
			computed := from(sum)
			if ours && computed == stored {
				sum = stored
				continue
			}
			wrong, follows = at, [2]chain{stored, computed}
		} else {
			if committed && ours && (from(follows[0]) == stored || from(follows[1]) == stored) {
				return fmt.Errorf("at byte %d: %w, and the log goes on after it", wrong, errDamaged)
			}
			follows = [2]chain{stored, stored}
		}
		committed = binary.BigEndian.Uint32(frame[4:]) != 0
	}
}

// ended takes the end of the log for what it is: a file may end within a frame.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// maxChecked is up to which size a file is looked through at a start:
// it takes less than a second.
const maxChecked = 32 << 20

// check refuses a file whose pages do not fit together, or that owes an endpoint
// something else than was counted: what cannot be found is told to nobody. Of a
// larger one, what is read is found out when it is read.
func (d *DB) check(ctx context.Context) error {
	if used, _, err := d.pages(ctx); err != nil || used > maxChecked {
		return err
	}
	var found string
	if err := d.read.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&found); err != nil {
		return err
	}
	if found != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, strings.Join(strings.Fields(found), " "))
	}
	wrong, err := miscounted(ctx, d.read)
	if len(wrong) > 0 {
		err = fmt.Errorf("%w: %s", errDamaged, wrong[0])
	}
	return err
}

// miscounted returns what is wrong with endpoints that are owed something else than
// was counted with each change. A row that went, an endpoint's position, and a list
// of endpoints that names another one show by that.
func miscounted(ctx context.Context, db *sql.DB) (wrong []string, err error) {
	rows, err := db.QueryContext(ctx, `SELECT p.name, p.owed, p.bytes, p.dead, sum(o.state = 0), sum(o.size) FILTER (WHERE o.state = 0), sum(o.state = 2)
		FROM endpoint p LEFT JOIN (
			SELECT d.ep, d.state, octet_length(e.payload) AS size FROM delivery d JOIN event e ON e.num = d.event WHERE d.state IN (0, 2)
		UNION ALL
			SELECT u.num, 0, octet_length(e.payload) FROM event e JOIN endpoint u ON e.num > u.cursor AND instr(e.eps, ' ' || u.num || ' ') > 0
			WHERE NOT EXISTS (SELECT 1 FROM delivery WHERE event = e.num AND ep = u.num)
		) o ON o.ep = p.num GROUP BY p.num`)
	if err != nil {
		return nil, err
	}
	err = each(rows, func() error {
		var name string
		var counted, found struct{ owed, bytes, dead int64 }
		var owed, bytes, dead sql.NullInt64
		if err := rows.Scan(&name, &counted.owed, &counted.bytes, &counted.dead, &owed, &bytes, &dead); err != nil {
			return err
		}
		if found.owed, found.bytes, found.dead = owed.Int64, bytes.Int64, dead.Int64; found != counted {
			wrong = append(wrong, fmt.Sprintf("endpoint %s is owed %d events of %d bytes and has %d dead ones; %d of %d bytes and %d were counted",
				name, found.owed, found.bytes, found.dead, counted.owed, counted.bytes, counted.dead))
		}
		return nil
	})
	return wrong, err
}

// checksum is kept with a row and covers what must not come back otherwise than it
// was written. Each part counts with its length.
func checksum(parts ...[]byte) int64 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := uint32(0)
	var length [4]byte
	for _, p := range parts {
		binary.LittleEndian.PutUint32(length[:], uint32(len(p))) // #nosec G115 -- a row is not that long
		sum = crc32.Update(crc32.Update(sum, table, length[:]), table, p)
	}
	return int64(sum)
}

// checksumOf is that of an event: of all that is told, and does not change.
func checksumOf(num int64, id, typ, alarm, told string, at int64, data []byte) int64 {
	var numbers [16]byte
	binary.LittleEndian.PutUint64(numbers[:], uint64(num)) // #nosec G115 -- bits are bits
	binary.LittleEndian.PutUint64(numbers[8:], uint64(at)) // #nosec G115 -- bits are bits
	return checksum(numbers[:], []byte(id), []byte(typ), []byte(alarm), []byte(told), data)
}
