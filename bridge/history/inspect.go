package history

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// maxToldDamage is how many places of damage an Inspection tells.
const maxToldDamage = 5

// An Inspection is what has been found in a history.
type Inspection struct {
	Bytes  int64
	Blocks int        // whose checksums are right
	Damage []*Problem // the first places
	Places int        // of damage, all of them
}

// Inspect looks at the checksum of every block in the folder of a history. It changes
// nothing. Runs says that a process may be writing there, and so what it writes just
// then be there in part. A folder that is not there holds nothing.
func Inspect(ctx context.Context, dir string, runs bool) (found Inspection, err error) {
	segments, err := segmentsIn(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return found, nil
	} else if err != nil {
		return found, fmt.Errorf("reading history: %w", err)
	}
	u, err := newUnpacker()
	if err != nil {
		return found, err
	}
	defer u.close()
	damaged := func(p *Problem) {
		if found.Places++; len(found.Damage) < maxToldDamage {
			found.Damage = append(found.Damage, p)
		}
	}
	for i, s := range segments {
		found.Bytes += s.size
		all := func(*header, int64) bool { return true }
		err := readPart(ctx, &part{segment: *s}, u, all, func(h *header, at int64, _ []byte, err error) bool {
			if err != nil {
				damaged(&Problem{File: s.path, Offset: at, Fact: err.Error(), Lost: uint64(h.count)})
			} else {
				found.Blocks++
			}
			return true
		})
		var p *Problem
		switch {
		case errors.As(err, &p):
			if newest := i == len(segments)-1; !runs || !newest {
				damaged(p)
			}
		case runs && errors.Is(err, fs.ErrNotExist): // it was too old
		case err != nil:
			return found, fmt.Errorf("reading history: %w", err)
		}
	}
	return found, nil
}
