package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

func (l *loader) checkStore() {
	s := &l.config.Store
	if s.Path == "" {
		l.main.atValue(keys("store.path"), "path is empty", `name a folder, as in path = "data"`)
	}
	s.Path = l.resolve(s.Path)
	l.checkFolder(s.Path)
	if s.Retention.Size > 0 && s.Retention.Size < 16<<20 {
		l.main.atValue(keys("store.retention.size"), "size is too small to work with", "give it at least 16MiB, or 0 for no limit")
	}
}

// checkFolder says what would keep the store from being opened at a path, and
// leaves everything there as it is.
func (l *loader) checkFolder(path string) {
	at := keys("store.path")
	if path == "" {
		return
	}
	folder := path // the nearest one that exists
	info, err := os.Stat(folder)
	for errors.Is(err, fs.ErrNotExist) && filepath.Dir(folder) != folder {
		folder = filepath.Dir(folder)
		info, err = os.Stat(folder)
	}
	switch {
	case errors.Is(err, syscall.ENOTDIR) || err == nil && !info.IsDir():
		if folder == path && err == nil {
			l.main.atValue(at, fmt.Sprintf("path %s is a file", l.config.Store.Path), "name a folder; it is made if it is not there")
			return
		}
		l.main.atValue(at, fmt.Sprintf("path %s leads through a file", l.config.Store.Path), "name a folder whose parent is one; it is made if it is not there")
		return
	case err != nil:
		l.main.atValue(at, fmt.Sprintf("the folder %s cannot be looked at: %v", folder, bare(err)), "let the user who runs tocsin in, or name another folder")
		return
	case writable(folder) != nil:
		fact := fmt.Sprintf("nothing can be written to the folder %s: %v", folder, writable(folder))
		if folder != path {
			fact = fmt.Sprintf("the folder %s cannot be made in %s: %v", path, folder, writable(folder))
		}
		l.main.atValue(at, fact, "let the user who runs tocsin write there, or name another folder")
		return
	}
	for _, name := range []string{"lock", "tocsin.db"} { // the store's own
		file := filepath.Join(path, name)
		if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
			l.main.atValue(at, fmt.Sprintf("%s is in the way of the store's own file of that name", file), "remove it, or name another folder")
		}
	}
}

// checkListeners refuses two listeners that cannot be open at once.
func (l *loader) checkListeners() {
	type listener struct{ key, addr string }
	var open []listener
	if e := l.config.Broker.Embedded; l.config.Broker.Mode == Embedded {
		open = append(open, listener{"broker.embedded.listen", e.Listen}, listener{"broker.embedded.tls.listen", e.TLS.Listen})
	}
	open = append(open, listener{"http.listen", l.config.HTTP.Listen})
	for i, second := range open {
		for _, first := range open[:i] {
			if sameListener(first.addr, second.addr) {
				at, other := second, first
				if _, written := l.main.places[pathKey(keys(at.key))]; !written {
					at, other = first, second // a default; it is the one written that is changed
				}
				l.main.atValue(keys(at.key), fmt.Sprintf("%s is taken: %s listens on %s", at.addr, other.key, other.addr), "give each listener a port of its own")
			}
		}
	}
}

// sameListener reports whether two addresses cannot both be listened on.
func sameListener(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	nA, badA := strconv.ParseUint(portA, 10, 16)
	nB, badB := strconv.ParseUint(portB, 10, 16)
	if errors.Join(errA, errB, badA, badB) != nil || nA != nB || nA == 0 {
		return false
	}
	covers := func(a, b string) bool {
		if a == "" || a == b {
			return true
		}
		ipA, errA := netip.ParseAddr(strings.Replace(a, "localhost", "127.0.0.1", 1))
		ipB, errB := netip.ParseAddr(strings.Replace(b, "localhost", "127.0.0.1", 1))
		return errA == nil && errB == nil && (ipA == ipB || ipA.IsUnspecified() && (ipA.Is6() || ipB.Is4()))
	}
	return covers(hostA, hostB) || covers(hostB, hostA)
}

func (l *loader) checkHTTP() {
	h := &l.config.HTTP
	tokenPath := keys("http.token")
	set := l.secret(tokenPath, &h.Token)
	if set && len(h.Token.Reveal()) < 16 {
		l.main.atValue(tokenPath, "the token is shorter than 16 characters", "make one with: tocsin keygen")
	}
	l.keyPair(keys("http.tls"), &h.TLS)
	for _, name := range h.Hosts {
		if !isHostname(name) {
			l.main.atValue(keys("http.hosts"), fmt.Sprintf("%q is no name of a host", name), `write the name alone, as in "tocsin.example.com"`)
		}
	}
	if r := h.Registration; r != nil {
		if r.Max != 0 {
			within(l, keys("http.registration.max"), r.Max, maxRegistered)
		}
		l.checkEgress(keys("http.registration.egress"), &r.Egress)
	}
	if l.listen(keys("http.listen"), h.Listen) && !loopback(h.Listen) && !h.Token.written() {
		l.main.atValue(keys("http.listen"), "listens beyond this machine, and there is no token",
			`add token = { file = "secrets/token" }, or listen on 127.0.0.1`)
	}
}

// isHostname reports whether somebody can ask by a name: without a port or scheme.
func isHostname(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "-") != label ||
			strings.TrimLeft(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
			return false
		}
	}
	return len(name) <= 253
}

func (l *loader) checkLog() {
	l.oneOf(keys("log.level"), l.config.Log.Level, "debug", "info", "warn", "error")
	l.oneOf(keys("log.format"), l.config.Log.Format, "auto", "text", "json")
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
	case l.noSecrets:
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
	if err != nil && looksSecret(name) {
		l.main.atValue(path, "names no file that can be read, and may be the secret itself", "put it into a file, and name that")
	} else if err != nil {
		l.main.atValue(path, fmt.Sprintf("the file %s %v", name, err), "name a file that the user who runs tocsin can read")
	}
	return err == nil
}

func quote(s string) string { return strconv.Quote(s) }
