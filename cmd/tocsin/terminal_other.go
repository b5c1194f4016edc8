//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package main

import (
	"errors"
	"os"
)

// hideInput does not know this system's terminals.
func hideInput(*os.File) (restore func(), err error) {
	return nil, errors.New("not supported on this system")
}
