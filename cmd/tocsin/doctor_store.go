package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tocsin/bridge/config"
	"tocsin/bridge/history"
	"tocsin/bridge/store"
)

// maxUnasked is what is looked through of a store, or of a history, when nobody has
// asked for all of it: seconds on a slow disk.
const maxUnasked = 256 << 20

// thorough is the context for looking through something, and why that is left out; ""
// if it is not.
func (f *doctorFlags) thorough(ctx context.Context, what string, size int64) (_ context.Context, stop context.CancelFunc, why string) {
	if f.integrity {
		return ctx, func() {}, ""
	}
	if size > maxUnasked {
		return ctx, func() {}, fmt.Sprintf("%s has %d MiB and was not looked through: --integrity does", what, size>>20)
	}
	ctx, stop = context.WithTimeout(ctx, f.patience)
	return ctx, stop, ""
}

// sizeOf is how large the files of a pattern are. One that is gone is none.
func sizeOf(dir, pattern string) (total int64) {
	names, _ := filepath.Glob(filepath.Join(dir, pattern)) // the pattern is well formed, or nothing is large
	for _, name := range names {
		if info, err := os.Stat(name); err == nil {
			total += info.Size()
		}
	}
	return total
}

func examineStore(ctx context.Context, cfg *config.Config, runs bool, f doctorFlags) []finding {
	ctx, stop, why := f.thorough(ctx, cfg.Store.Path, sizeOf(cfg.Store.Path, "tocsin.db")+sizeOf(cfg.Store.Path, "tocsin.db-wal"))
	defer stop()
	if why != "" {
		return []finding{{fine, "store", why, ""}}
	}
	begun := time.Now()
	found, err := store.Inspect(ctx, cfg.Store.Path, runs)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // there is none yet
	}
	return []finding{judgeStore(found, err, time.Since(begun))}
}

func judgeStore(found store.Inspection, err error, took time.Duration) finding {
	switch {
	case found.Places > 0:
		return finding{
			wrong, "store", placesOf(found.Damage, found.Places),
			"stop tocsin and restore a backup, or move the folder away to start empty; see in the system's log what ails the disk",
		}
	case err != nil:
		return unseen("store", err)
	}
	return finding{fine, "store", fmt.Sprintf("%s is sound: %s and %s are as they were written (%s)",
		found.Path, count(found.Events, "event"), count(found.States, "alarm"), took.Round(time.Millisecond)), ""}
}

// unseen is the finding of what could not be looked through.
func unseen(place string, err error) finding {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return finding{suspect, place, "there was not enough time to look through it", "ask with --integrity, or a longer --timeout"}
	case errors.Is(err, store.ErrBusy):
		return finding{suspect, place, "a bridge runs and could not be kept waiting: " + err.Error(), "ask when less is going on, or stop the bridge first"}
	case errors.Is(err, store.ErrForeign):
		return finding{wrong, place, err.Error(), "choose another store.path, or ask the tocsin that wrote it"}
	case errors.Is(err, fs.ErrPermission):
		return finding{suspect, place, err.Error(), "ask as the user who runs tocsin"}
	}
	return finding{wrong, place, "it could not be read: " + err.Error(), "see in the system's log what ails the disk"}
}

// placesOf tells places of damage, and how many more there are.
func placesOf(told []string, all int) string {
	text := strings.Join(told, "; ")
	if more := all - len(told); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

func examineHistory(ctx context.Context, cfg *config.Config, runs bool, f doctorFlags) []finding {
	dir := historyFolder(cfg)
	ctx, stop, why := f.thorough(ctx, dir, sizeOf(dir, "*"))
	defer stop()
	if why != "" {
		return []finding{{fine, "history", why, ""}}
	}
	found, err := history.Inspect(ctx, dir, runs)
	if err == nil && found.Bytes == 0 {
		return nil // there is none
	}
	return []finding{judgeHistory(dir, found, err)}
}

func judgeHistory(dir string, found history.Inspection, err error) finding {
	switch {
	case found.Places > 0:
		var told []string
		for _, p := range found.Damage {
			told = append(told, p.Error())
		}
		return finding{suspect, "history", placesOf(told, found.Places), "windows, charts and backtests go without what was there, and nothing else does; see in the system's log what ails the disk"}
	case err != nil:
		return unseen("history", err)
	}
	return finding{fine, "history", fmt.Sprintf("%s is sound: %s", dir, count(found.Blocks, "block")), ""}
}
