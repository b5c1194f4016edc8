package config

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (l *loader) checkStore() {
	s := &l.config.Store
	if s.Path == "" {
		l.main.atValue(keys("store.path"), "path is empty", `name a folder, as in path = "data"`)
	}
	s.Path = l.resolve(s.Path)
	if s.Retention.Size > 0 && s.Retention.Size < 16<<20 {
		l.main.atValue(keys("store.retention.size"), "size is too small to work with", "give it at least 16MiB, or 0 for no limit")
	}
}

func (l *loader) checkHTTP() {
	h := &l.config.HTTP
	tokenPath := keys("http.token")
	set := l.secret(tokenPath, &h.Token)
	if set && len(h.Token.Reveal()) < 16 {
		l.main.atValue(tokenPath, "the token is shorter than 16 characters", "make one with: tocsin keygen")
	}
	l.keyPair(keys("http.tls"), &h.TLS)
	if l.listen(keys("http.listen"), h.Listen) && !loopback(h.Listen) && !h.Token.written() {
		l.main.atValue(keys("http.listen"), "listens beyond this machine, and there is no token",
			`add token = { file = "secrets/token" }, or listen on 127.0.0.1`)
	}
}

func (l *loader) checkLog() {
	l.oneOf(keys("log.level"), l.config.Log.Level, "debug", "info", "warn", "error")
	l.oneOf(keys("log.format"), l.config.Log.Format, "auto", "text", "json")
}

func (l *loader) checkSources() {
	if len(l.config.Sources) == 0 {
		l.main.atValue([]string{"source"}, "there is no source, so no message would be understood",
			`add one: [source.plant] with topic = "plants/{device}/telemetry"`)
	}
	for _, name := range slices.Sorted(maps.Keys(l.config.Sources)) {
		l.checkSource([]string{"source", name}, l.config.Sources[name])
	}
}

func (l *loader) checkSource(path []string, s *Source) {
	at := func(key ...string) []string { return append(path[:len(path):len(path)], key...) }
	wildcards := l.topic(at("topic"), s.Topic)
	if slices.Contains([]string{"tasmota", "zigbee2mqtt", "shelly", "esphome", "ttn", "homeassistant", "homie", "senml", "sparkplug"}, s.Decoder) {
		l.main.atValue(at("decoder"), fmt.Sprintf("decoder %q is not supported by this version", s.Decoder), `use "json" or "scalar"`)
	} else {
		l.oneOf(at("decoder"), s.Decoder, "json", "scalar")
	}
	l.oneOf(at("clock"), s.Clock, "auto", "device", "arrival")
	l.oneOf(at("time", "format"), s.Time.Format, "auto", "rfc3339", "unix", "unix_ms", "unix_us", "unix_ns")
	if _, err := time.LoadLocation(s.Timezone); err != nil {
		l.main.atValue(at("timezone"), quote(s.Timezone)+" is no time zone", `name one as in "Europe/Paris"`)
	}
	paths := map[string]string{
		"records": s.Records, "device": s.Device, "metric": s.Metric, "value": s.Value, "unit": s.Unit, "time": s.Time.Path,
	}
	for _, key := range slices.Sorted(maps.Keys(paths)) {
		p := at(key)
		if key == "time" {
			p = at("time", "path")
		}
		if s.Decoder == "scalar" && paths[key] != "" {
			l.main.atValue(p, "a scalar payload has no paths", `remove it, or use decoder = "json"`)
		} else if err := checkPath(paths[key], key == "records"); err != nil {
			l.main.leaf(p, err, "")
		}
	}
	if s.Device == "" && !slices.Contains(wildcards, "device") {
		l.main.atValue(at("topic"), "nothing says which device a message is of",
			`put {device} in the topic, or add device = "$.path.to.id"`)
	}
	switch {
	case s.Decoder == "scalar":
		if !slices.Contains(wildcards, "metric") {
			l.main.atValue(at("topic"), "nothing says which metric a scalar is of", "put {metric} in the topic")
		}
	case s.Metric != "" && s.Value == "":
		l.main.atValue(at("metric"), "metric needs value beside it", `add value = "@.v"`)
	case s.Unit != "" && s.Value == "":
		l.main.atValue(at("unit"), "unit needs value beside it", `add value = "@.v"`)
	}
}

