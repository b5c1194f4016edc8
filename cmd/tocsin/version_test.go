package main

import (
	"runtime/debug"
	"testing"
)

func TestVersionNamesTheTagOrElseTheCommit(t *testing.T) {
	f := func(want, module string, settings ...debug.BuildSetting) {
		t.Helper()
		info := &debug.BuildInfo{Main: debug.Module{Version: module}, Settings: settings}
		if got := versionOf(info); got != want {
			t.Errorf("version %q, want %q", got, want)
		}
	}
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "4264449aa1b2c3d4e5f6"}
	modified := debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	f("v1.2.3", "v1.2.3", revision)
	f("devel-4264449aa1b2", "(devel)", revision)
	f("devel-4264449aa1b2+dirty", "(devel)", revision, modified)
	f("devel", "")
}
