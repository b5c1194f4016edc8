//go:build !linux

package store

import "testing"

func powerOff(t *testing.T, _ string) { t.Skip("only Linux can shut a file system down") }

func (c *child) stop(*testing.T) {}