// topic checks a topic filter with {name} for a level, and returns the names.
func (l *loader) topic(path []string, topic string) (names []string) {
	bad := func(fact, remedy string) { l.main.atValue(path, fact, remedy) }
	if topic == "" {
		bad("there is no topic", `add topic = "plants/{device}/telemetry"`)
	}
	if strings.ContainsRune(topic, 0) || len(topic) > 65535 {
		bad("the topic is none of MQTT", "remove U+0000, and keep it below 65536 bytes")
	}
	levels := strings.Split(topic, "/")
	for i, level := range levels {
		name, isName := strings.CutPrefix(level, "{")
		name, closed := strings.CutSuffix(name, "}")
		switch {
		case isName && closed && isVariable(name):
			if slices.Contains(names, name) {
				bad(fmt.Sprintf("the topic has {%s} twice", name), "give each level its own name, or use +")
			}
			names = append(names, name)
		case strings.ContainsAny(level, "{}"):
			bad(fmt.Sprintf("%q is no level of a topic", level), "{name} must be the whole level between two slashes")
		case level == "#" && i == len(levels)-1, level == "+":
		case strings.ContainsAny(level, "#+"):
			bad(fmt.Sprintf("%q is no level of a topic", level), "+ must be a whole level, and # the whole last one")
		}
	}
	if levels[0] == "$share" {
		bad("the topic begins with $share", "remove $share and the name behind it, and set broker.external.share")
	}
	return names
}

// checkPath checks the shape of a path such as $.a.b[0] or @.x.
func checkPath(path string, records bool) error {
	if path == "" {
		return nil
	}
	rest := path[1:]
	if path[0] != '$' && (path[0] != '@' || records) {
		if records {
			return fmt.Errorf("%q is no path (begin it with $, the document, as in \"$.readings[*]\")", path)
		}
		return fmt.Errorf("%q is no path (begin it with $, the document, or @, the record, as in \"$.dev.id\")", path)
	}
	if rest != "" && rest[0] != '.' && rest[0] != '[' || strings.HasSuffix(rest, ".") || strings.Contains(rest, "..") {
		return fmt.Errorf("%q is no path (join its keys by single dots, as in \"$.dev.id\")", path)
	}
	return nil
}

// listen checks a listener's address; "" is off. It reports whether it listens.
func (l *loader) listen(path []string, addr string) bool {
	if addr == "" {
		return false
	}
	host, port, err := net.SplitHostPort(addr)
	switch {
	case err != nil:
		l.main.atValue(path, fmt.Sprintf("%q is no address to listen on", addr), `write host:port, as in "127.0.0.1:1883" or "[::1]:1883"`)
		return false
	case !validPort(port):
		l.main.atValue(path, fmt.Sprintf("port %q is not between 0 and 65535", port), `write host:port, as in "127.0.0.1:1883"`)
		return false
	case strings.ContainsAny(host, " /@"):
		l.main.atValue(path, fmt.Sprintf("%q is no host", host), "name an address of this machine, without a scheme")
		return false
	}
	return true
}

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n <= 65535
}

// loopback reports whether only this machine reaches a listener's address.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// keyPair checks the files of a certificate and resolves their paths.
func (l *loader) keyPair(path []string, k *KeyPair) {
	cert, key := k.Cert, k.Key
	k.Cert, k.Key = l.resolve(cert), l.resolve(key)
	switch {
	case cert == "" && key == "":
		return
	case cert == "":
		l.main.atValue(under(path, "key"), "there is a key without a certificate", "set cert as well")
		return
	case key == "":
		l.main.atValue(under(path, "cert"), "there is a certificate without a key", "set key as well")
		return
	}
	readable := l.readable(under(path, "cert"), cert)
	readable = l.readable(under(path, "key"), key) && readable
	if err := private(k.Key); err != nil {
		l.main.atValue(under(path, "key"), fmt.Sprintf("the file %s %v", key, err), "chmod 600 "+key)
	} else if _, err := k.Certificate(); readable && err != nil {
		l.main.leaf(under(path, "cert"), err, "name the PEM files of a certificate and of its own key")
	}
}

// readable reports whether a file that the configuration names can be read.
func (l *loader) readable(path []string, name string) bool {
	_, err := readFile(l.resolve(name), maxPEM)
	if err != nil {
		l.main.atValue(path, fmt.Sprintf("the file %s %v", name, err), "name a file that the user who runs tocsin can read")
	}
	return err == nil
}

func quote(s string) string { return strconv.Quote(s) }
