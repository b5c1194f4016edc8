package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tocsin/bridge/config"
)

// unitPlaces are where a unit of systemd for a configuration may be: installed, or
// beside it as init writes it.
func unitPlaces(cfg *config.Config) []string {
	return []string{"/etc/systemd/system/tocsin.service", filepath.Join(filepath.Dir(cfg.Path), "tocsin.service")}
}

// examineUnit looks at the first unit that there is: what it starts, and whether
// that may write where it must.
func examineUnit(cfg *config.Config, places []string) []finding {
	for _, place := range places {
		text, err := os.ReadFile(place) // #nosec G304 -- a fixed name, or one beside the configuration
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return []finding{{suspect, "systemd", err.Error(), "let doctor read the unit"}}
		}
		return judgeUnit(place, string(text), cfg)
	}
	return nil
}

func judgeUnit(place, text string, cfg *config.Config) []finding {
	set := map[string][]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") && !strings.HasPrefix(key, ";") {
			set[key] = append(set[key], strings.Fields(value)...)
		}
	}
	start := set["ExecStart"]
	if len(start) == 0 {
		return []finding{{wrong, "systemd", place + " starts nothing", "write ExecStart=, as the unit that tocsin init writes"}}
	}
	program := strings.TrimLeft(start[0], "@-:+!|")
	if info, err := os.Stat(program); err != nil || info.Mode()&0o111 == 0 || info.IsDir() {
		return []finding{{wrong, "systemd", fmt.Sprintf("%s starts %s, which is no program here", place, program), "correct ExecStart, then systemctl daemon-reload"}}
	}
	if file := configOf(start); file != "" && !samePath(file, cfg.Path) {
		return []finding{{suspect, "systemd", fmt.Sprintf("%s starts with %s, and not with this configuration", place, file), "correct ExecStart, or look at that one with -c"}}
	}
	if slices.Contains(set["ProtectSystem"], "strict") && !writable(set, cfg.Store.Path) {
		return []finding{{wrong, "systemd", fmt.Sprintf("%s does not let tocsin write to %s", place, cfg.Store.Path), "add it to ReadWritePaths, then systemctl daemon-reload"}}
	}
	return []finding{{fine, "systemd", place + " starts this configuration", ""}}
}

// configOf is the configuration that a command line names.
func configOf(args []string) string {
	for i, arg := range args {
		switch {
		case (arg == "-c" || arg == "--config") && i+1 < len(args):
			return args[i+1]
		case strings.HasPrefix(arg, "--config="):
			return strings.TrimPrefix(arg, "--config=")
		}
	}
	return ""
}

func samePath(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

// writable reports whether a unit lets its service write below a path.
func writable(set map[string][]string, path string) bool {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return false
	}
	allowed := set["ReadWritePaths"]
	for _, name := range set["StateDirectory"] {
		allowed = append(allowed, filepath.Join("/var/lib", name))
	}
	for _, dir := range allowed {
		within, err := filepath.Rel(strings.TrimLeft(dir, "-+"), absolute)
		if err == nil && filepath.IsLocal(within) {
			return true
		}
	}
	return false
}

// examineLimits looks at how many files may be open: each connection is one.
func examineLimits(cfg *config.Config) []finding {
	if cfg.Broker.Mode != config.Embedded {
		return nil
	}
	if limit, ok := openFiles(); ok {
		return []finding{judgeLimit(limit, cfg.Broker.Embedded.MaxConnections)}
	}
	return nil
}
