package storetest

import (
	"testing"

	"tocsin/bridge"
)

func (f *fixture) register(name, data string) {
	f.t.Helper()
	if err := f.Registry().Register(f.t.Context(), bridge.NewRegistered(name, data)); err != nil {
		f.t.Fatalf("Register: %v", err)
	}
}

func (f *fixture) unregister(name string) {
	f.t.Helper()
	if err := f.Registry().Unregister(f.t.Context(), name); err != nil {
		f.t.Fatalf("Unregister: %v", err)
	}
}

// wantsRegistered compares with pairs of name and data.
func (f *fixture) wantsRegistered(pairs ...string) {
	f.t.Helper()
	got, err := f.Registry().Registered(f.t.Context())
	if err != nil || len(got) != len(pairs)/2 {
		f.t.Fatalf("Registered: %v, %v", got, err)
	}
	for i, r := range got {
		if r.Name != pairs[2*i] || r.Reveal() != pairs[2*i+1] {
			f.t.Errorf("%d: %s is %s, want %s", i, r.Name, r.Reveal(), pairs[2*i+1])
		}
	}
}

func registeredSurvivesReopen(_ *testing.T, f *fixture) {
	f.wantsRegistered()
	f.register("b", `{"url":"https://b.example.com"}`)
	f.register("a", "1")
	f.reopen()
	f.wantsRegistered("a", "1", "b", `{"url":"https://b.example.com"}`)
	f.register("a", "2")
	f.unregister("b")
	f.unregister("nobody")
	f.wantsRegistered("a", "2")
	f.reopen()
	f.wantsRegistered("a", "2")
}
