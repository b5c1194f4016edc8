package store

import (
	"context"
	"path/filepath"
	"testing"

	"tocsin/bridge"
	"tocsin/rules"
)

// A file of schema 1 is this one's without what came later.
func TestFileOfSchemaOneIsTakenOver(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	d, err := Open(ctx, Options{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	owed := bridge.Batch{
		Endpoints:   []bridge.EndpointState{{Name: "ops", Reason: "as it was", Memo: "new"}},
		Transitions: []rules.Transition{{State: rules.State{Key: "rule/a"}, Events: []rules.Event{{ID: "one", Type: rules.AlarmFired, Endpoints: []string{"ops"}}}}},
	}
	if err := d.Commit(ctx, owed); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	old, err := connect(filepath.Join(dir, databaseFile), 1024)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"ALTER TABLE endpoint DROP COLUMN memo", "PRAGMA user_version = 1"} {
		if _, err := old.ExecContext(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		d, err := Open(ctx, Options{Path: dir})
		if err != nil {
			t.Fatal(err)
		}
		states, err := d.Log().Endpoints(ctx)
		if err != nil || len(states) != 1 || states[0].Reason != "as it was" || states[0].Memo != "" {
			t.Fatalf("%+v, %v", states, err)
		}
		due, _, err := d.Claim(ctx, "ops", 1)
		if err != nil || len(due) != 1 || due[0].ID != "one" {
			t.Fatalf("%+v, %v", due, err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
