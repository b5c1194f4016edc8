package config

import "strings"

// A later is a key that the public interface documents and that this version
// does not obey yet. It is never ignored in silence. To build a key, move it
// from here to the struct that holds it.
type later struct {
	path    string   // keys joined by dots; * is any one key
	remedy  string   // what to do instead
	same    []string // values that this version's behaviour is the same as
	instead []string // keys beside it that are not missed while this one is there
}

// laterMain lists the keys of the main file.
func laterMain() []later {
	return []later{
		{path: "broker.embedded.tls.client_ca", remedy: "remove it; users connect with passwords"},
		{path: "broker.embedded.websocket", remedy: "remove it; devices connect by MQTT over TCP or TLS"},
		{path: "broker.external.connections", remedy: "remove it; there is one connection", same: []string{"1"}},
		{path: "cluster", remedy: "remove it; this version runs on one machine"},
		{path: "endpoint.*.order", remedy: "remove it; events of one alarm are sent in order", same: []string{"per-alert"}},
		{path: "source.*.retained", remedy: "remove it; a retained message sets a value and starts no alarm", same: []string{"prime"}},
		{path: "source.*.register", remedy: "remove it; register in [defaults] of a rule file is for all sources", same: []string{"auto"}},
		{path: "source.*.zero_when_absent", remedy: "remove it; a missing field is missing"},
	}
}

// findLater returns the entry of a path, or nil.
func findLater(list []later, path []string) *later {
	for i := range list {
		if matchesPath(list[i].path, path) {
			return &list[i]
		}
	}
	return nil
}

// matchesPath compares a path with a pattern of keys joined by dots.
func matchesPath(pattern string, path []string) bool {
	for i, key := range path {
		want, rest, more := strings.Cut(pattern, ".")
		if want != "*" && want != key || more != (i < len(path)-1) {
			return false
		}
		pattern = rest
	}
	return true
}

// ruleTables are the tables that belong in rule files.
func ruleTables() map[string]string {
	return belongs("rules live in files of their own, which the key rules of this file names",
		"rule", "metric", "device", "defaults", "group", "schedule", "maintenance", "flood", "test")
}

// mainTables are the tables that belong in the main file.
func mainTables() map[string]string {
	return belongs("it belongs in the main file",
		"broker", "source", "store", "http", "endpoint", "limits", "cluster", "log", "tracing")
}

func belongs(where string, tables ...string) map[string]string {
	m := make(map[string]string, len(tables))
	for _, t := range tables {
		m[t] = where
	}
	return m
}
