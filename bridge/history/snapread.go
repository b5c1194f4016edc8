package history

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
)

var (
	errNoSnapshot = errors.New("it is no snapshot of this version")
	errCut        = errors.New("it ends too early")
)

// readSnapshot calls use with each block that has records, up to the one that
// says that they are all.
func readSnapshot(path string, use func(h *header, payload []byte) (more bool, err error)) error {
	first, records := true, uint64(0)
	return readBlocks(path, func(u *unpacker, f io.ReaderAt, h *header, at int64) (bool, error) {
		if first { // the info
			first = false
			return true, nil
		}
		payload, err := u.read(f, h, at)
		if err == nil && h.first != records {
			err = errPayload
		}
		if err != nil || h.count == 0 {
			return false, err
		}
		records = h.end()
		return use(h, payload)
	})
}

// checkSnapshot reads all of a snapshot, and makes sure that it is whole.
func checkSnapshot(path string) error {
	return readSnapshot(path, func(h *header, payload []byte) (bool, error) {
		var count uint32
		_, err := eachRecord(payload, func([]byte, error) bool {
			count++
			return true
		})
		if err == nil && count != h.count {
			err = errPayload
		}
		return true, err
	})
}

func readInfo(path string) (info SnapshotInfo, err error) {
	err = readBlocks(path, func(u *unpacker, f io.ReaderAt, h *header, at int64) (bool, error) {
		about, err := u.read(f, h, at)
		if err != nil {
			return false, err
		}
		return false, json.Unmarshal(about, &info)
	})
	return info, err
}

// readBlocks calls use with each block until it wants no more. A file that ends
// before that is cut short.
func readBlocks(path string, use func(u *unpacker, f io.ReaderAt, h *header, at int64) (more bool, err error)) error {
	f, err := os.Open(path) // #nosec G304 -- a name of ours in the folder we were given
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // read only
	u, err := newUnpacker()
	if err != nil {
		return err
	}
	defer u.close()
	var buf [headerBytes]byte
	if _, err := f.ReadAt(buf[:len(snapshotMagic)], 0); err != nil || string(buf[:len(snapshotMagic)]) != snapshotMagic {
		return errNoSnapshot
	}
	for at := int64(len(snapshotMagic)); ; {
		if _, err := f.ReadAt(buf[:], at); err != nil {
			return endOf(err)
		}
		h, err := parseHeader(buf[:])
		if err != nil {
			return err
		}
		if more, err := use(u, f, &h, at); err != nil || !more {
			return endOf(err)
		}
		at += headerBytes + int64(h.size)
	}
}

// endOf says in the words of a snapshot that a file has ended.
func endOf(err error) error {
	if errors.Is(err, io.EOF) {
		return errCut
	}
	return err
}

// eachRecord yields the records in the payload of a block.
func eachRecord(payload []byte, yield func([]byte, error) bool) (more bool, err error) {
	for len(payload) > 0 {
		size, n := binary.Uvarint(payload)
		if n <= 0 || size > uint64(len(payload)-n) {
			return false, errPayload
		}
		end := n + int(size) // #nosec G115 -- just checked
		if !yield(payload[n:end:end], nil) {
			return false, nil
		}
		payload = payload[end:]
	}
	return true, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// syncDir makes the names in a folder durable.
func syncDir(path string) error {
	f, err := os.Open(path) // #nosec G304 -- the folder we were given
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
