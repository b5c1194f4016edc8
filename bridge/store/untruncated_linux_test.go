package store

import (
	"os/exec"
	"path/filepath"
	"testing"

	"tocsin/bridge"
)

// Some file systems want space to make a file shorter, and have none when they are full.
// Nothing is lost by a log that stays as long as it is.
func TestLogThatCannotBeCutOffOnAFullDiskBreaksNothing(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	cutOff := func() error {
		db.writing.Lock()
		defer db.writing.Unlock()
		return db.restartLog(t.Context())
	}
	commit(t, db, event("e1", "warm/a", "ops"))
	if err := cutOff(); err != nil { // and whoever copies has the log open
		t.Fatal(err)
	}
	log := filepath.Join(dir, databaseFile+"-wal")
	if out, err := exec.Command("chattr", "+a", log).CombinedOutput(); err != nil {
		t.Skipf("files that only grow want root and ext4: %v %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("chattr", "-a", log).Run() })
	commit(t, db, event("e2", "warm/a", "ops"))
	db.full.Store(true)
	if err := cutOff(); err != nil {
		t.Fatal(err)
	}
	db.full.Store(false)
	commit(t, db, event("e3", "warm/a", "ops"))
	if out, err := exec.Command("chattr", "-a", log).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	commit(t, db, event("e4", "warm/a", "ops"))
	if err := cutOff(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	page, err := open(t, dir).Log().Deliveries(t.Context(), bridge.DeliveryQuery{Limit: 10})
	if err != nil || len(page.Deliveries) != 4 {
		t.Errorf("%d deliveries (%v), want 4", len(page.Deliveries), err)
	}
}
