//go:build linux || darwin || freebsd

package store

import "golang.org/x/sys/unix"

// freeBytes is how much of a disk is left to users; false when it cannot be told.
func freeBytes(path string) (int64, bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true // #nosec G115 -- a disk is no larger
}
