package config

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Watched returns the files and folders that loading cfg again depends on, sorted
// and each once: the file itself, the rule files and the folders in which its
// patterns look for them, and the files of secrets and certificates.
//
// Editors and volumes replace a file by renaming another to its name, so who
// watches a file watches the folder it is in. Variables of the environment cannot
// be watched, and do not change in a running process.
func Watched(cfg *Config) []string {
	paths := map[string]bool{}
	add := func(path string) {
		if path != "" {
			paths[filepath.Clean(path)] = true
		}
	}
	add(cfg.Path)
	for _, pattern := range cfg.RuleFiles {
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(filepath.Dir(cfg.Path), pattern)
		}
		matches, _ := filepath.Glob(pattern) // Load has accepted the pattern
		for _, file := range matches {
			add(file)
		}
		for _, folder := range foldersOf(pattern) {
			add(folder)
		}
	}
	pair := func(k KeyPair) { add(k.Cert); add(k.Key) }
	if cfg.Broker.Mode == Embedded {
		pair(cfg.Broker.Embedded.TLS.KeyPair)
		for _, user := range cfg.Broker.Embedded.Users {
			add(user.Password.path)
		}
	} else {
		pair(cfg.Broker.External.TLS.KeyPair)
		add(cfg.Broker.External.TLS.CA)
		add(cfg.Broker.External.Password.path)
	}
	pair(cfg.HTTP.TLS)
	add(cfg.HTTP.Token.path)
	if r := cfg.HTTP.Registration; r != nil {
		add(r.Egress.ProxyPassword.path)
	}
	for _, file := range cfg.Tracing.files() {
		add(file)
	}
	for _, e := range cfg.Endpoints {
		for _, s := range slices.Concat(e.Secret, e.Key) {
			add(s.path)
		}
		for _, file := range e.files() {
			add(file)
		}
		for _, p := range e.With {
			add(p.path)
		}
	}
	return slices.Sorted(maps.Keys(paths))
}

// foldersOf returns the folders in which a file, or on the way to it a folder,
// may appear that matches a pattern.
func foldersOf(pattern string) []string {
	folders := []string{filepath.Dir(pattern)}
	for strings.ContainsAny(folders[0], `*?[`) {
		folders = slices.Insert(folders, 0, filepath.Dir(folders[0]))
	}
	var found []string
	for _, folder := range folders {
		matches, _ := filepath.Glob(folder)
		for _, match := range matches {
			if info, err := os.Stat(match); err == nil && info.IsDir() {
				found = append(found, match)
			}
		}
	}
	return found
}
