//go:build unix

package config

import "golang.org/x/sys/unix"

// writable says why files cannot be made in a folder, without making one.
func writable(folder string) error { return unix.Access(folder, unix.W_OK|unix.X_OK) }
