package store

import (
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tocsin/bridge"
)

// older puts a store that the version before schema 2 has made into a folder.
// It holds what is delivered, dead, retried, set aside, and not tried.
func older(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	from, err := os.Open(filepath.Join("testdata", "schema1.db.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	plain, err := gzip.NewReader(from)
	if err != nil {
		t.Fatal(err)
	}
	file, err := io.ReadAll(plain)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, databaseFile), file, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFileOfSchemaOneIsTakenOver(t *testing.T) {
	ctx := context.Background()
	dir := older(t)
	for range 2 {
		d := open(t, dir)
		audit(t, d, []string{"delivered", "dead", "retried", "aside", "untried"})
		states, err := d.Log().Endpoints(ctx)
		if err != nil || len(states) != 2 || !states[0].Disabled || states[0].Reason != "answered 410 Gone" {
			t.Fatalf("%+v, %v", states, err)
		}
		due, _, err := d.Claim(ctx, bridge.Ask{Endpoint: "ops", Limit: 10})
		if err != nil || len(due) != 2 || due[0].ID != "retried" || due[0].Attempt != 2 || due[1].ID != "untried" {
			t.Fatalf("%+v, %v", due, err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	d := open(t, dir)
	if n := drain(t, d, "ops"); n != 3 {
		t.Errorf("%d delivered, want 3", n)
	}
	audit(t, d, nil)
}

// An upgraded file and a new one are the same, or one of them is not tested.
func TestUpgradedFileIsLikeANewOne(t *testing.T) {
	form := func(d *DB) (all []string) {
		rows, err := d.read.Query(`SELECT coalesce(sql, name) FROM sqlite_schema
			UNION ALL SELECT 'version ' || user_version FROM pragma_user_version
			UNION ALL SELECT 'application ' || application_id FROM pragma_application_id`)
		if err != nil {
			t.Fatal(err)
		}
		if err := each(rows, func() error {
			var s string
			err := rows.Scan(&s)
			all = append(all, s)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		slices.Sort(all)
		return all
	}
	if diff := cmp.Diff(form(open(t, t.TempDir())), form(open(t, older(t)))); diff != "" {
		t.Error(diff)
	}
}

func TestRefusedUpgradeLeavesTheFileAsItWas(t *testing.T) {
	dir := older(t)
	path := filepath.Join(dir, databaseFile)
	old, err := connect(path, 1024)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Exec("CREATE TABLE kept (a)"); err != nil { // in the way
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	refuses(t, dir, "schema 6", "kept already exists")
	if old, err = connect(path, 1024); err != nil {
		t.Fatal(err)
	}
	var version, columns int
	if err := old.QueryRow(`SELECT (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM pragma_table_info('delivery'))`).
		Scan(&version, &columns); err != nil || version != 1 || columns != 8 {
		t.Errorf("version %d with %d columns, %v", version, columns, err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
}
