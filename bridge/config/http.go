package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// ReadHTTP reads where the bridge of a file answers, and nothing else of it: whoever
// asks a running bridge need not have its rules and secrets, and the file may have been
// changed since. The error wraps [fs.ErrNotExist] if there is no such file, and else is
// the first problem.
func ReadHTTP(path string, getenv func(name string) (string, bool)) (listen string, secure bool, err error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", false, err
	}
	var c Config
	c.setDefaults()
	r := newReport()
	s := readSource(filepath.ToSlash(path), path, r)
	if len(r.problems) > 0 {
		return "", false, errors.New(r.problems[0].String())
	}
	table, _ := s.tree["http"].(map[string]any)
	tls, _ := table["tls"].(map[string]any)
	cert, _ := tls["cert"].(string)
	if listen, written := table["listen"].(string); written {
		if c.HTTP.Listen, err = expandString(listen, getenv); err != nil {
			return "", false, err
		}
	}
	return c.HTTP.Listen, cert != "", nil
}
