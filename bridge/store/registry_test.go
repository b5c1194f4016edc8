package store

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"tocsin/bridge"
)

// Whoever is given the database alone is given no secret.
func TestRegisteredIsSealedOutsideOfTheDatabase(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	const text = "CANARYOFTHESTORE"
	if err := d.Registry().Register(t.Context(), bridge.NewRegistered("a", text)); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, databaseFile))
	if err != nil || bytes.Contains(file, []byte(text)) {
		t.Errorf("the database holds the secret, or %v", err)
	}
	info, err := os.Stat(filepath.Join(dir, sealFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key is %v, %v", info, err)
	}
}

// An endpoint whose key is lost is listed without what it was, so that somebody can
// remove it; and what fails of a key breaks nothing else.
func TestLostKeyLosesNothingElse(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	put := func(name string) error {
		return d.Registry().Register(t.Context(), bridge.NewRegistered(name, name))
	}
	wants := func(name, data string) {
		t.Helper()
		all, err := d.Registry().Registered(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range all {
			if r.Name == name {
				if r.Reveal() != data {
					t.Errorf("%s is %q, want %q", name, r.Reveal(), data)
				}
				return
			}
		}
		t.Errorf("there is no %s", name)
	}
	if err := put("a"); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, sealFile)
	if err := os.WriteFile(key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	wants("a", "")
	if err := put("b"); err == nil {
		t.Error("sealed with what is no key")
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if err := put("b"); err == nil {
		t.Error("sealed with another key than what there is")
	}
	if err := d.Registry().Unregister(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := put("b"); err != nil {
		t.Fatal(err)
	}
	wants("b", "b")
	if _, err := d.w.conn.ExecContext(t.Context(), `UPDATE registered SET name = 'c'`); err != nil {
		t.Fatal(err)
	}
	wants("c", "") // what was sealed for b
}
