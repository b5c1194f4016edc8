//go:build !linux

package store

import "os"

// allocate gives f size bytes of disk.
func allocate(f *os.File, size int) error { return writeZeros(f, size) }
