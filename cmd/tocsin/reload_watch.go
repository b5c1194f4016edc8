package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"tocsin/bridge"
	"tocsin/bridge/api"
	"tocsin/bridge/config"
)

// settle is how long the watched folders have to be quiet before what was saved
// is read: an editor writes in several steps, a deployment several files.
const settle = 200 * time.Millisecond

// maxUnsettled is how long it may take at most, in a folder that is never quiet, or
// until a file that is gone or empty is believed to be meant like that.
const maxUnsettled = 5 * time.Second

// run reloads at SIGHUP and when a file of the configuration is saved, until ctx
// ends. hangup receives the signals.
func (r *reloader) run(ctx context.Context, hangup <-chan os.Signal) {
	w := newWatch(r.log)
	defer w.close()
	var quiet <-chan time.Time // nil: nothing was saved
	var since time.Time
	follow := func() {
		if w.follow(r.watched()) {
			quiet, since = time.After(settle), time.Now() // it may have been saved before it was watched
		}
	}
	follow()
	for {
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			asked = true
		case ev := <-w.events:
			if w.concerns(ev) {
				if quiet == nil {
					since = time.Now()
				}
				if time.Since(since) < maxUnsettled {
					quiet = time.After(settle)
				}
			}
			continue
		case err := <-w.errors:
			// An overflow lost events: some of them may have been ours.
			r.log.Warn("watching the configuration", "error", err)
			quiet, since = time.After(settle), time.Now()
			continue
		case <-quiet:
			if w.midway() && time.Since(since) < maxUnsettled {
				quiet = time.After(settle)
				continue
			}
		}
		quiet = nil
		r.unrequested(ctx, asked)
		follow()
	}
}

// unrequested reloads, and has the audit log say so where it was asked for by a
// signal, or came to anything.
func (r *reloader) unrequested(ctx context.Context, asked bool) {
	before := r.wrong()
	report, err := r.reload(ctx, asked)
	rejected := (*api.Rejected)(nil)
	wrong := errors.As(err, &rejected)
	if err != nil && ctx.Err() == nil && !wrong {
		r.log.Error("reloading the configuration", "error", err) // a rejection has been told
	}
	who := api.ByFile
	if asked {
		who = api.BySignal
	}
	if !asked && before == r.wrong() && report.Changes.Empty() && len(report.Definitions) == 0 {
		return
	}
	said := report.Said()
	entry := bridge.AuditEntry{At: time.Now().UTC(), Who: who, Method: "RELOAD", Path: r.started.Path, Status: http.StatusOK, Said: make(map[string]string)}
	for i := 0; i+1 < len(said); i += 2 {
		entry.Said[said[i]] = clipped(said[i+1], maxSaid)
	}
	switch {
	case wrong:
		entry.Status, entry.Error = http.StatusUnprocessableEntity, clipped(r.wrong(), maxSaid)
	case err != nil:
		entry.Status, entry.Error = http.StatusServiceUnavailable, clipped(err.Error(), maxSaid)
	}
	if err := r.bridge.Access().Audit(ctx, entry, api.AuditKept); err != nil && ctx.Err() == nil {
		r.log.Error("audit entry not written", "error", err, "who", entry.Who, "path", entry.Path, "status", entry.Status)
	}
}

// maxSaid bounds each thing that an entry says: many are kept.
const maxSaid = 500

// wrong is what is wrong with the configuration as it was last read.
func (r *reloader) wrong() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rejected
}

// watched is what the running configuration was read from.
func (r *reloader) watched() []string {
	return config.Watched(r.roll.Load().config)
}

// notifyHangup has SIGHUP no longer end the process.
func notifyHangup() (hangup <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// A watch hears of changes in the folders that a configuration's files are in.
// Folders, because editors and deployments do not write a file: they rename
// another to its name, or turn a link.
type watch struct {
	log     *slog.Logger
	watcher *fsnotify.Watcher // nil: nothing can be watched
	events  <-chan fsnotify.Event
	errors  <-chan error
	files   map[string]bool // what is read, as named and as links lead there
	folders map[string]bool // in which any file may be read
	written []string        // the files that held something when they were last read
	failing map[string]bool // folders that cannot be watched, which has been told
}

func newWatch(log *slog.Logger) *watch {
	w := &watch{log: log, failing: map[string]bool{}}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("the configuration is not watched (send SIGHUP after a change)", "error", err)
		return w
	}
	w.watcher, w.events, w.errors = watcher, watcher.Events, watcher.Errors
	return w
}

func (w *watch) close() {
	if w.watcher != nil {
		_ = w.watcher.Close() // nothing is written through it
	}
}

// follow watches what belongs to the given files and folders, and nothing else. It
// reports whether a folder is new.
func (w *watch) follow(paths []string) (more bool) {
	if w.watcher == nil {
		return false
	}
	w.files, w.folders, w.written = map[string]bool{}, map[string]bool{}, nil
	wanted := map[string]bool{}
	for _, path := range paths {
		if holdsText(path) {
			w.written = append(w.written, path)
		}
		for _, path := range []string{path, resolved(path)} {
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				w.folders[path], wanted[path] = true, true
				continue
			}
			w.files[path], wanted[filepath.Dir(path)] = true, true
		}
	}
	known := map[string]bool{}
	for _, path := range w.watcher.WatchList() {
		known[path] = true
		if !wanted[path] {
			_ = w.watcher.Remove(path) // it has gone already, or it is not needed
		}
	}
	for path := range wanted {
		err := w.watcher.Add(path) // again, for it may be another folder of that name
		if err != nil && !w.failing[path] {
			w.log.Warn("a folder of the configuration is not watched (send SIGHUP after a change)", "folder", path, "error", err)
		}
		w.failing[path] = err != nil
		more = more || err == nil && !known[path]
	}
	return more
}

// midway reports whether a file is gone or empty that was not: programs move or empty
// a file before they write it, and may be held up in between.
func (w *watch) midway() bool {
	return slices.ContainsFunc(w.written, func(path string) bool { return !holdsText(path) })
}

// holdsText reports whether path is a file that is not empty.
func holdsText(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Size() > 0
}

// resolved is where links lead, or path itself.
func resolved(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target
	}
	return path
}

// concerns reports whether an event may have changed what is read. A file that
// comes or goes beside one that is read may be a link on the way to it.
func (w *watch) concerns(ev fsnotify.Event) bool {
	if ev.Op == fsnotify.Chmod {
		return false
	}
	name := filepath.Clean(ev.Name)
	return w.files[name] || w.folders[filepath.Dir(name)] || ev.Has(fsnotify.Create|fsnotify.Rename|fsnotify.Remove)
}
