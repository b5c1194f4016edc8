package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

func inspected(t *testing.T, dir string, runs bool) Inspection {
	t.Helper()
	found, err := Inspect(t.Context(), dir, runs)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// filled is the folder of a store that was closed.
func filled(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	d := open(t, dir)
	for i := range 30 {
		commit(t, d, event(fmt.Sprintf("e%d", i), fmt.Sprintf("a%d", i%20), "ops"))
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestInspectFindsWhatIsNotAsItWasWritten(t *testing.T) {
	pages := func(change func(page []byte)) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for at := 4096; at < len(text); at += 4096 {
				change(text[at : at+4096])
			}
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for what, test := range map[string]struct {
		damage func(t *testing.T, path string)
		said   string
	}{
		"a body": {func(t *testing.T, path string) {
			alter(t, path, `UPDATE event SET payload = replace(payload, 'warm', 'farm') WHERE num = 7`)
		}, "event 7 (e6) is not as it was written"},
		"a state": {func(t *testing.T, path string) {
			alter(t, path, `UPDATE alarm SET data = replace(data, 'e29', 'e28') WHERE key = 'a9'`)
		}, "alarm a9 is not as it was written"},
		"an index": {pages(func(p []byte) {
			if cells := binary.BigEndian.Uint16(p[3:]); p[0] == 0x0a && cells > 1 {
				binary.BigEndian.PutUint16(p[3:], cells-1)
			}
		}), "index"},
		"a row": {pages(func(p []byte) {
			if cells := binary.BigEndian.Uint16(p[3:]); p[0] == 0x0d && cells > 1 {
				binary.BigEndian.PutUint16(p[3:], cells-1)
			}
		}), "tocsin.db: "},
		"an endpoint's position": {func(t *testing.T, path string) {
			alter(t, path, `UPDATE endpoint SET cursor = cursor + 4`)
		}, "endpoint ops is owed 26 events"},
		"no tables": {func(t *testing.T, path string) {
			_ = os.WriteFile(path, []byte(strings.Repeat("no database ", 1000)), 0o600)
		}, "not a database"},
	} {
		t.Run(what, func(t *testing.T) {
			dir := filled(t)
			if found := inspected(t, dir, false); found.Places > 0 || found.Events != 30 || found.States != 20 {
				t.Fatalf("before: %+v", found)
			}
			test.damage(t, filepath.Join(dir, databaseFile))
			found := inspected(t, dir, false)
			if found.Places == 0 || !strings.Contains(strings.Join(found.Damage, "\n"), test.said) || len(found.Damage) > maxToldDamage {
				t.Errorf("%+v, want %q", found, test.said)
			}
		})
	}
	t.Run("the log", func(t *testing.T) {
		dir := crashed(t, 6)
		if found := inspected(t, dir, false); found.Places > 0 || found.Events != 6 {
			t.Errorf("of a store whose process was killed: %+v", found)
		}
		wal := filepath.Join(dir, databaseFile+"-wal")
		text, err := os.ReadFile(wal)
		if err != nil {
			t.Fatal(err)
		}
		text[logHeader+frameHeader+100] ^= 1
		if err := os.WriteFile(wal, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if found := inspected(t, dir, false); found.Places == 0 || !strings.Contains(found.Damage[0], "tocsin.db-wal") {
			t.Errorf("%+v", found)
		}
	})
}

// seen is what can be seen of a folder.
func seen(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprint(e.Name(), info.Size(), info.ModTime(), info.Mode()))
	}
	return all
}

func TestInspectLeavesNothingBehind(t *testing.T) {
	dir := filled(t)
	before := seen(t, dir)
	inspected(t, dir, false)
	if after := seen(t, dir); !slices.Equal(before, after) {
		t.Errorf("the folder was\n%q, and is\n%q", before, after)
	}
	old := older(t)
	before = seen(t, old)
	if found := inspected(t, old, false); found.Places > 0 {
		t.Errorf("of schema 1: %+v", found)
	}
	if after := seen(t, old); !slices.Equal(before, after) {
		t.Errorf("the folder was\n%q, and is\n%q", before, after)
	}
	alter(t, filepath.Join(old, databaseFile), "PRAGMA user_version = 99")
	if _, err := Inspect(t.Context(), old, false); !errors.Is(err, ErrForeign) {
		t.Errorf("of a newer version: %v", err)
	}
	if _, err := Inspect(t.Context(), t.TempDir(), false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no store: %v", err)
	}
	if err := os.WriteFile(filepath.Join(old, databaseFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if found := inspected(t, old, false); found.Places > 0 {
		t.Errorf("of one that was never made: %+v", found)
	}
}

// A store that is in use is looked through as it is, goes on, and is none the worse.
func TestInspectIsHarmlessBesideARunningStore(t *testing.T) {
	dir := filled(t)
	d := open(t, dir)
	stop := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if err := d.Commit(context.Background(), bridge.Batch{Transitions: []rules.Transition{event(fmt.Sprintf("live%06d", i), "live", "ops")}}); err != nil {
				done <- err
				return
			}
		}
	}()
	for range rounds(5, 100) {
		if found := inspected(t, dir, true); found.Places > 0 || found.Events < 30 {
			t.Errorf("%+v", found)
		}
		if err := d.checkpoint(t.Context()); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if got := names(t, dir, "tocsin.db-*"); len(got) > 0 {
		t.Errorf("after the bridge has ended, there are %q", got)
	}
	if found := inspected(t, dir, false); found.Places > 0 {
		t.Errorf("%+v", found)
	}
}

// A log that cannot be begun anew grows with every commit.
func TestInspectGivesWayToABridgeThatWrites(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	grow := func(to int64) {
		if err := errors.Join(os.WriteFile(log, nil, 0o600), os.Truncate(log, to)); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		grow(100 << 20)
		ctx, stop := sparing(t.Context(), log)
		defer stop()
		grow(150 << 20)
		time.Sleep(time.Second)
		if ctx.Err() != nil {
			t.Fatal("a log that grew by 50 MiB ends the look")
		}
		grow(165 << 20)
		time.Sleep(time.Second)
		if !errors.Is(context.Cause(ctx), ErrBusy) {
			t.Errorf("a log that grew by 65 MiB: %v", context.Cause(ctx))
		}
	})
	dir := filled(t)
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := Inspect(ended, dir, true); !errors.Is(err, context.Canceled) {
		t.Errorf("a look that was ended: %v", err)
	}
}
