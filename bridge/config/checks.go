package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
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
	if err != nil && looksSecret(name) {
		l.main.atValue(path, "names no file that can be read, and may be the secret itself", "put it into a file, and name that")
	} else if err != nil {
		l.main.atValue(path, fmt.Sprintf("the file %s %v", name, err), "name a file that the user who runs tocsin can read")
	}
	return err == nil
}

func quote(s string) string { return strconv.Quote(s) }
