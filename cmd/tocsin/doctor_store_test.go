package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tocsin/bridge"
	"tocsin/bridge/history"
	"tocsin/bridge/store"
	"tocsin/bridge/webhook"
	"tocsin/rules"
)

func TestDoctorFindsAFlippedBitInTheStore(t *testing.T) {
	dir := plant(t, embedded("127.0.0.1:0"), webhook.NewSecret(), "http://127.0.0.1:9/hook")
	data := filepath.Join(dir, "data")
	db, err := store.Open(t.Context(), store.Options{Path: data})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Commit(t.Context(), bridge.Batch{Transitions: []rules.Transition{{
		State:  rules.State{Key: "warm/a", Rule: "warm", Episode: "e1"},
		Events: []rules.Event{{ID: "e1", Type: rules.AlarmFired, At: time.Now(), Title: "much too warm"}},
	}}}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, out := diagnose(t, dir)
	wantFinding(t, out, fine, "store", "tocsin.db is sound: 1 event and 1 alarm are as they were written")
	path := filepath.Join(data, "tocsin.db")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(text, []byte("much too warm"))
	if at < 0 {
		t.Fatal("the event is not in the file")
	}
	text[at] ^= 1
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	code, out := diagnose(t, dir)
	wantFinding(t, out, wrong, "store", "event 1 (e1) is not as it was written (stop tocsin and restore a backup")
	if code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	// Where nothing is asked of it, a large one is left alone.
	if err := os.Truncate(path, maxUnasked+1); err != nil {
		t.Fatal(err)
	}
	_, out = diagnose(t, dir)
	wantFinding(t, out, fine, "store", "has 256 MiB and was not looked through: --integrity does")
	if _, out = diagnose(t, dir, "--integrity"); !strings.Contains(out, "event 1 (e1) is not as it was written") {
		t.Errorf("--integrity: %s", out)
	}
}

func TestDoctorJudgesWhatItSeesOfAStore(t *testing.T) {
	f := func(got finding, want verdict, fact string) {
		t.Helper()
		if got.Verdict != want || !strings.Contains(got.Fact, fact) || (got.Remedy == "") != (want == fine) {
			t.Errorf("%+v, want %s and %q, with a remedy unless all is well", got, want, fact)
		}
	}
	damaged := store.Inspection{Damage: []string{"event 7", "event 9"}, Places: 12}
	f(judgeStore(damaged, nil, 0), wrong, "event 7; event 9; and 10 more")
	f(judgeStore(damaged, context.DeadlineExceeded, 0), wrong, "event 7")
	none := store.Inspection{}
	f(judgeStore(none, context.DeadlineExceeded, 0), suspect, "not enough time")
	f(judgeStore(none, fmt.Errorf("%w: its log grew by 65 MiB", store.ErrBusy), 0), suspect, "its log grew")
	f(judgeStore(none, fmt.Errorf("x: %w", store.ErrForeign), 0), wrong, "not written by this program")
	f(judgeStore(none, os.ErrPermission, 0), suspect, "permission denied")
	f(judgeStore(none, os.ErrClosed, 0), wrong, "it could not be read")
	f(judgeHistory("h", history.Inspection{Damage: []*history.Problem{{File: "h/1", Offset: 8, Fact: "the checksum of a block is wrong"}}, Places: 1}, nil), suspect, "at byte 8: the checksum")
	f(judgeHistory("h", history.Inspection{Blocks: 3}, nil), fine, "3 blocks")
	f(judgeHistory("h", history.Inspection{}, os.ErrPermission), suspect, "permission denied")
}
