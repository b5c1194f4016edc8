package store

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"tocsin/bridge"
	"tocsin/rules"
)

// A disk may have space for a file of its own and for what replaces something, and
// none for the log or the database to grow. There is space when a group can be
// written, and until then it is not told in turns that there is and that there is not.
func TestThereIsSpaceWhenAGroupCanBeWritten(t *testing.T) {
	ctx := t.Context()
	var said bytes.Buffer
	d, err := Open(ctx, Options{Path: t.TempDir(), Log: slog.New(slog.NewTextHandler(&said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	made := 0
	attempt := func() error {
		var ts []rules.Transition
		for range 50 {
			ts = append(ts, event(fmt.Sprintf("space-%06d", made), fmt.Sprintf("rule/%d", made), "x"))
			made++
		}
		return d.Commit(ctx, bridge.Batch{Transitions: ts})
	}
	if err := errors.Join(attempt(), d.Commit(ctx, bridge.Batch{})); err != nil {
		t.Fatal(err)
	}
	limit := func(pages string) {
		d.writing.Lock()
		defer d.writing.Unlock()
		if _, err := d.w.conn.ExecContext(ctx, "PRAGMA max_page_count = "+pages); err != nil {
			t.Fatal(err)
		}
	}
	limit("1") // SQLite makes it as many as there are
	for range 3 {
		if err := attempt(); !errors.Is(err, bridge.ErrFull) {
			t.Fatalf("Commit into a file that may not grow = %v", err)
		}
		for range 3 {
			if err := d.Commit(ctx, bridge.Batch{}); !errors.Is(err, bridge.ErrFull) {
				t.Errorf("nothing of use can be written, and the probe is answered %v", err)
			}
		}
	}
	full, space := strings.Count(said.String(), "nothing new is taken"), strings.Count(said.String(), "disk has space again")
	if full != 1 || space != 0 {
		t.Errorf("of one want of space it is told %d times, and %d times that it is over:\n%s", full, space, said.String())
	}
	limit("4294967294")
	if err := d.Commit(ctx, bridge.Batch{}); err != nil {
		t.Errorf("probe = %v", err)
	}
	if err := attempt(); err != nil {
		t.Errorf("Commit = %v", err)
	}
	if full, space := strings.Count(said.String(), "nothing new is taken"), strings.Count(said.String(), "disk has space again"); full != 1 || space != 1 {
		t.Errorf("at the end it is told %d times that the disk is full, and %d times that it has space:\n%s", full, space, said.String())
	}
}
