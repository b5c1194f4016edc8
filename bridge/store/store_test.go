package store_test

import (
	"context"
	"testing"

	"tocsin/bridge/store"
	"tocsin/bridge/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t testing.TB, dir string) storetest.Store {
		d, err := store.Open(context.Background(), store.Options{Path: dir})
		if err != nil {
			t.Fatal(err)
		}
		return d
	})
}
